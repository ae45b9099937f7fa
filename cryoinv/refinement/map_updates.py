"""Next maps of a refinement: what the priors of both halves are told, their M-steps, and checks of what they find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from cryoinv.likelihood import SufficientStatistics
from cryoinv.parallel import Processes
from cryoinv.priors import PriorContext

from .estimate import MapEstimator, check_grey_scale, told_where, trust_of
from .gold_standard import HalfMaps, join_low_resolution, of_both, tau2_from_fsc
from .passes import Halves

__all__ = ["MapUpdates"]

Pair = tuple[torch.Tensor, torch.Tensor]
Contexts = tuple[PriorContext, PriorContext]


@dataclass
class MapUpdates:
    """How statistics become maps: those E-steps align to, and the one that is reported.

    Parameters
    ----------
    estimator, output : MapEstimator
        Prior and M-step of the references, and of the reported map.
    mask : torch.Tensor, shape (n, n, n)
        The particle's sphere.
    filled : float
        Part of the box in which priors expect signal, see `tau2_from_fsc`.
    join_below : float
        Å; coarser shells of both halves are joined.
    diameter, pixel_size : float
        Å, of the sphere and a pixel.
    processes : Processes
        Those that share the work.
    """

    estimator: MapEstimator
    output: MapEstimator
    mask: torch.Tensor
    filled: float
    join_below: float
    diameter: float
    pixel_size: float
    processes: Processes

    def of_halves(
        self,
        halves: Halves,
        maps: HalfMaps,
        previous: Pair,
        solutions: Sequence[torch.Tensor] | None,
        iteration: int,
    ) -> tuple[Pair, Contexts]:
        """Next map of each half, and what their priors were told.

        Parameters
        ----------
        halves : tuple of SufficientStatistics
            Of the iteration.
        maps : HalfMaps
            Their unregularised maps and FSC.
        previous : tuple of torch.Tensor, shape (n, n, n)
            References of the iteration.
        solutions : sequence of torch.Tensor, optional
            Where a mini-batch solver ended, in place of an M-step.
        iteration : int
            From 1.
        """
        joined, solutions = join_low_resolution(halves, self.join_below, solutions)
        trust = self._trust(self.estimator, halves, maps, f"iteration {iteration}")
        first, second = (self._context(half, maps, iteration, trust=trust) for half in joined)
        contexts = (first, second)

        def task(half: int) -> torch.Tensor:
            with told_where(f"iteration {iteration}, half {half + 1}"):
                if solutions is None:
                    volume = self.estimator(joined[half], contexts[half], previous[half])
                else:
                    volume = self.estimator.finished(joined[half], contexts[half], solutions[half])
                check_grey_scale(volume, maps.volumes[half], maps.fsc, self.estimator.prior)
            return volume

        one, other = self.processes.share([partial(task, half) for half in range(2)], self.mask.device)
        return (one, other), contexts

    def of_all(self, halves: Halves, maps: HalfMaps, previous: Pair, iteration: int) -> torch.Tensor:
        """Map (n, n, n) of all particles under the prior of the output; parameters as in `of_halves`."""
        joined = halves[0] + halves[1]
        trust = self._trust(self.output, halves, maps, "final iteration")
        context = self._context(joined, maps, iteration, of_both, trust)

        def task() -> torch.Tensor:
            with told_where("final iteration, both halves"):
                volume = self.output(joined, context, (previous[0] + previous[1]) / 2)
                check_grey_scale(volume, (maps.volumes[0] + maps.volumes[1]) / 2, maps.fsc, self.output.prior)
            return volume

        return self.processes.share([task], self.mask.device)[0]

    def _context(
        self,
        statistics: SufficientStatistics,
        maps: HalfMaps,
        iteration: int,
        curve: Callable[[torch.Tensor], torch.Tensor] = lambda fsc: fsc,
        trust: torch.Tensor | None = None,
    ) -> PriorContext:
        """What priors are told; `curve` makes the statistics' FSC of that of the halves."""
        fsc, inside = curve(maps.fsc), curve(maps.fsc_masked)
        tau2 = tau2_from_fsc(fsc, statistics, self.filled)
        resolution, radius = maps.resolution(self.pixel_size).angstrom, self.diameter / 2
        return PriorContext(
            len(self.mask), self.pixel_size, fsc, tau2, resolution, radius, iteration, trust, inside
        )

    def _trust(self, estimator: MapEstimator, halves: Halves, maps: HalfMaps, place: str) -> torch.Tensor | None:
        """What the inflation guard of a prior leaves, from halves that are not joined in any shell."""
        contexts = [self._context(half, maps, 0) for half in halves]
        with told_where(f"{place}, inflation guard"), estimator.named(estimator.m_step):
            return trust_of(estimator.prior, halves, contexts, self.mask, self.processes)
