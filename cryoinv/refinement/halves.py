"""The two independent halves of the particles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cryoinv.errors import InputError
from cryoinv.io.image_source import refuse_duplicates

if TYPE_CHECKING:
    from cryoinv.io import ParticleStack

__all__ = ["split_halves", "split_particles"]


def split_particles(particles: ParticleStack, seed: int = 0, allow_duplicates: bool = False) -> np.ndarray:
    """Half-set, 1 or 2, of every particle of a stack; particles that are the same image are in the same half.

    Parameters
    ----------
    particles : ParticleStack
        With the half-sets of an earlier run, or without.
    seed : int
        Of the random split.
    allow_duplicates : bool
        Whether particles may be the same image.

    Returns
    -------
    numpy.ndarray, shape (m,), int64

    Raises
    ------
    InputError
        If two particles are the same image without leave, or with leave but in different halves, or a half is empty.

    Examples
    --------
    >>> from cryoinv.io import ParticleStack
    >>> particles = ParticleStack.from_arrays(np.random.default_rng(0).standard_normal((4, 8, 8)), 3.0)
    >>> expanded = particles.subset([0, 1, 2, 3] * 3)
    >>> split_particles(expanded, allow_duplicates=True).reshape(3, 4)[1:] - split_particles(particles)
    array([[0, 0, 0, 0],
           [0, 0, 0, 0]])
    """
    if not allow_duplicates:
        refuse_duplicates(particles.source, "the particles")
    return split_halves(len(particles), particles.random_subset, seed, particles.image_numbers())


def split_halves(
    count: int, random_subset: np.ndarray | None = None, seed: int = 0, images: np.ndarray | None = None
) -> np.ndarray:
    """Half-set, 1 or 2, of every particle: the given ones where the file has them, else a random half of the images.

    Parameters
    ----------
    count : int
        Number of particles.
    random_subset : numpy.ndarray, shape (count,), optional
        Half-sets from the file.
    seed : int
        Of the random split.
    images : numpy.ndarray of int, shape (count,), optional
        Which image each particle is, as `ParticleStack.image_numbers` numbers them; all different by default.

    Returns
    -------
    numpy.ndarray, shape (count,), int64

    Raises
    ------
    InputError
        If a half would be empty, the given numbers are not 1 and 2, or the same image is in both halves.

    Examples
    --------
    >>> halves = split_halves(5)
    >>> sorted(int(n) for n in np.bincount(halves)[1:])
    [2, 3]
    >>> int(np.ptp(split_halves(5, images=np.array([0, 1, 0, 2, 0]))[[0, 2, 4]]))
    0
    """
    images = np.arange(count) if images is None else np.asarray(images)
    if random_subset is not None:
        given = np.asarray(random_subset, dtype=np.int64)
        if given.shape != (count,):
            raise InputError(f"the half-sets have shape {given.shape}, expected ({count},), one a particle")
        if not np.isin(given, (1, 2)).all():
            wrong = given[~np.isin(given, (1, 2))][0]
            raise InputError(f"rlnRandomSubset holds {wrong}, expected 1 or 2 for every particle")
        _refuse_torn_images(given, images)
    else:
        different = int(images.max(initial=-1)) + 1
        drawn = np.empty(different, dtype=np.int64)
        drawn[np.random.default_rng(seed).permutation(different)] = 1 + np.arange(different) % 2
        given = drawn[images]
    for half in (1, 2):
        if not (given == half).any():
            raise InputError(
                f"half-set {half} is empty: a refinement needs at least one particle in each half"
            )
    return given


def _refuse_torn_images(halves: np.ndarray, images: np.ndarray) -> None:
    """Refuse an image that is in both halves, which would no longer be independent."""
    _, first = np.unique(images, return_index=True)
    torn = halves != halves[first][images]
    if torn.any():
        second = int(np.argmax(torn))
        one = int(first[images[second]])
        raise InputError(
            f"rows {one + 1} and {second + 1} are the same particle, but rlnRandomSubset is {halves[one]} and"
            f" {halves[second]}: expected the same half for both"
        )
