"""Point groups of symmetric particles, in RELION's orientation."""

import re
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoinv.errors import InputError
from cryoinv.geometry.rotations import exp_rotation, rotation_distance

_GOLDEN = (1 + np.sqrt(5)) / 2
# Generators as (fold, axis (x, y, z)); neighbouring axes, so that the point midway lies on none.
_POLYHEDRAL: dict[str, list[tuple[int, tuple[float, float, float]]]] = {
    "T": [(3, (0, 0, 1)), (2, (0, np.sqrt(2), 1))],
    "O": [(4, (0, 0, 1)), (3, (1, 1, 1))],
    "I": [(2, (0, 0, 1)), (5, (1, 0, _GOLDEN))],
    "I1": [(2, (1, 0, 0)), (5, (_GOLDEN, 0, -1))],
    "I2": [(2, (0, 0, 1)), (5, (1, 0, _GOLDEN))],
    "I3": [(2, (-1, 0, _GOLDEN)), (5, (0, 0, 1))],
    "I4": [(2, (1, 0, _GOLDEN)), (5, (2, 0, 1))],
}


class PointGroup:
    """A point group: the rotations ``S`` under which a map is unchanged, ``V(x) = V(S x)``.

    Poses ``R`` and ``R S`` then give the same projection.

    Parameters
    ----------
    name : str
        ``C<n>`` (n-fold along z), ``D<n>`` (n-fold along z, 2-folds in the xy plane, one of them along x),
        ``T`` (3-fold along z), ``O`` (4-folds along the axes), ``I1`` to ``I4`` (``I`` is ``I2``: 2-folds
        along the axes, a 5-fold in the xz plane near z). All are in RELION's orientation.

    Raises
    ------
    InputError
        If the name is none of these.

    References
    ----------
    Heymann, Chagoyen, Belnap (2005), J. Struct. Biol. 151, 196.

    Examples
    --------
    >>> PointGroup("D2").order, PointGroup("I").order
    (4, 60)
    >>> PointGroup("C4").in_asymmetric_unit([[1.0, 0.1, 0.0], [0.1, -1.0, 0.0]])
    array([ True, False])
    """

    def __init__(self, name: str):
        self.name = str(name).strip().upper()
        match = re.fullmatch(r"([CD])([1-9]\d{0,2})", self.name)
        if match:
            fold = int(match.group(2))
            self._generators = [(fold, (0.0, 0.0, 1.0))]
            azimuth = np.pi / fold
            centre = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
            if match.group(1) == "D":
                self._generators.append((2, (1.0, 0.0, 0.0)))
                centre[2] = 1.0
        elif self.name in _POLYHEDRAL:
            self._generators = _POLYHEDRAL[self.name]
            azimuth = 0.3
            centre = np.sum([np.divide(axis, np.linalg.norm(axis)) for _, axis in self._generators], axis=0)
        else:
            raise InputError(
                f"point group {name!r} is not supported: expected C<n>, D<n>, T, O, I or I1 to I4"
            )
        # Tilted a little, so that a direction on a boundary is nearer to one image than to the other.
        self._centre = centre + 1e-6 * np.array([np.sin(azimuth), -np.cos(azimuth), 0.7])

    def __repr__(self) -> str:
        return f"PointGroup({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PointGroup) and other.name == self.name

    def __hash__(self) -> int:
        return hash((PointGroup, self.name))

    @property
    def order(self) -> int:
        """Number of rotations in the group."""
        return len(self.matrices)

    @cached_property
    def matrices(self) -> NDArray[np.float64]:
        """The rotations, shape (order, 3, 3); the identity comes first."""
        group = np.eye(3)[None]
        powers = [_powers(fold, axis) for fold, axis in self._generators]
        while True:
            size = len(group)
            for generator in powers:
                group = _distinct((group[:, None] @ generator).reshape(-1, 3, 3))
            if len(group) == size:
                return group

    def in_asymmetric_unit(self, directions: ArrayLike) -> NDArray[np.bool_]:
        """Return which directions are nearer to the unit's centre ``p`` than to any image ``S p``.

        Of every orbit of directions exactly one is kept. The unit of C<n> is the wedge
        ``0 <= azimuth < 360/n``, that of D<n> its half with ``z >= 0``.

        Parameters
        ----------
        directions : array_like, shape (..., 3)
            Vectors ``(x, y, z)`` in the object's frame (the last row of a pose's matrix).

        Returns
        -------
        ndarray of bool, shape (...)
        """
        nearness = np.asarray(directions, dtype=np.float64) @ (self.matrices @ self._centre).T
        return nearness[..., 0] >= nearness.max(axis=-1) - 1e-10


def _powers(fold: int, axis: tuple[float, float, float]) -> NDArray[np.float64]:
    turns = 2 * np.pi * np.arange(fold) / fold
    return exp_rotation(turns[:, None] * np.divide(axis, np.linalg.norm(axis)))


def _distinct(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Drop repeated matrices, keeping the first of each and their order."""
    _, first = np.unique((matrices.reshape(-1, 9).round(6) + 0.0), axis=0, return_index=True)
    return matrices[np.sort(first)]


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
    rotations, targets = np.broadcast_arrays(
        np.asarray(rotations, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    )
    best, closeness = rotations, np.sum(rotations * targets, axis=(-2, -1))
    for S in group.matrices[1:]:  # one at a time: a large group times many poses would not fit in memory
        equivalents = rotations @ S
        trace = np.sum(equivalents * targets, axis=(-2, -1))
        best = np.where((trace > closeness)[..., None, None], equivalents, best)
        closeness = np.maximum(trace, closeness)
    return best.copy()


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
