"""The two independent halves of the particles."""

from __future__ import annotations

import numpy as np

from cryoinv.errors import InputError

__all__ = ["split_halves"]


def split_halves(count: int, random_subset: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
    """Half-set, 1 or 2, of every particle: the given ones where the file has them, else a random half.

    Parameters
    ----------
    count : int
        Number of particles.
    random_subset : numpy.ndarray, shape (count,), optional
        Half-sets from the file.
    seed : int
        Of the random split.

    Returns
    -------
    numpy.ndarray, shape (count,), int64

    Raises
    ------
    InputError
        If a half would be empty or the given numbers are not 1 and 2.

    Examples
    --------
    >>> halves = split_halves(5)
    >>> sorted(int(n) for n in np.bincount(halves)[1:])
    [2, 3]
    """
    if random_subset is not None:
        given = np.asarray(random_subset, dtype=np.int64)
        if not np.isin(given, (1, 2)).all():
            wrong = given[~np.isin(given, (1, 2))][0]
            raise InputError(f"rlnRandomSubset holds {wrong}, expected 1 or 2 for every particle")
    else:
        given = np.empty(count, dtype=np.int64)
        given[np.random.default_rng(seed).permutation(count)] = 1 + np.arange(count) % 2
    for half in (1, 2):
        if not (given == half).any():
            raise InputError(
                f"half-set {half} is empty: a refinement needs at least one particle in each half"
            )
    return given
