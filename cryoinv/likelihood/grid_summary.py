"""What posteriors over a shared grid say of each particle: moments about the best pose, and parts joined."""

from __future__ import annotations

import numpy as np

from cryoinv.geometry import PointGroup, Poses, exp_rotation, nearest_equivalent, rotation_vectors

from .exhaustive import GridPosterior, SharedGrid
from .moments import Neighbourhood, Neighbourhoods, PoseMoments
from .statistics import PosteriorSummary

__all__ = ["NEIGHBOURHOOD", "grid_moments", "merged_summary"]

NEIGHBOURHOOD = 3  # steps of the grid about the best pose: other modes of a posterior have no say in its moments


def grid_moments(
    grid: SharedGrid, posterior: GridPosterior, spacing_degrees: float, pixel_size: float, symmetry: PointGroup
) -> PoseMoments:
    """Moments of the posteriors of a block of images over a shared grid of the given step."""
    neighbourhoods = []
    for image, best in enumerate(posterior.summary.best.tolist()):

        def masses(near: np.ndarray, image: int = image) -> np.ndarray:
            return grid.masses(posterior, image, near).double().cpu().numpy().clip(min=0)

        place = best % len(grid.rotations)
        within = NEIGHBOURHOOD * spacing_degrees
        arguments = (grid.rotations, grid.search.translations, masses, place, within, symmetry)
        neighbourhoods.append(Neighbourhood.of(*arguments))
    count = len(neighbourhoods)
    cells = (
        np.tile(spacing_degrees * np.eye(3), (count, 1, 1)),
        np.tile(grid.search.translation_step * np.eye(2), (count, 1, 1)),
    )
    return Neighbourhoods.join(neighbourhoods).moments(cells, pixel_size)


def merged_summary(
    parts: list[PosteriorSummary], share: np.ndarray, within_degrees: float, symmetry: PointGroup
) -> PosteriorSummary:
    """Summary over a whole grid from those of its parts, which hold `share` (m, parts) of the posterior."""
    highest = np.stack([p.max_probability for p in parts], 1) * share
    best = highest.argmax(1)
    rows = np.arange(len(best))
    with np.errstate(divide="ignore", invalid="ignore"):
        surprise = np.where(share > 0, -np.log(share), 0.0)
    entropy = (share * (np.stack([p.entropy for p in parts], 1) + surprise)).sum(1)
    mean = (share**2 * np.stack([p.mean_probability for p in parts], 1)).sum(1)
    rotations = np.stack([p.poses.rotations for p in parts], 1)[rows, best]
    shifts = np.stack([p.poses.shifts for p in parts], 1)[rows, best]
    evidence = np.logaddexp.reduce(np.stack([p.log_likelihood for p in parts], 1), axis=1)
    given = [p.moments for p in parts if p.moments is not None]
    moments = _merged_moments(given, share, best, within_degrees, symmetry) if given else None
    return PosteriorSummary(
        parts[0].indices, Poses(rotations, shifts), highest[rows, best], entropy, mean, evidence, moments
    )


def _merged_moments(
    parts: list[PoseMoments], share: np.ndarray, best: np.ndarray, within_degrees: float, symmetry: PointGroup
) -> PoseMoments:
    """Moments of the mixture of those parts whose means lie near that of the part with the best pose."""
    merged = []
    for i, chosen in enumerate(best):
        centre = parts[chosen].poses.rotations[i]
        turns = np.stack([p.poses.rotations[i] for p in parts])
        if symmetry.order > 1:
            turns = nearest_equivalent(turns, centre, symmetry)
        vectors = np.rad2deg(rotation_vectors(turns @ centre.T))
        mass = share[i] * (np.linalg.norm(vectors, axis=1) <= within_degrees)
        mass = mass / mass.sum()
        turn, rotation = _mixture(mass, vectors, np.stack([p.rotation_covariance[i] for p in parts]))
        shift, spread = _mixture(
            mass,
            np.stack([p.poses.shifts[i] for p in parts]),
            np.stack([p.shift_covariance[i] for p in parts]),
        )
        merged.append((exp_rotation(np.deg2rad(turn)) @ centre, shift, rotation, spread))
    rotations, shifts, rotation_covariance, shift_covariance = map(np.stack, zip(*merged, strict=True))
    return PoseMoments(Poses(rotations, shifts), rotation_covariance, shift_covariance)


def _mixture(mass: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of a mixture."""
    mean = mass @ means
    apart = means - mean
    return mean, np.einsum("c,cij->ij", mass, covariances) + (mass[:, None] * apart).T @ apart
