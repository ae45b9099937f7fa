"""E-step in two looks: at all poses of a grid, and at the children of those that are significant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from .children import CHILDREN, ChildPoses, weigh_children
from .exhaustive import SharedGrid
from .grid_summary import NEIGHBOURHOOD
from .moments import Neighbourhood, Neighbourhoods, PoseMoments
from .posterior import PoseWeights
from .scores import ImageTerms, image_terms, shift_table
from .search import ExhaustiveSearch
from .statistics import CollectedSummaries, PosteriorSummary

if TYPE_CHECKING:
    from .expectation import Expectation

__all__ = ["oversampled_pass", "significant"]

_MOST_IMAGES = 512  # whose children are weighed together


def oversampled_pass(step: Expectation, search: ExhaustiveSearch, indices: np.ndarray) -> PosteriorSummary:
    """Score the grid, then the children of each particle's significant poses; these are weighed and inserted."""
    grid = step.shared_grid(search)
    children = search.child_translations()
    finer = children.shape[1]  # than each translation
    log_prior = search.log_rotation_prior[0] + search.log_translation_prior[0] - np.log(CHILDREN * finer)
    table = shift_table(step.pixels, step.images.n, children.reshape(-1, 2), step.images.dtype)
    summaries = CollectedSummaries(len(indices))
    for group, block in step.images.group_blocks(indices, _images_at_once(step)):
        terms = image_terms(step.images, step.noise, group, block, step.count)
        step.accumulator.add_images(terms.group, terms.power, len(block))
        poses = ChildPoses(search, [], [], [], table, float(log_prior))
        for orientations, translations in _significant_poses(step, search, grid, terms):
            poses.cells.append(orientations)
            poses.translations.append(children[translations].reshape(-1, 2))
            rows = translations[:, None] * finer + np.arange(finer)
            poses.rows.append(torch.as_tensor(rows.reshape(-1), device=table.device))
        # Slices are made anew for every run of images.
        for images in poses.runs(step.memory_bytes // 2):
            summaries.add(_weigh(step, search, block[images], terms.take(images), poses.take(images)))
    return summaries.summary()


def significant(mass: torch.Tensor, share: float, most: int) -> torch.Tensor:
    """Indices of the largest entries of a probability vector that together hold `share` of it; at most `most`."""
    top, index = mass.topk(min(most, len(mass)))
    below = torch.cumsum(top, 0) < share * float(mass.sum())
    return index[: int(below.sum()) + 1].sort().values


def _images_at_once(step: Expectation) -> int:
    """Images whose transforms, at all frequencies, and their temporaries fit into an eighth of the budget."""
    real = 8 if step.images.dtype == torch.float64 else 4
    return int(np.clip(step.memory_bytes // 8 // (len(step.images.disc) * 6 * real), 1, _MOST_IMAGES))


def _significant_poses(
    step: Expectation, search: ExhaustiveSearch, grid: SharedGrid, terms: ImageTerms
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Orientations and translations of the search, increasing, whose poses hold the mass asked for, of every image."""
    assert search.oversampling is not None
    most = search.oversampling.max_orientations
    share = (1 + search.oversampling.significance) / 2  # each may leave out half of what both may together
    size = step.block_size(search)
    for start in range(0, len(terms), size):
        posterior = step.posterior(grid, terms.take(slice(start, start + size)))
        for orientation_mass, translation_mass in zip(posterior.orientations, posterior.translations, strict=True):
            orientations = significant(orientation_mass, share, most).cpu().numpy()
            translations = significant(translation_mass, share, len(translation_mass)).cpu().numpy()
            yield np.sort(grid.order[orientations]), translations


def _weigh(
    step: Expectation, search: ExhaustiveSearch, block: np.ndarray, terms: ImageTerms, poses: ChildPoses
) -> PosteriorSummary:
    """Posterior over each image's own poses, accumulated and summarised."""
    posteriors = weigh_children(step, terms, poses)
    step.report(len(block))
    rotations, shifts, moments = _moments(step, search, poses, posteriors)
    joined = PoseWeights.join([posterior.without_table() for posterior in posteriors])
    return replace(step.summary(block, joined, terms.constant, rotations, shifts), moments=moments)


def _moments(
    step: Expectation, search: ExhaustiveSearch, poses: ChildPoses, posteriors: list[PoseWeights]
) -> tuple[np.ndarray, np.ndarray, PoseMoments]:
    """Rotation and shift (pixels) of largest mass of each image, and moments within some steps of the grid about it."""
    best, near = [], []
    for cells, translations, posterior in zip(poses.cells, poses.translations, posteriors, strict=True):
        rotations, masses = poses.rotations(cells), partial(_masses, posterior)
        translation, orientation = divmod(int(posterior.best), len(rotations))
        best.append(translations[translation])
        within = NEIGHBOURHOOD * search.spacing_degrees
        near.append(Neighbourhood.of(rotations, translations, masses, orientation, within, step.symmetry))
    edges = (
        np.tile(search.spacing_degrees * np.eye(3), (len(near), 1, 1)),
        np.tile(search.translation_step / 2 * np.eye(2), (len(near), 1, 1)),
    )
    together = Neighbourhoods.join(near)
    return together.centres, np.stack(best), together.moments(edges, step.images.pixel_size)


def _masses(posterior: PoseWeights, orientations: np.ndarray) -> np.ndarray:
    """Masses (T, chosen) of some of the orientations of one image."""
    chosen = torch.as_tensor(orientations, device=posterior.weights.device)
    return posterior.weights[0][:, chosen].double().cpu().numpy()
