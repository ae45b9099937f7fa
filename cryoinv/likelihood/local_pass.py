"""E-step over a lattice of poses around each particle's own: small matrix products of many particles at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from cryoinv.geometry import PointGroup, nearest_equivalent

from .moments import Neighbourhoods
from .posterior import PoseWeights, normalise
from .scores import ImageTerms, as_real, image_terms, shift_table
from .search import LocalSearch
from .statistics import CollectedSummaries, PosteriorSummary

if TYPE_CHECKING:
    from .expectation import Expectation

__all__ = ["local_pass"]

_CACHE_BYTES = 1 << 24  # larger batches wander to memory and back at every step
_MOST_IMAGES = 64  # at a time: of each all frequencies are at hand, however few are scored


def local_pass(step: Expectation, search: LocalSearch, indices: np.ndarray) -> PosteriorSummary:
    """Score the lattice around each particle's pose.

    Lattices of I particles have L orientations times T translations each; those translations that are out of reach
    have no prior mass.
    """
    orientations = search.rotations_of(indices[:1]).shape[1]
    size = int(np.clip(step.most_orientations(_CACHE_BYTES) // orientations, 1, _MOST_IMAGES))
    summaries = CollectedSummaries(len(indices))
    for group, block in step.images.group_blocks(indices, size):
        terms = image_terms(step.images, step.noise, group, block, step.count)
        step.accumulator.add_images(terms.group, terms.power, len(block))
        summaries.add(_weigh(step, search, block, terms))
        step.report(len(block))
    return summaries.summary()


def _weigh(step: Expectation, search: LocalSearch, block: np.ndarray, terms: ImageTerms) -> PosteriorSummary:
    """Posterior over the lattices of a block, accumulated and summarised."""
    rotations = search.rotations_of(block)
    translations, inside = search.shifts_of(block)
    log_prior = np.where(inside, search.log_priors_of(block)[:, None], -np.inf)
    table = shift_table(step.pixels, step.images.n, translations, step.images.dtype)
    flat = torch.as_tensor(rotations.reshape(-1, 3, 3))
    slices = step.interpolation.slices(step.prepared, flat, step.pixels).unflatten(0, rotations.shape[:2])
    posterior = normalise(_scores(terms, slices, table, log_prior))
    if step.sums:
        _accumulate(step, terms, flat, slices, table, posterior.weights)
    best_translation, best_rotation = np.divmod(posterior.best.cpu().numpy(), rotations.shape[1])
    each = np.arange(len(block))
    best = rotations[each, best_rotation], translations[each, best_translation]
    summary = step.summary(block, posterior, terms.constant, *best)
    near = _neighbourhoods(best[0], rotations, translations, posterior, step.symmetry)
    cells = search.rotation_cells[block], search.shift_cells[block]
    return replace(summary, moments=near.moments(cells, step.images.pixel_size))


def _scores(terms: ImageTerms, slices: torch.Tensor, table: torch.Tensor, log_prior: np.ndarray) -> torch.Tensor:
    """Scores (I, T, L) of slices (I, L, P) and the factors (I, T, P) that undo translations."""
    real = as_real(slices)
    scores = torch.bmm(as_real(terms.scored[:, None] * table), real.mT)
    power = real.square() @ terms.weight.repeat_interleave(2, 1)[..., None]
    scores -= 0.5 * power.mT
    return scores.add_(torch.as_tensor(log_prior, device=scores.device)[..., None])


def _accumulate(
    step: Expectation,
    terms: ImageTerms,
    rotations: torch.Tensor,
    slices: torch.Tensor,
    table: torch.Tensor,
    weights: torch.Tensor,
) -> None:
    """Sum over translations at every orientation that holds any mass to speak of."""
    mass = weights.sum(1)
    kept = (mass.flatten() > step.negligible).nonzero()[:, 0]
    all_kept = len(kept) == mass.numel()

    def chosen(values: torch.Tensor) -> torch.Tensor:
        return values.flatten(0, 1) if all_kept else values.flatten(0, 1)[kept]

    def summed(data: torch.Tensor) -> torch.Tensor:
        sums = torch.bmm(weights.mT, as_real(data[:, None] * table))
        return torch.view_as_complex(chosen(sums).unflatten(1, (-1, 2)))

    masked = terms.scored is not terms.inserted
    step.accumulator.add_slices(
        terms.group,
        rotations[kept.cpu()].numpy(),
        chosen(slices),
        summed(terms.inserted),
        chosen(mass[..., None] * terms.weight[:, None]),
        terms.precision,
        summed(terms.scored) if masked else None,
    )


def _neighbourhoods(
    centres: np.ndarray,
    rotations: np.ndarray,
    translations: np.ndarray,
    posterior: PoseWeights,
    symmetry: PointGroup,
) -> Neighbourhoods:
    """All of every lattice (I, L, 3, 3) and (I, T, 2), each orientation as the mate nearest to the best one."""
    if symmetry.order > 1:
        rotations = nearest_equivalent(rotations, centres[:, None], symmetry)
    translation_masses, rotation_masses = (
        posterior.weights.sum(axis, dtype=torch.float64).cpu().numpy() for axis in (2, 1)
    )
    return Neighbourhoods(
        centres,
        rotations.reshape(-1, 3, 3),
        rotation_masses.reshape(-1),
        np.full(len(centres), rotations.shape[1]),
        translations.reshape(-1, 2),
        translation_masses.reshape(-1),
        np.full(len(centres), translations.shape[1]),
    )
