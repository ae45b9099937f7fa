"""Grids of orientations: HEALPix viewing directions times in-plane angles."""

from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoinv.errors import InputError
from cryoinv.geometry.rotations import about_y, about_z
from cryoinv.geometry.symmetry import PointGroup


class SO3Grid:
    """A uniform grid ``R = Rz(psi) Ry(tilt) Rz(rot)`` on SO(3), direction-major with psi fastest.

    The directions (rot, tilt) are the ``12 * 4**order`` nested HEALPix pixel centres, the in-plane angles the
    ``6 * 2**order`` multiples of the spacing. Every orientation stands for an equal share of SO(3).

    Parameters
    ----------
    order : int
        HEALPix order, 0 to 7: spacing 60, 30, 15, 7.5, ... degrees.
    symmetry : str or PointGroup
        With a point group only the directions in its asymmetric unit are kept.

    Attributes
    ----------
    order : int
    group : PointGroup
    directions : ndarray, shape (D, 3)
        Viewing directions ``(x, y, z)`` in the object's frame: the last row of each matrix.
    frames : ndarray, shape (D, 3, 3)
        ``Ry(tilt) Rz(rot)``: the orientation with psi = 0 of each direction.
    in_plane_degrees : ndarray, shape (P,)
        The angles psi.

    Raises
    ------
    InputError
        If the order is out of range or the point group is not known.

    References
    ----------
    Gorski et al. (2005), Astrophys. J. 622, 759. Scheres (2012), J. Struct. Biol. 180, 519.

    Examples
    --------
    >>> grid = SO3Grid(2)
    >>> len(grid), grid.matrices.shape, grid.spacing_degrees
    (4608, (4608, 3, 3), 15.0)
    """

    def __init__(self, order: int, symmetry: str | PointGroup = "C1"):
        if not 0 <= order <= 7 or int(order) != order:
            raise InputError(f"the order of an orientation grid is a whole number from 0 to 7, found {order}")
        self.order = int(order)
        self.group = symmetry if isinstance(symmetry, PointGroup) else PointGroup(symmetry)
        rot, tilt = _healpix_angles(self.order)
        self._pixels = np.flatnonzero(self.group.in_asymmetric_unit(_unit_vectors(rot, tilt)))
        rot, tilt = rot[self._pixels], tilt[self._pixels]
        self.directions = _unit_vectors(rot, tilt)
        self.frames = about_y(tilt) @ about_z(rot)
        self.in_plane_degrees = self.spacing_degrees * np.arange(6 * 2**self.order)

    def __len__(self) -> int:
        """Return the number of orientations."""
        return len(self.directions) * len(self.in_plane_degrees)

    def __repr__(self) -> str:
        return f"SO3Grid({self.order}, symmetry={self.group.name!r})"

    @property
    def spacing_degrees(self) -> float:
        """Nominal angle between neighbours, ``60 / 2**order`` degrees."""
        return 60 / 2**self.order

    @property
    def oversampled_spacing(self) -> float:
        """Nominal angle between neighbouring `children`, in degrees."""
        return self.spacing_degrees / 2

    @property
    def direction_index(self) -> NDArray[np.intp]:
        """Index into `directions` of every orientation, shape (O,)."""
        return np.arange(len(self)) // len(self.in_plane_degrees)

    @property
    def in_plane_index(self) -> NDArray[np.intp]:
        """Index into `in_plane_degrees` of every orientation, shape (O,)."""
        return np.arange(len(self)) % len(self.in_plane_degrees)

    @cached_property
    def matrices(self) -> NDArray[np.float64]:
        """Every orientation, shape (O, 3, 3)."""
        in_plane = about_z(np.deg2rad(self.in_plane_degrees))
        return (in_plane @ self.frames[:, None]).reshape(-1, 3, 3)

    def children(self, indices: ArrayLike) -> NDArray[np.float64]:
        """Return the 8 orientations of the next order inside each cell: 4 directions x 2 in-plane angles.

        The directions are the nested HEALPix children of the parent's, each reached by the shortest rotation
        of the parent (so that children stay near it at the poles too), then turned in plane by
        ``+-spacing/4``.

        Parameters
        ----------
        indices : array_like of int, shape (M,)
            Orientations of this grid.

        Returns
        -------
        ndarray, shape (M, 8, 3, 3)
            Direction-major, the in-plane halves fastest.

        Examples
        --------
        >>> SO3Grid(1).children([0, 5]).shape
        (2, 8, 3, 3)
        """
        direction, in_plane = np.divmod(np.asarray(indices, dtype=np.intp), len(self.in_plane_degrees))
        quarter = self.spacing_degrees / 4
        angles = self.in_plane_degrees[in_plane][:, None] + np.array([-quarter, quarter])
        turned = about_z(np.deg2rad(angles))[:, None]
        return (turned @ self._child_frames[direction][:, :, None]).reshape(-1, 8, 3, 3)

    @cached_property
    def _child_frames(self) -> NDArray[np.float64]:
        rot, tilt = _healpix_angles(self.order + 1)
        targets = _unit_vectors(rot, tilt).reshape(-1, 4, 3)[self._pixels]
        return self.frames[:, None] @ _shortest_rotation(targets, self.directions[:, None])


def _healpix_angles(order: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (rot, tilt) in radians of every nested pixel's centre."""
    import healpix

    nside = 2**order
    tilt, rot = healpix.pix2ang(nside, np.arange(12 * nside**2), nest=True)
    return rot, tilt


def _unit_vectors(rot: NDArray[np.float64], tilt: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.sin(tilt) * np.cos(rot), np.sin(tilt) * np.sin(rot), np.cos(tilt)], axis=-1)


def _shortest_rotation(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation ``1 + [v]_x + [v]_x^2 / (1 + a.b)``, ``v = a x b``, that takes unit a to unit b."""
    cross = np.cross(a, b)
    x, y, z = np.moveaxis(cross, -1, 0)
    zero = np.zeros_like(x)
    K = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape((*x.shape, 3, 3))
    return np.eye(3) + K + K @ K / (1 + np.sum(a * b, axis=-1))[..., None, None]
