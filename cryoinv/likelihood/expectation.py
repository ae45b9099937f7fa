"""The E-step: posteriors over poses by blocks of images, and the sums they leave behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from cryoinv.geometry import PointGroup, Poses
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators.interpolation import Interpolation

from . import tensor_cores
from .accumulator import SliceAccumulator
from .exhaustive import GridPosterior, GridSums, SharedGrid
from .grid_summary import NEIGHBOURHOOD, grid_moments, merged_summary
from .images import FourierImages
from .local_pass import local_pass
from .oversampled_pass import oversampled_pass
from .paired_grid import PairedGrid
from .posterior import PoseWeights
from .scores import ImageTerms, image_terms
from .search import ExhaustiveSearch, LocalSearch
from .statistics import CollectedSummaries, PosteriorSummary

__all__ = ["Expectation", "GroupSums"]

_CACHE_BYTES = 1 << 24  # a thread's: tables are gone through several times
_BYTES_PER_PIXEL = 40  # of one orientation: slice, sums, weight and their temporaries


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
        Orientations of a local search that hold less of a particle's posterior are not inserted.
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
    accumulator: SliceAccumulator = field(init=False, repr=False)
    _tf32: bool = field(init=False, repr=False)
    _is_tf32_measured: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._begin()

    def run(
        self, search: ExhaustiveSearch | LocalSearch, indices: np.ndarray
    ) -> tuple[SliceAccumulator, PosteriorSummary]:
        """Go through the particles; return the sums and the summaries."""
        self._begin()
        with self.products(tf32=False):  # whatever the caller allows: only what has been measured is in TF32
            if isinstance(search, LocalSearch):
                summary = local_pass(self, search, indices)
            elif search.oversampling is not None:
                summary = oversampled_pass(self, search, indices)
            else:
                summary = self._exhaustive(search, indices)
        return self.accumulator, summary

    def _begin(self) -> None:
        """Nothing accumulated, nothing known of what TF32 would change."""
        self._tf32, self._is_tf32_measured = False, self.images.device.type != "cuda"
        self.accumulator = SliceAccumulator(
            self.interpolation, self.images.disc, self.symmetry, self.noise.sigma2.shape[0], self.gradient
        )

    def products(self, tf32: bool) -> AbstractContextManager[None]:
        """Whether matrix products use TF32 inside the block, on a GPU; elsewhere torch's setting is left alone."""
        return tensor_cores.tf32(tf32) if self.images.device.type == "cuda" else nullcontext()

    # --- every pose of a shared grid ---------------------------------------------------------------------------

    def _exhaustive(self, search: ExhaustiveSearch, indices: np.ndarray) -> PosteriorSummary:
        parts = self._orientation_parts(search)
        if len(parts) == 1:
            return self._shared_pass(parts[0], indices, search.spacing_degrees)
        spacing = search.spacing_degrees
        if self.sums:
            # The evidence of the whole grid is needed before any part's weights: two passes over the parts.
            share = _shares([self._evidence(part, indices) for part in parts])
            summaries = [
                self._shared_pass(part, indices, spacing, share[:, c], first=c == 0) for c, part in enumerate(parts)
            ]
            share = share[np.argsort(indices, kind="stable")]  # the order of summaries
        else:
            summaries = [self._shared_pass(part, indices, spacing, first=c == 0) for c, part in enumerate(parts)]
            share = _shares([summary.log_likelihood for summary in summaries])
        return merged_summary(summaries, share, NEIGHBOURHOOD * spacing, self.symmetry)

    def _shared_pass(
        self,
        search: ExhaustiveSearch,
        indices: np.ndarray,
        spacing_degrees: float,
        share: np.ndarray | None = None,
        first: bool = True,
    ) -> PosteriorSummary:
        """Weigh and accumulate one part of the grid, which holds `share` of each particle's posterior.

        The images themselves are counted in the `first` part.
        """
        grid = self.shared_grid(search)
        place = {int(i): p for p, i in enumerate(indices)}
        summaries, sums = CollectedSummaries(len(indices)), None
        for group, block in self.images.group_blocks(indices, self.block_size(search)):
            terms = image_terms(self.images, self.noise, group, block, self.count)
            if sums is None or sums.group != group:
                self._close_group(grid, sums)
                sums = GroupSums(group, grid, terms.precision)
            posterior = self.posterior(grid, terms)
            summary = self.summary(block, posterior.summary, terms.constant, *grid.poses(posterior.summary.best))
            if self.sums:
                moments = grid_moments(grid, posterior, spacing_degrees, self.images.pixel_size, self.symmetry)
                summary = replace(summary, moments=moments)
            summaries.add(summary)
            if share is not None:
                posterior = posterior.scaled(torch.as_tensor(share[[place[int(i)] for i in block]]))
            if first:
                self.accumulator.add_images(group, terms.power, len(block))
                self.report(len(block))
            if self.sums:
                with self.products(self._tf32):
                    sums.add(posterior, terms, self.images.mask is not None)
        self._close_group(grid, sums)
        return summaries.summary()

    def shared_grid(self, search: ExhaustiveSearch) -> SharedGrid:
        """Slices of all orientations of a search, halved where they are paired."""
        kind = SharedGrid if search.pairs is None else PairedGrid
        return kind(search, self.interpolation, self.prepared, self.pixels)

    def posterior(self, grid: SharedGrid, terms: ImageTerms, tables: bool = True) -> GridPosterior:
        """Posterior of a block of images; the first block decides on the precision of products.

        Tables are for sums over the grid itself: without such, or oversampled, there are none.
        """
        tables = tables and self.sums and grid.search.oversampling is None
        if not self._is_tf32_measured:
            self._tf32, self._is_tf32_measured = tensor_cores.is_harmless(grid, terms), True
        with self.products(self._tf32):
            return grid.posterior(terms, tables)

    def _close_group(self, grid: SharedGrid, sums: GroupSums | None) -> None:
        if sums is not None and self.sums:
            self.accumulator.add_slices(
                sums.group,
                grid.slice_rotations,
                grid.slices,
                grid.data(sums.inserted),
                sums.inserted.weights(),
                sums.precision,
                None if sums.scored is None else grid.data(sums.scored),
            )

    def _evidence(self, search: ExhaustiveSearch, indices: np.ndarray) -> np.ndarray:
        grid = self.shared_grid(search)
        evidence: dict[int, float] = {}
        for group, block in self.images.group_blocks(indices, self.block_size(search)):
            terms = image_terms(self.images, self.noise, group, block, self.count)
            posterior = self.posterior(grid, terms, tables=False)
            evidence |= zip(block.tolist(), posterior.summary.log_evidence.tolist(), strict=True)
        return np.array([evidence[int(i)] for i in indices])

    def _orientation_parts(self, search: ExhaustiveSearch) -> list[ExhaustiveSearch]:
        """Split the grid so that one part's slices and sums fit into half the budget."""
        bytes_each = self.count * 36 * (2 if self.images.dtype == torch.float64 else 1)
        slices = len(search.rotations) // (1 if search.pairs is None else 2)
        return search.parts(-(-slices * bytes_each // (self.memory_bytes // 2)))

    def block_size(self, search: ExhaustiveSearch) -> int:
        """Images whose score table fits into half the budget, and into a CPU's cache."""
        real = 8 if self.images.dtype == torch.float64 else 4
        scores = len(search.translations) * len(search.rotations) * real
        shifted = 4 * len(search.translations) * self.count * real
        budget = self.memory_bytes // 2
        if self.images.device.type == "cpu":
            budget = min(budget, _CACHE_BYTES * torch.get_num_threads())
        return int(np.clip(budget // (scores + shifted), 1, 256))

    def most_orientations(self, cache_bytes: int) -> int:
        """Orientations whose slices and sums fit into half the budget, and on a CPU into so many bytes."""
        scale = 2 if self.images.dtype == torch.float64 else 1
        budget = self.memory_bytes // 2
        if self.images.device.type == "cpu":
            budget = min(budget, cache_bytes)
        return max(1, budget // (self.count * _BYTES_PER_PIXEL * scale))

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

    @property
    def pixels(self) -> torch.Tensor:
        """Pixels (P, 2) that are scored."""
        return self.images.disc.pixels[: self.count]

    def report(self, particles: int) -> None:
        """Tell the callback of particles done."""
        if self.callback is not None:
            self.callback(particles)


def _shares(evidence: list[np.ndarray]) -> np.ndarray:
    """Share (m, parts) of each part of a grid in the posteriors of m particles, from the log-evidence of each (m,)."""
    table = np.stack(evidence, 1)
    return np.exp(table - np.logaddexp.reduce(table, axis=1)[:, None])


class GroupSums:
    """Sums per slice over the images of one optics group.

    Parameters
    ----------
    group : int
        Its number.
    grid : SharedGrid
        Whose slices.
    precision : torch.Tensor, shape (P,)
        Weight over noise power.
    """

    def __init__(self, group: int, grid: SharedGrid, precision: torch.Tensor):
        self.group, self.grid, self.precision = group, grid, precision
        self.inserted = grid.new_sums()
        self.scored: GridSums | None = None

    def add(self, posterior: GridPosterior, terms: ImageTerms, masked: bool) -> None:
        """Add a block of images; if they are `masked`, what is scored is summed beside what is inserted."""
        self.grid.add_data(self.inserted, posterior, terms.inserted)
        self.grid.add_weights(self.inserted, posterior, terms.weight)
        if masked:
            self.scored = self.scored or self.grid.new_sums()
            self.grid.add_data(self.scored, posterior, terms.scored)
