"""E-steps over poses of each particle's own: children of a grid's significant poses, or a neighbourhood."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from cryoinv.geometry import Poses

from .candidates import Candidates, candidate_sums, score_candidates, significant_pair
from .exhaustive import SharedGrid
from .fine_grid import FineGrid
from .posterior import PoseWeights
from .scores import ImageTerms, image_terms, shift_table
from .search import ExhaustiveSearch, LocalSearch
from .statistics import PosteriorSummary

if TYPE_CHECKING:
    from .expectation import Expectation

__all__ = ["local_pass", "oversampled_pass"]

_BLOCK = 32  # images whose candidates are chosen together
_CACHE_BYTES = 1 << 25  # larger batches wander to memory and back at every step
_BYTES_PER_PIXEL = 40  # of one orientation: slice, sums, weight and their temporaries


def oversampled_pass(step: Expectation, search: ExhaustiveSearch, indices: np.ndarray) -> PosteriorSummary:
    """Score the grid, then the children of each particle's significant poses; these are weighed and inserted."""
    assert search.oversampling is not None
    share, most = search.oversampling.significance, search.oversampling.max_orientations
    grid = SharedGrid.build(search, step.interpolation, step.prepared, step.pixels)
    children = search.child_translations()
    table = shift_table(step.pixels, step.images.n, children, step.images.dtype)
    log_prior = search.log_rotation_prior[0] + search.log_translation_prior[0] - np.log(8 * children.shape[1])
    fine = FineGrid(step, search) if FineGrid.fits(step, search) else None
    summaries, last = [], None
    for group, block in step.images.group_blocks(indices, min(_BLOCK, step.block_size(search))):
        terms = image_terms(step.images, step.noise, group, block, step.count)
        if fine is not None and last is not None and last.group != group:
            fine.close(step, last.group, last.precision)
        last = terms
        chosen = Candidates([], [], [], float(log_prior))
        for weights in grid.posterior(terms).weights:
            orientations, translations = significant_pair(weights, share, most)
            chosen.rotations.append(search.child_rotations(orientations.cpu().numpy()).reshape(-1, 3, 3))
            chosen.translations.append(children[translations.cpu().numpy()].reshape(-1, 2))
            chosen.tables.append(table[translations].flatten(0, 1))
            if fine is not None:
                chosen.rows.append(FineGrid.rows(orientations))
        summaries.append(_weigh(step, block, terms, chosen, fine))
    if fine is not None and last is not None:
        fine.close(step, last.group, last.precision)
    return PosteriorSummary.concatenate(summaries)


def local_pass(step: Expectation, search: LocalSearch, indices: np.ndarray) -> PosteriorSummary:
    """Score the neighbourhood of each particle's pose, and with oversampling its significant poses' children."""
    table = shift_table(step.pixels, step.images.n, search.translations, step.images.dtype)
    log_prior = float(search.log_rotation_prior[0] + search.log_translation_prior[0])
    summaries = []
    for group, block in step.images.group_blocks(indices, _BLOCK):
        terms = image_terms(step.images, step.noise, group, block, step.count)
        offsets = search.offsets_of(block)
        centring = shift_table(step.pixels, step.images.n, offsets, step.images.dtype)
        chosen = Candidates(
            list(search.rotations_of(block)),
            [search.translations + o for o in offsets],
            [table * c for c in centring],
            log_prior,
        )
        if search.oversampling is not None:
            chosen = _children(step, search, block, terms, chosen, centring)
        summaries.append(_weigh(step, block, terms, chosen))
    return PosteriorSummary.concatenate(summaries)


def _children(
    step: Expectation,
    search: LocalSearch,
    block: np.ndarray,
    terms: ImageTerms,
    coarse: Candidates,
    centring: torch.Tensor,
) -> Candidates:
    """Children of the significant candidates of a first pass."""
    assert search.oversampling is not None
    share, most = search.oversampling.significance, search.oversampling.max_orientations
    children = search.child_translations()
    table = shift_table(step.pixels, step.images.n, children, step.images.dtype)
    offsets = search.offsets_of(block)
    fine = Candidates([], [], [], coarse.log_prior - float(np.log(8 * children.shape[1])))
    for images in coarse.batches(_most_orientations(step)):
        scores = score_candidates(terms.take(images), coarse.take(images), step.candidate_slices)
        for i, posterior in enumerate(scores.posteriors, start=images.start):
            neighbours, translations = significant_pair(posterior.weights[0], share, most)
            relative = search.child_relative(neighbours.cpu().numpy()).reshape(-1, 3, 3)
            fine.rotations.append(relative @ search.centres.rotations[block[i]])
            fine.translations.append(children[translations.cpu().numpy()].reshape(-1, 2) + offsets[i])
            fine.tables.append(table[translations].flatten(0, 1) * centring[i])
    return fine


def _weigh(
    step: Expectation, block: np.ndarray, terms: ImageTerms, chosen: Candidates, fine: FineGrid | None = None
) -> PosteriorSummary:
    """Posterior over each image's own poses, accumulated (on the fine grid where there is one) and summarised."""
    step.accumulator.add_images(terms.group, terms.power, len(block))
    posteriors: list[PoseWeights] = []
    for images in chosen.batches(_most_orientations(step)):
        part, own = terms.take(images), chosen.take(images)
        scores = score_candidates(part, own, step.candidate_slices if fine is None else fine.slices_of)
        if step.sums:
            sums = candidate_sums(part, own, scores, step.negligible)
            if fine is not None:
                fine.add(sums)
            else:
                step.accumulator.add_slices(
                    terms.group, sums.rotations, sums.slices, sums.data, sums.weight, terms.precision, sums.scored
                )
        posteriors += [p.without_table() for p in scores.posteriors]
    step.report(len(block))
    poses = _best_poses(chosen, posteriors)
    return step.summary(block, PoseWeights.join(posteriors), terms.constant, poses.rotations, poses.shifts)


def _best_poses(chosen: Candidates, posteriors: list[PoseWeights]) -> Poses:
    """Pose of largest mass of each image, shifts in pixels."""
    rotations, translations = [], []
    for own, shifts, posterior in zip(chosen.rotations, chosen.translations, posteriors, strict=True):
        translation, orientation = divmod(int(posterior.best), len(own))
        rotations.append(own[orientation])
        translations.append(shifts[translation])
    return Poses(np.stack(rotations), np.stack(translations))


def _most_orientations(step: Expectation) -> int:
    """Orientations whose slices and sums fit into the budget, and into a CPU's cache."""
    scale = 2 if step.images.dtype == torch.float64 else 1
    budget = step.memory_bytes // 2
    if step.images.device.type == "cpu":
        budget = min(budget, _CACHE_BYTES)
    return max(1, budget // (step.count * _BYTES_PER_PIXEL * scale))
