"""The E-step: posteriors over poses by blocks of images, and the sums they leave behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from cryoinv.geometry import PointGroup, Poses
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators.interpolation import Interpolation

from .accumulator import SliceAccumulator
from .candidate_pass import local_pass, oversampled_pass
from .candidates import Candidates
from .exhaustive import SharedGrid
from .images import FourierImages
from .posterior import PoseWeights
from .scores import ImageTerms, image_terms
from .search import ExhaustiveSearch, LocalSearch
from .statistics import PosteriorSummary

__all__ = ["Expectation"]


@dataclass
class Expectation:
    """One E-step over given particles.

    Parameters
    ----------
    images : FourierImages
        Transformed particles.
    noise : RadialGaussianNoise
        Noise powers.
    interpolation : Interpolation
        How slices are read.
    prepared : torch.Tensor
        What slices are read from (see `Interpolation.prepare`).
    count : int
        Score and insert the first `count` pixels of the disc.
    symmetry : PointGroup
        Of the map.
    gradient : bool
        Accumulate residual slices too.
    sums : bool
        Accumulate at all; without, only summaries are worth anything.
    memory_bytes : int
        Bound on the temporaries of one block.
    callback : callable, optional
        Called with the number of particles finished since the last call.
    negligible : float
        Orientations of a particle's own that hold less of its posterior are not inserted.
    """

    images: FourierImages
    noise: RadialGaussianNoise
    interpolation: Interpolation
    prepared: torch.Tensor
    count: int
    symmetry: PointGroup
    gradient: bool = False
    sums: bool = True
    memory_bytes: int = 1 << 29
    callback: Callable[[int], None] | None = None
    negligible: float = 1e-6

    def run(
        self, search: ExhaustiveSearch | LocalSearch, indices: np.ndarray
    ) -> tuple[SliceAccumulator, PosteriorSummary]:
        """Go through the particles; return the sums and the summaries."""
        self.pixels = self.images.disc.pixels[: self.count]
        self.accumulator = SliceAccumulator(
            self.interpolation, self.images.disc, self.symmetry, self.noise.sigma2.shape[0], self.gradient
        )
        if isinstance(search, LocalSearch):
            summary = local_pass(self, search, indices)
        elif search.oversampling is not None:
            summary = oversampled_pass(self, search, indices)
        else:
            summary = self._exhaustive(search, indices)
        return self.accumulator, summary

    # --- every pose of a shared grid ---------------------------------------------------------------------------

    def _exhaustive(self, search: ExhaustiveSearch, indices: np.ndarray) -> PosteriorSummary:
        parts = self._orientation_parts(search)
        if len(parts) == 1:
            return self._shared_pass(parts[0], indices, None)
        # The evidence of the whole grid is needed before any part's weights: two passes over the parts.
        evidence = np.stack([self._evidence(part, indices) for part in parts], 1)
        total = np.logaddexp.reduce(evidence, axis=1)
        summaries = [
            self._shared_pass(part, indices, np.exp(evidence[:, c] - total)) for c, part in enumerate(parts)
        ]
        by_particle = np.argsort(indices, kind="stable")  # the order of summaries
        return _merge(summaries, np.exp(evidence - total[:, None])[by_particle])

    def _shared_pass(
        self,
        search: ExhaustiveSearch,
        indices: np.ndarray,
        share: np.ndarray | None,
    ) -> PosteriorSummary:
        """Weigh and accumulate one part of the grid, which holds `share` of each particle's posterior."""
        grid = SharedGrid.build(search, self.interpolation, self.prepared, self.pixels)
        place = {int(i): p for p, i in enumerate(indices)}
        summaries, sums = [], None
        for group, block in self.images.group_blocks(indices, self.block_size(search)):
            terms = image_terms(self.images, self.noise, group, block, self.count)
            if sums is None or sums.group != group:
                self._close_group(grid, sums)
                sums = _GroupSums(group, grid.slices, terms.precision)
            posterior = grid.posterior(terms)
            summaries.append(self.summary(block, posterior, terms.constant, *grid.poses(posterior.best)))
            if share is not None:
                rows = [place[int(i)] for i in block]
                posterior.weights *= torch.as_tensor(share[rows]).to(posterior.weights)[:, None, None]
            if share is None or search is self._first_part:
                self.accumulator.add_images(group, terms.power, len(block))
            if self.sums:
                sums.add(grid, posterior.weights, terms, self.images.mask is not None)
            if share is None or search is self._first_part:
                self.report(len(block))
        self._close_group(grid, sums)
        return PosteriorSummary.concatenate(summaries)

    def _close_group(self, grid: SharedGrid, sums: _GroupSums | None) -> None:
        if sums is not None and self.sums:
            self.accumulator.add_slices(
                sums.group,
                grid.search.rotations,
                grid.slices,
                sums.data,
                sums.weight,
                sums.precision,
                sums.scored,
            )

    def _evidence(self, search: ExhaustiveSearch, indices: np.ndarray) -> np.ndarray:
        grid = SharedGrid.build(search, self.interpolation, self.prepared, self.pixels)
        evidence: dict[int, float] = {}
        for group, block in self.images.group_blocks(indices, self.block_size(search)):
            posterior = grid.posterior(image_terms(self.images, self.noise, group, block, self.count))
            evidence |= zip(block.tolist(), posterior.log_evidence.tolist(), strict=True)
        return np.array([evidence[int(i)] for i in indices])

    def _orientation_parts(self, search: ExhaustiveSearch) -> list[ExhaustiveSearch]:
        """Split the grid so that one part's slices and sums fit into half the budget."""
        bytes_each = self.count * 28 * (2 if self.images.dtype == torch.float64 else 1)
        parts = -(-len(search.rotations) * bytes_each // (self.memory_bytes // 2))
        pieces = (
            [search]
            if parts <= 1
            else [search.part(p) for p in np.array_split(np.arange(len(search.rotations)), parts)]
        )
        self._first_part = pieces[0]
        return pieces

    def block_size(self, search: ExhaustiveSearch) -> int:
        """Images whose score table fits into half the budget."""
        real = 8 if self.images.dtype == torch.float64 else 4
        scores = 2 * len(search.translations) * len(search.rotations) * real
        shifted = 4 * len(search.translations) * self.count * real
        return int(np.clip(self.memory_bytes // 2 // (scores + shifted), 1, 256))

    def summary(
        self,
        block: np.ndarray,
        posterior: PoseWeights,
        constant: torch.Tensor,
        rotations: np.ndarray,
        translations: np.ndarray,
    ) -> PosteriorSummary:
        """Summary of a block of particles from its posterior; translations in pixels."""
        host = lambda tensor: tensor.double().cpu().numpy()  # noqa: E731
        return PosteriorSummary(
            np.asarray(block),
            Poses(rotations, translations * self.images.pixel_size),
            host(posterior.max_probability),
            host(posterior.entropy),
            host(posterior.mean_probability),
            host(posterior.log_evidence + constant),
        )

    def candidate_slices(self, candidates: Candidates) -> list[torch.Tensor]:
        """Slices (C_i, P) of each image's candidate orientations."""
        rotations = torch.as_tensor(np.concatenate(candidates.rotations))
        slices = self.interpolation.slices(self.prepared, rotations, self.pixels)
        return list(slices.split([len(own) for own in candidates.rotations]))

    def report(self, particles: int) -> None:
        """Tell the callback of particles done."""
        if self.callback is not None:
            self.callback(particles)


class _GroupSums:
    """Sums per orientation over the images of one optics group."""

    def __init__(self, group: int, slices: torch.Tensor, precision: torch.Tensor):
        self.group, self.precision = group, precision
        self.data, self.weight = torch.zeros_like(slices), torch.zeros_like(slices.real)
        self.scored: torch.Tensor | None = None

    def add(self, grid: SharedGrid, weights: torch.Tensor, terms: ImageTerms, masked: bool) -> None:
        self.data += grid.sums(weights, terms.inserted)
        self.weight += grid.weight_sums(weights, terms.weight)
        if masked:
            scored = grid.sums(weights, terms.scored)
            self.scored = scored if self.scored is None else self.scored + scored


def _merge(parts: list[PosteriorSummary], share: np.ndarray) -> PosteriorSummary:
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
    return PosteriorSummary(
        parts[0].indices, Poses(rotations, shifts), highest[rows, best], entropy, mean, evidence
    )
