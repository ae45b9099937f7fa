"""Statistics of particles that several processes have looked at, each at its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from cryoinv.geometry import Poses
from cryoinv.noise import ResidualPower
from cryoinv.parallel import Processes

from .marginal import MarginalLikelihood
from .statistics import PosteriorSummary, SufficientStatistics

__all__ = ["own_statistics", "statistics_of_all"]


def own_statistics(
    likelihood: MarginalLikelihood, volume: torch.Tensor, particles: np.ndarray
) -> SufficientStatistics:
    """E-step over one process's particles, which may be none: its share of `statistics_of_all`.

    Parameters
    ----------
    likelihood : MarginalLikelihood
        Of all particles.
    volume : torch.Tensor, shape (n, n, n)
        Where.
    particles : numpy.ndarray, shape (m,)
        Those of this process.

    Returns
    -------
    SufficientStatistics
    """
    if len(particles):
        return likelihood.expectation(volume, particles)
    scheme, images = likelihood.interpolation, likelihood.images
    weight = torch.zeros(scheme.box, scheme.box, scheme.box // 2 + 1, dtype=images.dtype, device=images.device)
    nothing = np.empty(0)
    return SufficientStatistics(
        scheme,
        torch.complex(weight, weight),
        weight,
        ResidualPower.zeros(*likelihood.noise.sigma2.shape),
        PosteriorSummary(np.empty(0, np.int64), Poses(np.empty((0, 3, 3))), nothing, nothing, nothing, nothing),
        images.pixel_size,
    )


def statistics_of_all(own: SufficientStatistics, processes: Processes) -> SufficientStatistics:
    """Sum of all processes' statistics, with the summaries of all their particles: the same everywhere.

    Parameters
    ----------
    own : SufficientStatistics
        Of this process's particles, from `own_statistics`; it is not to be used any more.
    processes : Processes
        All of them.

    Returns
    -------
    SufficientStatistics
    """
    if processes.size == 1:
        return own
    residuals = own.residuals
    data, weight, total, count = processes.sum([own.data, own.weight, residuals.total, residuals.count])
    found = [PosteriorSummary.from_arrays(arrays) for arrays in processes.gather(own.particles.to_arrays())]
    return replace(
        own,
        data=data,
        weight=weight,
        residuals=ResidualPower(total, count),
        particles=PosteriorSummary.concatenate(found),
    )
