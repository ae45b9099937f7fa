"""Point groups of symmetric particles, in RELION's orientation: n-fold along z, D's 2-fold along x."""

import re
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoinv.errors import InputError
from cryoinv.geometry.rotations import exp_rotation, rotation_distance


class PointGroup:
    """A point group: the rotations ``S`` under which a map is unchanged, ``V(x) = V(S x)``.

    Poses ``R`` and ``R S`` then give the same projection.

    Parameters
    ----------
    name : str
        ``C<n>`` (n-fold along z) or ``D<n>`` (n-fold along z, 2-folds in the xy plane, one of them along x).

    Raises
    ------
    InputError
        If the name is none of these.

    References
    ----------
    Heymann, Chagoyen, Belnap (2005), J. Struct. Biol. 151, 196.

    Examples
    --------
    >>> PointGroup("D2").order
    4
    >>> PointGroup("C4").in_asymmetric_unit([[1.0, 0.1, 0.0], [0.1, -1.0, 0.0]])
    array([ True, False])
    """

    def __init__(self, name: str):
        match = re.fullmatch(r"([CD])([1-9]\d*)", str(name).strip().upper())
        if match is None:
            raise InputError(
                f"point group {name!r} is not supported: use C<n> or D<n>, for example C1, C4 or D2"
            )
        self.name = match.group()
        self._dihedral = match.group(1) == "D"
        self._fold = int(match.group(2))

    def __repr__(self) -> str:
        return f"PointGroup({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PointGroup) and other.name == self.name

    def __hash__(self) -> int:
        return hash((PointGroup, self.name))

    @property
    def order(self) -> int:
        """Number of rotations in the group."""
        return self._fold * (2 if self._dihedral else 1)

    @cached_property
    def matrices(self) -> NDArray[np.float64]:
        """The rotations, shape (order, 3, 3); the identity comes first."""
        turns = 2 * np.pi * np.arange(self._fold) / self._fold
        cyclic = exp_rotation(turns[:, None] * np.array([0.0, 0.0, 1.0]))
        flip = np.diag([1.0, -1.0, -1.0])
        return np.concatenate([cyclic, cyclic @ flip]) if self._dihedral else cyclic

    def in_asymmetric_unit(self, directions: ArrayLike) -> NDArray[np.bool_]:
        """Return which directions are nearer to the unit's centre ``p`` than to any image ``S p``.

        Of every orbit of directions exactly one is kept, save that a direction on a symmetry axis, which
        some rotation leaves alone, may be kept more than once. The unit of C<n> is the wedge
        ``0 <= azimuth < 360/n``, that of D<n> its half with ``z >= 0``.

        Parameters
        ----------
        directions : array_like, shape (..., 3)
            Vectors ``(x, y, z)`` in the object's frame (the last row of a pose's matrix).

        Returns
        -------
        ndarray of bool, shape (...)
        """
        azimuth = np.pi / self._fold
        centre = np.array([np.cos(azimuth), np.sin(azimuth), 1.0 if self._dihedral else 0.0])
        # Tilted a little, so that a direction on a boundary is nearer to one image than to the other.
        centre += 1e-6 * np.array([np.sin(azimuth), -np.cos(azimuth), 0.7])
        nearness = np.asarray(directions, dtype=np.float64) @ (self.matrices @ centre).T
        return nearness[..., 0] >= nearness.max(axis=-1) - 1e-10


def nearest_equivalent(rotations: ArrayLike, targets: ArrayLike, group: PointGroup) -> NDArray[np.float64]:
    """Return, of the equivalents ``R S`` of each rotation, the one nearest to its target.

    Parameters
    ----------
    rotations, targets : array_like, shape (..., 3, 3)
        The leading axes broadcast.
    group : PointGroup

    Returns
    -------
    ndarray, shape (..., 3, 3)

    Examples
    --------
    >>> half_turn = np.diag([-1.0, -1.0, 1.0])
    >>> nearest_equivalent(half_turn, np.eye(3), PointGroup("C2")).round(6) + 0.0
    array([[1., 0., 0.],
           [0., 1., 0.],
           [0., 0., 1.]])
    """
    equivalents = np.asarray(rotations, dtype=np.float64)[..., None, :, :] @ group.matrices
    target = np.asarray(targets, dtype=np.float64)[..., None, :, :]
    best = np.argmax(np.sum(equivalents * target, axis=(-2, -1)), axis=-1)
    equivalents = np.broadcast_to(equivalents, (*best.shape, *equivalents.shape[-3:]))
    return np.take_along_axis(equivalents, best[..., None, None, None], axis=-3)[..., 0, :, :]


def symmetric_rotation_distance(a: ArrayLike, b: ArrayLike, group: PointGroup) -> NDArray[np.float64]:
    """Return ``min_S angle(a, b S)`` in degrees: the distance between poses of a symmetric particle.

    Parameters
    ----------
    a, b : array_like, shape (..., 3, 3)
        The leading axes broadcast.
    group : PointGroup

    Returns
    -------
    ndarray, shape (...)

    Examples
    --------
    >>> float(symmetric_rotation_distance(np.eye(3), np.diag([-1.0, -1.0, 1.0]), PointGroup("C2")).round(6))
    0.0
    """
    return rotation_distance(a, nearest_equivalent(b, a, group))
