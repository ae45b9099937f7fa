"""Mean and covariance of each particle's posterior around its best pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cryoinv.geometry import PointGroup, Poses, exp_rotation, nearest_equivalent, rotation_vectors

__all__ = ["PoseMoments", "moments_about", "square_root"]

_RESOLVED = 0.3  # of a grid's step: a spread below it is the grid's, not the posterior's


@dataclass
class PoseMoments:
    r"""First and second moments of posteriors over poses.

    Rotation vectors :math:`v` are those of the tangent space at the mean pose: an orientation is :math:`\exp(v)\,R`.

    Parameters
    ----------
    poses : Poses
        Mean pose: off the grid, so finer than its step.
    rotation_covariance : numpy.ndarray, shape (m, 3, 3)
        Of the rotation vectors (x, y, z), in degrees squared.
    shift_covariance : numpy.ndarray, shape (m, 2, 2)
        Of the shifts (x, y), in Å squared.
    """

    poses: Poses
    rotation_covariance: np.ndarray
    shift_covariance: np.ndarray

    @classmethod
    def isotropic(cls, poses: Poses, degrees: ArrayLike, angstrom: ArrayLike) -> PoseMoments:
        """Moments of posteriors alike in all directions: standard deviations in degrees and Å, one or (m,)."""
        variances = (np.broadcast_to(np.asarray(x, dtype=np.float64), len(poses)) ** 2 for x in (degrees, angstrom))
        rotation, shift = (v[:, None, None] * np.eye(d) for v, d in zip(variances, (3, 2), strict=True))
        return cls(poses, rotation, shift)

    @classmethod
    def concatenate(cls, parts: list[PoseMoments]) -> PoseMoments:
        """Join moments of different particles."""
        rotations = np.concatenate([p.poses.rotations for p in parts])
        shifts = np.concatenate([p.poses.shifts for p in parts])
        return cls(
            Poses(rotations, shifts),
            np.concatenate([p.rotation_covariance for p in parts]),
            np.concatenate([p.shift_covariance for p in parts]),
        )

    def __getitem__(self, rows: np.ndarray) -> PoseMoments:
        return PoseMoments(self.poses[rows], self.rotation_covariance[rows], self.shift_covariance[rows])

    @property
    def degrees(self) -> np.ndarray:
        """Standard deviation of the orientation about an axis, root mean square over axes: shape (m,)."""
        return np.sqrt(np.trace(self.rotation_covariance, axis1=1, axis2=2) / 3)

    @property
    def angstrom(self) -> np.ndarray:
        """Standard deviation of the shift along an axis, root mean square over axes: shape (m,)."""
        return np.sqrt(np.trace(self.shift_covariance, axis1=1, axis2=2) / 2)

    def bounded(self, degrees: float, angstrom: float) -> PoseMoments:
        """Return the same with no standard deviation, in whatever direction, larger than given."""
        return PoseMoments(
            self.poses,
            _clipped(self.rotation_covariance, 0.0, degrees**2),
            _clipped(self.shift_covariance, 0.0, angstrom**2),
        )


def moments_about(
    rotations: np.ndarray,
    translations: np.ndarray,
    weights: np.ndarray,
    best: int,
    within_degrees: float,
    cells: tuple[np.ndarray, np.ndarray],
    symmetry: PointGroup,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    r"""Moments of one posterior over the neighbourhood of its best pose.

    With :math:`v_c` the rotation vector from the best orientation to orientation c (its nearest symmetry mate) and
    :math:`p_c` the mass, the mean is :math:`\bar v = \sum_c p_c v_c` and the covariance
    :math:`\sum_c p_c (v_c - \bar v)(v_c - \bar v)^T`; shifts likewise. A standard deviation is at least 0.3 steps of
    the grid: less, a grid cannot tell.

    Parameters
    ----------
    rotations : numpy.ndarray, shape (C, 3, 3)
        Orientations.
    translations : numpy.ndarray, shape (T, 2)
        Translations, pixels.
    weights : numpy.ndarray, shape (T, C)
        Posterior masses.
    best : int
        Flat index of the best pose in `weights`.
    within_degrees : float
        Radius of the neighbourhood: other modes of the posterior have no say.
    cells : tuple of numpy.ndarray, shapes (3, 3) and (2, 2)
        Edges of the grid's cells as columns, in degrees and in pixels.
    symmetry : PointGroup
        Of the map.

    Returns
    -------
    rotation : numpy.ndarray, shape (3, 3)
    translation : numpy.ndarray, shape (2,)
    rotation_covariance : numpy.ndarray, shape (3, 3), degrees squared
    shift_covariance : numpy.ndarray, shape (2, 2), pixels squared
    """
    centre = rotations[best % weights.shape[1]]
    if symmetry.order > 1:
        rotations = nearest_equivalent(rotations, centre, symmetry)
    traces = np.einsum("cij,ij->c", rotations, centre)
    near = np.flatnonzero(traces >= 1 + 2 * np.cos(np.deg2rad(within_degrees)) - 1e-9)
    table = weights[:, near] / weights[:, near].sum()
    mean, rotation_covariance = _moments(
        table.sum(0), np.rad2deg(rotation_vectors(rotations[near] @ centre.T)), cells[0]
    )
    shift, shift_covariance = _moments(table.sum(1), translations, cells[1])
    return exp_rotation(np.deg2rad(mean)) @ centre, shift, rotation_covariance, shift_covariance


def square_root(covariance: np.ndarray) -> np.ndarray:
    """Symmetric square roots of covariances (..., d, d)."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values.clip(min=0))[..., None, :]) @ np.swapaxes(vectors, -1, -2)


def _moments(mass: np.ndarray, points: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and covariance (d, d) of points (m, d), the latter at least what the cell resolves."""
    mean = mass @ points
    steps = np.linalg.solve(cell, (points - mean).T)
    return mean, cell @ _clipped((mass * steps) @ steps.T, _RESOLVED**2, np.inf) @ cell.T


def _clipped(covariance: np.ndarray, low: float, high: float) -> np.ndarray:
    """Covariances (..., d, d) with their eigenvalues clipped."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * values.clip(low, high)[..., None, :]) @ np.swapaxes(vectors, -1, -2)
