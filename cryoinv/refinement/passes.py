"""One pass over the particles of both halves: an E-step of all at once, or the epoch of a mini-batch solver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from cryoinv.denoisers.base import checked_volume
from cryoinv.geometry import PointGroup
from cryoinv.likelihood import (
    ExhaustiveSearch,
    FourierImages,
    LocalSearch,
    MarginalLikelihood,
    SufficientStatistics,
    own_statistics,
    statistics_of_all,
)
from cryoinv.operators.interpolation import Interpolation
from cryoinv.parallel import Processes
from cryoinv.priors import BoundPrior, Prior, PriorContext
from cryoinv.solvers import OuterSolver, batches_of

from .estimate import MapEstimator, told_where
from .retention import measured_retention, probe_noise
from .settings import RefinementSettings
from .state import RefinementState

__all__ = ["Halves", "Passes"]

Halves = tuple[SufficientStatistics, SufficientStatistics]
Search = ExhaustiveSearch | LocalSearch
Advance = Callable[[int], None] | None


@dataclass
class Passes:
    """What every pass over the particles needs.

    Parameters
    ----------
    images : FourierImages
        Of all particles.
    share : tuple of numpy.ndarray
        This process's particles of each half.
    interpolation : Interpolation
        How slices are read.
    symmetry : PointGroup
        Of the map.
    mask : torch.Tensor, shape (n, n, n)
        What references are multiplied by.
    settings : RefinementSettings
        Memory and seed.
    processes : Processes
        All that share the particles.
    asked : tuple of numpy.ndarray
        Particles of each half that retention is measured by, whoever holds them.
    """

    images: FourierImages
    share: tuple[np.ndarray, np.ndarray]
    interpolation: Interpolation
    symmetry: PointGroup
    mask: torch.Tensor
    settings: RefinementSettings
    processes: Processes
    asked: tuple[np.ndarray, np.ndarray]

    def expectation(self, state: RefinementState, search: Search, window: float, advance: Advance) -> Halves:
        """E-step of each half at its reference."""
        likelihood = self._likelihood(state, search, window, advance)
        # All work first, then the exchange: no process waits for another twice.
        own = [
            own_statistics(likelihood, reference, particles)
            for reference, particles in zip(state.references, self.share, strict=True)
        ]
        first, second = (statistics_of_all(half, self.processes) for half in own)
        return first, second

    def epoch(
        self,
        solver: OuterSolver,
        estimator: MapEstimator,
        state: RefinementState,
        search: Search,
        window: float,
        advance: Advance,
    ) -> tuple[Halves, list[torch.Tensor] | None]:
        """Epoch of a mini-batch solver on each half: statistics of all its batches, and where it ended, if it says."""
        assert state.contexts is not None
        likelihood = self._likelihood(state, search, window, advance)
        found: list[SufficientStatistics] = []
        solutions: list[Any] = []
        for half, context in enumerate(state.contexts):
            # Statistics that are known to all processes: they take the same steps.
            shares = self._sizes(self.share[half])
            total = sum(shares)
            # No batch is empty in all processes.
            batches = batches_of(self.share[half], min(solver.batches, max(shares)), self._rng(state, half))
            with told_where(f"iteration {state.iteration + 1}, half {half + 1}"), estimator.named(solver):
                statistics, x = solver.epoch(
                    partial(self._expectation_of_all, likelihood),
                    partial(self._reference, state.references[half]),
                    self.interpolation.from_volume(state.references[half]),
                    batches,
                    partial(_bound, estimator.prior, context),
                    context.tau2,
                    total,
                    state.iteration,
                )
            found.append(statistics)
            solutions.append(x)
        return (found[0], found[1]), None if any(x is None for x in solutions) else solutions

    def own_asked(self) -> list[np.ndarray]:
        """Those of the particles asked that this process has, by half."""
        return [np.intersect1d(*each) for each in zip(self.asked, self.share, strict=True)]

    def retention(self, state: RefinementState, search: Search, advance: Advance = None) -> torch.Tensor:
        """Part of the references that E-steps give back as data, see `measured_retention`."""
        likelihood = self._likelihood(state, search, state.window, advance)
        rng = np.random.default_rng((self.settings.seed, state.iteration))
        sigma2 = state.noise.sigma2.double().mean(0)
        noise = [probe_noise(each, self.mask, sigma2, state.window, rng) for each in state.references]
        return measured_retention(
            likelihood, state.references, self.own_asked(), noise, state.window, self.processes
        )

    def _expectation_of_all(
        self, likelihood: MarginalLikelihood, volume: torch.Tensor, particles: np.ndarray
    ) -> SufficientStatistics:
        return statistics_of_all(own_statistics(likelihood, volume, particles), self.processes)

    def _reference(self, start: torch.Tensor, prior: BoundPrior | None, x: torch.Tensor | None) -> torch.Tensor:
        """Map that a batch's E-step aligns to: the iteration's own before the first batch, then the solver's."""
        if prior is None or x is None:
            return start
        volume = self.interpolation.to_volume(x)
        return checked_volume(prior.post_process(volume), volume, None, "post_process") * self.mask

    def _sizes(self, own: np.ndarray) -> list[int]:
        """Particles of every process."""
        return [int(arrays["size"]) for arrays in self.processes.gather({"size": np.array(len(own))})]

    def _rng(self, state: RefinementState, half: int) -> np.random.Generator:
        return np.random.default_rng((self.settings.seed, state.iteration, half, self.processes.rank))

    def _likelihood(
        self, state: RefinementState, search: Search, window: float, advance: Advance
    ) -> MarginalLikelihood:
        return MarginalLikelihood(
            self.images,
            state.noise,
            search,
            self.interpolation,
            window,
            self.symmetry,
            self.settings.memory_bytes,
            advance,
        )


def _bound(prior: Prior, context: PriorContext, statistics: SufficientStatistics) -> BoundPrior:
    return prior.bind(statistics, context)
