"""E-step over poses of each particle's own: children of a grid's significant ones."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from cryoinv.geometry import Poses

from .candidates import Candidates, candidate_sums, score_candidates, significant
from .grid_summary import NEIGHBOURHOOD
from .moments import Neighbourhood, moments_of
from .posterior import PoseWeights
from .scores import ImageTerms, image_terms, shift_table
from .search import ExhaustiveSearch
from .statistics import PosteriorSummary

if TYPE_CHECKING:
    from .expectation import Expectation

__all__ = ["oversampled_pass"]

_BLOCK = 32  # images whose candidates are chosen together


def oversampled_pass(step: Expectation, search: ExhaustiveSearch, indices: np.ndarray) -> PosteriorSummary:
    """Score the grid, then the children of each particle's significant poses; these are weighed and inserted."""
    assert search.oversampling is not None
    share, most = search.oversampling.significance, search.oversampling.max_orientations
    grid = step.shared_grid(search)
    children = search.child_translations()
    table = shift_table(step.pixels, step.images.n, children, step.images.dtype)
    log_prior = search.log_rotation_prior[0] + search.log_translation_prior[0] - np.log(8 * children.shape[1])
    cell = search.spacing_degrees * np.eye(3)[None], search.translation_step / 2 * np.eye(2)[None]
    order = torch.as_tensor(grid.order, device=step.images.device)
    summaries = []
    for group, block in step.images.group_blocks(indices, min(_BLOCK, step.block_size(search))):
        terms = image_terms(step.images, step.noise, group, block, step.count)
        chosen = Candidates([], [], [], [float(log_prior)] * len(block))
        posterior = step.posterior(grid, terms)
        for orientation_mass, translation_mass in zip(posterior.orientations, posterior.translations, strict=True):
            orientations = order[significant(orientation_mass, share, most)].sort().values
            translations = significant(translation_mass, share, len(translation_mass))
            chosen.rotations.append(search.child_rotations(orientations.cpu().numpy()).reshape(-1, 3, 3))
            chosen.translations.append(children[translations.cpu().numpy()].reshape(-1, 2))
            chosen.tables.append(table[translations].flatten(0, 1))
        within = NEIGHBOURHOOD * search.spacing_degrees
        cells = cell[0].repeat(len(block), 0), cell[1].repeat(len(block), 0)
        summaries.append(_weigh(step, block, terms, chosen, within, cells))
    return PosteriorSummary.concatenate(summaries)


def _weigh(
    step: Expectation,
    block: np.ndarray,
    terms: ImageTerms,
    chosen: Candidates,
    within_degrees: float,
    cells: tuple[np.ndarray, np.ndarray],
) -> PosteriorSummary:
    """Posterior over each image's own poses, accumulated and summarised.

    Moments are those within so many degrees of the best pose; `cells` are those of each image's grid.
    """
    step.accumulator.add_images(terms.group, terms.power, len(block))
    posteriors: list[PoseWeights] = []
    neighbourhoods: list[Neighbourhood] = []
    for images in chosen.batches(step.most_orientations()):
        part, own = terms.take(images), chosen.take(images)
        scores = score_candidates(part, own, step.candidate_slices)
        if step.sums:
            sums = candidate_sums(part, own, scores, step.negligible)
            step.accumulator.add_slices(
                terms.group, sums.rotations, sums.slices, sums.data, sums.weight, terms.precision, sums.scored
            )
        for i, posterior in enumerate(scores.posteriors):
            place = int(posterior.best) % len(own.rotations[i])
            near = partial(_masses, posterior)
            arguments = (own.rotations[i], own.translations[i], near, place, within_degrees, step.symmetry)
            neighbourhoods.append(Neighbourhood.of(*arguments))
        posteriors += [p.without_table() for p in scores.posteriors]
    step.report(len(block))
    best = _best_poses(chosen, posteriors)
    summary = step.summary(block, PoseWeights.join(posteriors), terms.constant, best.rotations, best.shifts)
    return replace(summary, moments=moments_of(neighbourhoods, cells, step.images.pixel_size))


def _masses(posterior: PoseWeights, orientations: np.ndarray) -> np.ndarray:
    """Masses (T, chosen) of some of the orientations of one image."""
    chosen = torch.as_tensor(orientations, device=posterior.weights.device)
    return posterior.weights[0][:, chosen].double().cpu().numpy()


def _best_poses(chosen: Candidates, posteriors: list[PoseWeights]) -> Poses:
    """Pose of largest mass of each image, shifts in pixels."""
    rotations, translations = [], []
    for own, shifts, posterior in zip(chosen.rotations, chosen.translations, posteriors, strict=True):
        translation, orientation = divmod(int(posterior.best), len(own))
        rotations.append(own[orientation])
        translations.append(shifts[translation])
    return Poses(np.stack(rotations), np.stack(translations))
