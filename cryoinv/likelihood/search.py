"""Which poses an E-step looks at: a grid all particles share, or a neighbourhood of each particle's own pose."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cryoinv.errors import InputError
from cryoinv.geometry import (
    SO3Grid,
    exp_rotation,
    rotation_vectors,
    tangent_ball,
    translation_children,
    translation_grid,
)

from .moments import PoseMoments, square_root

__all__ = ["ExhaustiveSearch", "LocalSearch", "Oversampling"]

_NO_MASS = -1e30  # finite: a part of the grid all of whose orientations have no mass makes no NaN
_SO3_VOLUME = 8 * np.pi**2  # of all rotations, in the measure where a small ball has its Euclidean volume


@dataclass(frozen=True)
class Oversampling:
    """Second pass over the significant poses only, at half the step in every direction.

    Parameters
    ----------
    significance : float
        Posterior mass that the poses kept must hold; orientations, and translations, may each leave out half the rest.
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
        Logarithm of the prior mass of each orientation, -inf for none; uniform by default.
    log_translation_prior : array_like, shape (T,), optional
        Logarithm of the prior mass of each translation, -inf for none; uniform by default.

    Raises
    ------
    InputError
        If a log-prior has another shape, holds NaN or +inf, or leaves no mass at all; or if oversampling is asked for
        without an `SO3Grid` or with a log-prior.

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
        self._pairs: np.ndarray | None = None
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

    @cached_property
    def pairs(self) -> np.ndarray | None:
        """Orientations half a turn in plane apart, shape (O / 2, 2); None if they are not known to be paired."""
        if self.grid is None:
            return self._pairs
        by_direction = np.arange(len(self.grid)).reshape(len(self.grid.directions), 2, -1)
        return np.swapaxes(by_direction, 1, 2).reshape(-1, 2)

    @property
    def spacing_degrees(self) -> float:
        """Angle between neighbouring orientations of the last pass."""
        if self.grid is None:
            return float(np.rad2deg((_SO3_VOLUME / len(self.rotations)) ** (1 / 3)))
        return self.grid.spacing_degrees / (1 if self.oversampling is None else 2)

    def parts(self, count: int) -> list[ExhaustiveSearch]:
        """Split into so many searches of some of the orientations each, prior masses unchanged, pairs together."""
        if count <= 1:
            return [self]
        units = np.arange(len(self.rotations))[:, None] if self.pairs is None else self.pairs
        return [self._part(chosen) for chosen in np.array_split(units, count) if len(chosen)]

    def _part(self, units: np.ndarray) -> ExhaustiveSearch:
        part, orientations = copy(self), units.reshape(-1)
        part.__dict__.pop("pairs", None)
        part.grid, part.oversampling = None, None
        part._pairs = None if self.pairs is None else np.arange(len(orientations)).reshape(-1, 2)
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
    r"""A lattice of poses around each particle's own, scaled to its posterior in every direction.

    With :math:`\Sigma` the covariance of the posterior over orientations, in the tangent space, and :math:`z` the
    points of a cubic lattice in a ball, orientations are :math:`\exp(s\,\Sigma^{1/2} z)` times the centre; shifts
    likewise in their plane. Steps are 1.5 and the radius 3 standard deviations by default: as quadrature of a
    Gaussian that is good to 3e-4, and 3 % of its mass lies outside.

    The prior is uniform over all of SO(3) and over the disc of shifts up to `max_shift_pixels`, so that log-likelihoods
    compare across searches; shifts beyond that disc are not looked at, and what lies outside of the neighbourhood is
    left out of the sum.

    Parameters
    ----------
    moments : PoseMoments
        Present pose of every particle, and the covariance expected of its posterior.
    pixel_size : float
        Å per pixel.
    max_shift_pixels : float
        Largest shift; 0 for particles that are centred.
    step : float
        Lattice constant in standard deviations.
    reach : float
        Radius of ball and disc in steps.

    Raises
    ------
    InputError
        If a lattice has no width in some direction.

    Examples
    --------
    >>> from cryoinv.geometry import Poses
    >>> present = PoseMoments.isotropic(Poses(np.eye(3)[None]), degrees=2.0, angstrom=1.2)
    >>> search = LocalSearch(present, pixel_size=3.0)
    >>> search.rotations_of(np.array([0])).shape, search.translations_of(0).shape, round(search.spacing_degrees, 6)
    ((1, 33, 3, 3), (13, 2), 3.0)
    """

    def __init__(
        self,
        moments: PoseMoments,
        pixel_size: float,
        max_shift_pixels: float = 3.0,
        step: float = 1.5,
        reach: float = 2.0,
    ):
        self.centres, self.pixel_size, self.max_shift_pixels = moments.poses, pixel_size, max_shift_pixels
        self.rotation_cells = step * square_root(moments.rotation_covariance)
        self.shift_cells = step / pixel_size * square_root(moments.shift_covariance)
        if not all((np.linalg.det(cells) > 0).all() for cells in (self.rotation_cells, self.shift_cells)):
            raise InputError("a local search needs a step and standard deviations > 0 in every direction, found 0")
        # A lattice of one degree, whatever is in the tangent space.
        self._directions = np.rad2deg(rotation_vectors(tangent_ball(1.0, reach)))
        self._lattice = translation_grid(0.0 if max_shift_pixels == 0 else reach)
        self._mates = 1

    @property
    def spacing_degrees(self) -> float:
        """Angle between neighbouring orientations, geometric mean over directions and median over particles."""
        return float(np.median(np.linalg.det(self.rotation_cells) ** (1 / 3)))

    def of_symmetric_map(self, order: int) -> LocalSearch:
        """Return the same search where every pose stands for its `order` symmetry mates, with the prior mass of all."""
        search = copy(self)
        search._mates = order
        return search

    def rotations_of(self, indices: np.ndarray) -> np.ndarray:
        """Orientations (I, L, 3, 3) looked at for the given particles."""
        vectors = self._directions @ np.swapaxes(self.rotation_cells[indices], -1, -2)
        return exp_rotation(np.deg2rad(vectors)) @ self.centres.rotations[indices][:, None]

    def shifts_of(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Translations (I, T, 2) in pixels around those of particles, and which of them (I, T) are within reach."""
        centres = self.centres.shifts[indices] / self.pixel_size
        lengths = np.linalg.norm(centres, axis=1).clip(min=1e-12)
        centres = centres * np.minimum(1.0, self.max_shift_pixels / lengths)[:, None]
        shifts = centres[:, None] + self._lattice @ np.swapaxes(self.shift_cells[indices], -1, -2)
        inside = np.linalg.norm(shifts, axis=2) <= self.max_shift_pixels
        inside[:, 0] = True  # rounding must not empty the list
        return shifts, inside

    def translations_of(self, particle: int) -> np.ndarray:
        """Translations (T, 2) in pixels looked at for a particle, the centre first."""
        shifts, inside = self.shifts_of(np.array([particle]))
        return shifts[inside]

    def log_priors_of(self, indices: np.ndarray) -> np.ndarray:
        """Logarithm (I,) of the prior mass of each of the poses of particles."""
        cell = self._mates * np.linalg.det(np.deg2rad(self.rotation_cells[indices])) / _SO3_VOLUME
        area = np.pi * self.max_shift_pixels**2
        share = np.linalg.det(self.shift_cells[indices]) / area if area else np.ones(len(cell))
        return np.log(cell.clip(max=1.0)) + np.log(share.clip(max=1.0))

    def log_prior_of(self, particle: int) -> float:
        """Logarithm of the prior mass of each of a particle's poses."""
        return float(self.log_priors_of(np.array([particle]))[0])


def _log_prior(given: np.ndarray | None, count: int) -> np.ndarray:
    if given is None:
        return np.full(count, -np.log(count))
    given = np.asarray(given, dtype=np.float64)
    if given.shape != (count,):
        raise InputError(f"log-prior has shape {given.shape}, expected ({count},)")
    if np.isnan(given).any() or not -np.inf < given.max() < np.inf:
        raise InputError("log-prior holds NaN or +inf or is -inf everywhere, expected numbers, and -inf for no mass")
    return np.maximum(given, _NO_MASS)


def _child_translations(translations: np.ndarray, step: float) -> np.ndarray:
    if len(translations) == 1:
        return translations[:, None]
    return translations[:, None] + translation_children(step)
