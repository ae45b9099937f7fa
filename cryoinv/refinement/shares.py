"""Which particles each of several processes looks at."""

from __future__ import annotations

import numpy as np

__all__ = ["share_of"]

_NEAR = 0.05  # of a share: a cut so near to the seam of the halves is made there, and saves a second grid of slices


def share_of(halves: np.ndarray, rank: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Particles of each half that are process `rank`'s of `size`.

    The halves are laid end to end and cut into equal lengths: an even number of processes keeps to one half each, where
    the halves are equal, and slices that half's map only.

    Parameters
    ----------
    halves : numpy.ndarray, shape (m,)
        Half-set, 1 or 2, of every particle.
    rank, size : int
        Which process, and of how many.

    Returns
    -------
    tuple of numpy.ndarray

    Examples
    --------
    >>> share_of(np.array([1, 2, 1, 2, 2, 1]), 0, 2)
    (array([0, 2, 5]), array([], dtype=int64))
    >>> share_of(np.array([1, 2, 1, 2, 2, 1]), 1, 3)
    (array([5]), array([1]))
    """
    first, second = (np.flatnonzero(halves == half) for half in (1, 2))
    cuts = np.arange(size + 1) * len(halves) / size
    cuts[np.abs(cuts - len(first)) <= _NEAR * len(halves) / size] = len(first)
    start, end = (round(cut) for cut in cuts[rank : rank + 2])
    seam = len(first)
    return first[start : min(end, seam)], second[max(0, start - seam) : max(0, end - seam)]
