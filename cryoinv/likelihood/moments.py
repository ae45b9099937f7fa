"""Mean and covariance of each particle's posterior around its best pose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cryoinv.geometry import PointGroup, Poses, exp_rotation, nearest_equivalent, rotation_vectors

__all__ = ["Neighbourhood", "Neighbourhoods", "PoseMoments", "square_root"]

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

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Arrays by name, for files and other processes."""
        return {
            "rotations": self.poses.rotations,
            "shifts": self.poses.shifts,
            "rotation_covariance": self.rotation_covariance,
            "shift_covariance": self.shift_covariance,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> PoseMoments:
        """Moments of what `to_arrays` gave."""
        poses = Poses(arrays["rotations"], arrays["shifts"])
        return cls(poses, arrays["rotation_covariance"], arrays["shift_covariance"])

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


@dataclass
class Neighbourhood:
    """Posterior of one particle near its best pose.

    Parameters
    ----------
    centre : numpy.ndarray, shape (3, 3)
        Orientation of the best pose.
    rotations : numpy.ndarray, shape (C, 3, 3)
        Orientations near it, each as its nearest symmetry mate.
    translations : numpy.ndarray, shape (T, 2)
        Translations, pixels.
    weights : numpy.ndarray, shape (T, C)
        Posterior masses; they need not sum to one.
    """

    centre: np.ndarray
    rotations: np.ndarray
    translations: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(
        cls,
        rotations: np.ndarray,
        translations: np.ndarray,
        weights: Callable[[np.ndarray], np.ndarray],
        best: int,
        within_degrees: float,
        symmetry: PointGroup,
    ) -> Neighbourhood:
        """Select what is near the best orientation.

        Parameters
        ----------
        rotations : numpy.ndarray, shape (C, 3, 3)
            All orientations.
        translations : numpy.ndarray, shape (T, 2)
            Translations, pixels.
        weights : callable
            Gives the masses (T, chosen) of chosen orientations, by index.
        best : int
            Index of the best orientation.
        within_degrees : float
            Radius of the neighbourhood: other modes of the posterior have no say.
        symmetry : PointGroup
            Of the map.
        """
        centre = rotations[best]
        mates = (centre @ symmetry.matrices).reshape(-1, 9)
        traces = (rotations.reshape(-1, 9) @ mates.T).max(1)
        near = np.flatnonzero(traces >= 1 + 2 * np.cos(np.deg2rad(within_degrees)) - 1e-9)
        chosen = rotations[near]
        if symmetry.order > 1:
            chosen = nearest_equivalent(chosen, centre, symmetry)
        return cls(centre, chosen, translations, weights(near))


@dataclass
class Neighbourhoods:
    """Posteriors of m particles near their best poses, laid end to end.

    Parameters
    ----------
    centres : numpy.ndarray, shape (m, 3, 3)
        Orientation of each best pose.
    rotations, rotation_masses, rotation_counts : numpy.ndarray, shapes (N, 3, 3), (N,) and (m,)
        Orientations near them, their posterior masses, and how many are each particle's.
    translations, translation_masses, translation_counts : numpy.ndarray, shapes (M, 2), (M,) and (m,)
        The same of translations, in pixels.
    """

    centres: np.ndarray
    rotations: np.ndarray
    rotation_masses: np.ndarray
    rotation_counts: np.ndarray
    translations: np.ndarray
    translation_masses: np.ndarray
    translation_counts: np.ndarray

    @classmethod
    def join(cls, each: list[Neighbourhood]) -> Neighbourhoods:
        """Lay those of single particles end to end."""
        return cls(
            np.stack([near.centre for near in each]),
            np.concatenate([near.rotations for near in each]),
            np.concatenate([near.weights.sum(0) for near in each]),
            np.array([len(near.rotations) for near in each]),
            np.concatenate([near.translations for near in each]),
            np.concatenate([near.weights.sum(1) for near in each]),
            np.array([len(near.translations) for near in each]),
        )

    def moments(self, cells: tuple[np.ndarray, np.ndarray], pixel_size: float) -> PoseMoments:
        r"""Moments of all particles' posteriors at once.

        With :math:`v_c` the rotation vector from the best orientation to orientation c and :math:`p_c` its mass, the
        mean is :math:`\bar v = \sum_c p_c v_c` and the covariance
        :math:`\sum_c p_c (v_c - \bar v)(v_c - \bar v)^T`; shifts likewise. A standard deviation is at least 0.3 steps
        of the grid: less, a grid cannot tell.

        Parameters
        ----------
        cells : tuple of numpy.ndarray, shapes (m, 3, 3) and (m, 2, 2)
            Edges of each grid's cells as columns, in degrees and in pixels.
        pixel_size : float
            Å per pixel.
        """
        turns = self.rotations @ np.swapaxes(self.centres, -1, -2).repeat(self.rotation_counts, 0)
        vectors = np.rad2deg(rotation_vectors(turns))
        mean, rotation_covariance = _moments(self.rotation_masses, self.rotation_counts, vectors, cells[0])
        shift, shift_covariance = _moments(
            self.translation_masses, self.translation_counts, self.translations, cells[1]
        )
        poses = Poses(exp_rotation(np.deg2rad(mean)) @ self.centres, shift * pixel_size)
        return PoseMoments(poses, rotation_covariance, shift_covariance * pixel_size**2)


def square_root(covariance: np.ndarray) -> np.ndarray:
    """Symmetric square roots of covariances (..., d, d)."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values.clip(min=0))[..., None, :]) @ np.swapaxes(vectors, -1, -2)


def _moments(
    masses: np.ndarray, counts: np.ndarray, points: np.ndarray, cells: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Means (m, d) and covariances (m, d, d) of runs of points, the latter at least what each cell resolves."""
    starts = np.cumsum([0, *counts[:-1]])
    share = masses / np.add.reduceat(masses, starts).repeat(counts)
    mean = np.add.reduceat(share[:, None] * points, starts)
    apart = points - mean.repeat(counts, 0)
    covariance = np.add.reduceat(share[:, None, None] * apart[:, :, None] * apart[:, None, :], starts)
    to_steps = np.linalg.inv(cells)
    steps = to_steps @ covariance @ np.swapaxes(to_steps, -1, -2)
    return mean, cells @ _clipped(steps, _RESOLVED**2, np.inf) @ np.swapaxes(cells, -1, -2)


def _clipped(covariance: np.ndarray, low: float, high: float) -> np.ndarray:
    """Covariances (..., d, d) with their eigenvalues clipped."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * values.clip(low, high)[..., None, :]) @ np.swapaxes(vectors, -1, -2)
