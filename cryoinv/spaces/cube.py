"""The rotations of the cube on volumes: they move voxels onto voxels, without interpolation."""

from __future__ import annotations

import functools
import itertools

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cryoinv.errors import InputError

__all__ = ["cube_rotations", "rotate_by_cube"]

_SUBGROUPS = (1, 4, 12, 24)


@functools.cache
def cube_rotations(count: int = 24) -> NDArray[np.int64]:
    """Return the proper rotations of the cube, or a subgroup of them.

    Parameters
    ----------
    count : {24, 12, 4, 1}
        All of them (group O), those of the tetrahedron (T), the half turns about the axes (D2), the identity.

    Returns
    -------
    ndarray, shape (count, 3, 3)
        Matrices of entries 0, 1 and -1 that act on column vectors (x, y, z); the identity comes first. The array is
        cached and shared: it cannot be written to.

    Raises
    ------
    InputError
        If there is no such subgroup.

    Examples
    --------
    >>> cube_rotations(4).diagonal(axis1=1, axis2=2).tolist()
    [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]
    """
    if count not in _SUBGROUPS:
        raise InputError(f"found {count} rotations of the cube, expected one of {', '.join(map(str, _SUBGROUPS))}")
    permutations = [np.eye(3, dtype=np.int64)[list(order)] for order in itertools.permutations(range(3))]
    permutations.sort(key=lambda matrix: -_sign(matrix))  # the even ones first: those of the tetrahedron
    signs = [np.diag(each) for each in itertools.product((1, -1), repeat=3)]
    proper = [s @ p for p in permutations for s in signs if _sign(s @ p) > 0]
    matrices = np.array(proper[:count])
    matrices.setflags(write=False)
    return matrices


def _sign(matrix: NDArray[np.int64]) -> int:
    return round(float(np.linalg.det(matrix)))


def rotate_by_cube(volume: Tensor, rotation: NDArray[np.int64]) -> Tensor:
    """Rotate a map about voxel ``n//2``: ``y(r) = x(R^-1 r)``, exactly.

    In an even box the plane of index 0, at ``-n/2``, has no mirror image among the voxels: it is taken for that at
    ``n/2``, as the periodic box of the Fourier transform has it, so that the rotations are a group on odd and even
    boxes alike.

    Parameters
    ----------
    volume : Tensor, shape (n, n, n)
        Axes (z, y, x).
    rotation : ndarray, shape (3, 3)
        One of `cube_rotations`.

    Returns
    -------
    Tensor, shape (n, n, n)

    Examples
    --------
    A quarter turn about z takes x to y.

    >>> import torch
    >>> volume = torch.zeros(4, 4, 4)
    >>> volume[2, 2, 3] = 1.0  # x = 1
    >>> rotate_by_cube(volume, np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])).nonzero().tolist()
    [[2, 3, 2]]
    """
    matrix = np.asarray(rotation)[::-1, ::-1]  # on (z, y, x)
    sources = [int(np.flatnonzero(row)[0]) for row in matrix]
    mirrored = [axis for axis, source in enumerate(sources) if matrix[axis, source] < 0]
    turned = volume.permute(sources).flip(mirrored)
    if len(volume) % 2 == 0 and mirrored:
        turned = turned.roll((1,) * len(mirrored), mirrored)
    return turned
