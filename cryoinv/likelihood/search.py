"""Which poses an E-step looks at: a grid all particles share, or a neighbourhood of each particle's own pose."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np

from cryoinv.errors import InputError
from cryoinv.geometry import (
    Poses,
    SO3Grid,
    tangent_ball,
    tangent_children,
    translation_children,
    translation_grid,
)

__all__ = ["ExhaustiveSearch", "LocalSearch", "Oversampling"]

_SO3_VOLUME = 8 * np.pi**2  # of all rotations, in the measure where a small ball has its Euclidean volume


@dataclass(frozen=True)
class Oversampling:
    """Second pass over the significant poses only, at half the step in every direction.

    Parameters
    ----------
    significance : float
        Posterior mass that the orientations kept must hold.
    max_orientations : int
        At most so many orientations of a particle are kept.
    """

    significance: float = 0.999
    max_orientations: int = 500


class ExhaustiveSearch:
    """Every orientation of a grid times every translation of a disc.

    Parameters
    ----------
    grid : SO3Grid or array_like, shape (O, 3, 3)
        Orientations, each standing for an equal share of SO(3); oversampling needs an `SO3Grid`.
    max_shift_pixels : float
        Radius of the disc of translations.
    translation_step : float
        Lattice constant in pixels.
    oversampling : Oversampling, optional
        Refine the significant poses at half the steps.
    log_rotation_prior : array_like, shape (O,), optional
        Logarithm of the prior mass of each orientation; uniform by default.
    log_translation_prior : array_like, shape (T,), optional
        Logarithm of the prior mass of each translation; uniform by default.

    Raises
    ------
    InputError
        If a log-prior has another shape, or oversampling is asked for without an `SO3Grid` or with a log-prior.

    Examples
    --------
    >>> search = ExhaustiveSearch(SO3Grid(1), max_shift_pixels=1)
    >>> len(search.rotations), len(search.translations), search.spacing_degrees
    (576, 5, 30.0)
    """

    def __init__(
        self,
        grid: SO3Grid | np.ndarray,
        max_shift_pixels: float = 0.0,
        translation_step: float = 1.0,
        oversampling: Oversampling | None = None,
        log_rotation_prior: np.ndarray | None = None,
        log_translation_prior: np.ndarray | None = None,
    ):
        self.grid = grid if isinstance(grid, SO3Grid) else None
        self.rotations = grid.matrices if isinstance(grid, SO3Grid) else np.asarray(grid, dtype=np.float64)
        if oversampling is not None and self.grid is None:
            raise InputError("oversampling needs an SO3Grid, whose cells have children")
        if oversampling is not None and not (log_rotation_prior is None and log_translation_prior is None):
            raise InputError("oversampling takes the uniform prior over poses only, found one of its own")
        self.translations = translation_grid(max_shift_pixels, translation_step)
        self.translation_step = translation_step
        self.oversampling = oversampling
        self.log_rotation_prior = _log_prior(log_rotation_prior, len(self.rotations))
        self.log_translation_prior = _log_prior(log_translation_prior, len(self.translations))

    @property
    def spacing_degrees(self) -> float:
        """Angle between neighbouring orientations of the last pass."""
        if self.grid is None:
            return float(np.rad2deg((_SO3_VOLUME / len(self.rotations)) ** (1 / 3)))
        return self.grid.spacing_degrees / (1 if self.oversampling is None else 2)

    def part(self, orientations: np.ndarray) -> ExhaustiveSearch:
        """Return the same search restricted to some orientations, prior masses unchanged."""
        part = copy(self)
        part.grid, part.oversampling = None, None
        part.rotations = self.rotations[orientations]
        part.log_rotation_prior = self.log_rotation_prior[orientations]
        return part

    def child_rotations(self, orientations: np.ndarray) -> np.ndarray:
        """Finer orientations (M, 8, 3, 3) in the cells of the given orientations (M,)."""
        assert self.grid is not None
        return self.grid.children(orientations)

    def child_translations(self) -> np.ndarray:
        """Finer translations (T, 4, 2) around each translation; a single translation stays as it is."""
        return _child_translations(self.translations, self.translation_step)


class LocalSearch:
    """A ball of rotations and a disc of translations around each particle's present pose.

    No shift looked at is longer than `max_shift_pixels` and half a step: where the neighbourhood of a particle's
    shift would reach further, its centre is moved towards zero.

    The prior is that of an `ExhaustiveSearch` of the same steps, uniform over all of SO(3) and over the lattice of
    translations within `max_shift_pixels`, so that log-likelihoods compare across searches. What lies outside of the
    neighbourhood is left out of the sum.

    Parameters
    ----------
    centres : Poses
        Present pose of every particle.
    pixel_size : float
        Å per pixel.
    step_degrees, radius_degrees : float
        Lattice constant and radius of the ball of rotations.
    shift_range_pixels, translation_step : float
        Radius and lattice constant of the disc of translations around the present shift.
    oversampling : Oversampling, optional
        Refine the significant poses at half the steps.
    max_shift_pixels : float
        Radius of the disc that all shifts are spread over a priori.

    Examples
    --------
    >>> far = Poses(np.eye(3)[None], np.array([[9.0, 0.0]]))
    >>> search = LocalSearch(far, 1.0, 5.0, 10.0, max_shift_pixels=3.0)
    >>> float((search.offsets_of(np.array([0])) + search.translations).max())
    3.5
    """

    def __init__(
        self,
        centres: Poses,
        pixel_size: float,
        step_degrees: float,
        radius_degrees: float,
        shift_range_pixels: float = 1.0,
        translation_step: float = 1.0,
        oversampling: Oversampling | None = None,
        max_shift_pixels: float = 3.0,
    ):
        self.centres, self.pixel_size = centres, pixel_size
        self.step_degrees, self.radius_degrees = step_degrees, radius_degrees
        self.relative = tangent_ball(step_degrees, radius_degrees)
        self.translations = translation_grid(min(shift_range_pixels, max_shift_pixels), translation_step)
        self.translation_step = translation_step
        self.oversampling = oversampling
        searched = self.translations if oversampling is None else self.child_translations()
        # Children lie within half a step of their parent, so this is never negative.
        self._longest_offset = max_shift_pixels + translation_step / 2 - np.linalg.norm(searched, axis=-1).max()
        everywhere = translation_grid(max_shift_pixels, translation_step)
        self.log_rotation_prior = self._rotation_prior(1)
        self.log_translation_prior = np.full(len(self.translations), -np.log(len(everywhere)))

    def _rotation_prior(self, mates: int) -> np.ndarray:
        share = mates * np.deg2rad(self.step_degrees) ** 3 / _SO3_VOLUME
        return np.full(len(self.relative), np.log(min(share, 1.0)))

    def of_symmetric_map(self, order: int) -> LocalSearch:
        """Return the same search where every pose stands for its `order` symmetry mates, with the prior mass of all."""
        search = copy(self)
        search.log_rotation_prior = self._rotation_prior(order)
        return search

    @property
    def spacing_degrees(self) -> float:
        """Angle between neighbouring orientations of the last pass."""
        return self.step_degrees / (1 if self.oversampling is None else 2)

    def rotations_of(self, indices: np.ndarray) -> np.ndarray:
        """Orientations (I, L, 3, 3) looked at for the given particles."""
        return self.relative @ self.centres.rotations[indices][:, None]

    def offsets_of(self, indices: np.ndarray) -> np.ndarray:
        """Shifts (I, 2) in pixels that the translations are relative to."""
        offsets = self.centres.shifts[indices] / self.pixel_size
        lengths = np.linalg.norm(offsets, axis=1, keepdims=True)
        return offsets * np.minimum(1.0, self._longest_offset / np.maximum(lengths, 1e-12))

    def child_relative(self, neighbours: np.ndarray) -> np.ndarray:
        """Finer relative rotations (M, 8, 3, 3) around the given neighbours (M,) of the ball."""
        return tangent_children(self.step_degrees) @ self.relative[neighbours][:, None]

    def child_translations(self) -> np.ndarray:
        """Finer translations (T, 4, 2) around each translation; a single translation stays as it is."""
        return _child_translations(self.translations, self.translation_step)


def _log_prior(given: np.ndarray | None, count: int) -> np.ndarray:
    if given is None:
        return np.full(count, -np.log(count))
    given = np.asarray(given, dtype=np.float64)
    if given.shape != (count,):
        raise InputError(f"log-prior has shape {given.shape}, expected ({count},)")
    return given


def _child_translations(translations: np.ndarray, step: float) -> np.ndarray:
    if len(translations) == 1:
        return translations[:, None]
    return translations[:, None] + translation_children(step)
