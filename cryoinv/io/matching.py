"""Particles of one set found in another, whatever the order of either."""

import numpy as np

from cryoinv.errors import InputError
from cryoinv.io.particles import ParticleStack


def match_particles(a: ParticleStack, b: ParticleStack) -> np.ndarray:
    """Return the rows of `b` that are the particles of `a`: the same image of the same file.

    Rows are never matched by position, and names only by the file they lead to.

    Parameters
    ----------
    a, b : ParticleStack
        Two stacks.

    Returns
    -------
    ndarray of int, shape (len(a),)
        ``b.subset(match_particles(a, b))`` has the particles of `a` in their order.

    Raises
    ------
    InputError
        If a particle of `a` is not in `b`, or `b` has one of them more than once.

    Examples
    --------
    >>> from cryoinv.io import ParticleStack
    >>> images = np.random.default_rng(0).standard_normal((5, 8, 8))
    >>> b = ParticleStack.from_arrays(images, pixel_size=3.0)
    >>> match_particles(b.subset([3, 0]), b)
    array([3, 0])
    """
    import pandas as pd

    files = {name: code for code, name in enumerate(dict.fromkeys([*a.source.keys()[0], *b.source.keys()[0]]))}

    def keys(stack: ParticleStack) -> pd.MultiIndex:
        names, file_index, sections = stack.source.keys()
        return pd.MultiIndex.from_arrays([np.array([files[name] for name in names])[file_index], sections])

    wanted, there = keys(a), keys(b)
    double = there.duplicated() & there.isin(wanted)
    if double.any():
        second = int(np.argmax(double))
        raise InputError(
            f"the other set has {b.source.describe(second)} more than once (again in row {second + 1}), expected each"
            " particle once"
        )
    rows = there.drop_duplicates().get_indexer(wanted) if there.has_duplicates else there.get_indexer(wanted)
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        first = a.source.describe(int(missing[0]))
        raise InputError(f"{len(missing)} of {len(a)} particles are not in the other set, the first is {first}")
    return rows
