"""What an M-step minimises, for solvers that need its value and gradient."""

from __future__ import annotations

import torch

from cryoinv.likelihood import SufficientStatistics
from cryoinv.priors import BoundPrior

__all__ = ["Objective", "mean_curvature"]


class Objective:
    r"""The functional :math:`F(x) = \tfrac12\langle x, Kx\rangle_w - \langle B, x\rangle_w + R(x)`.

    Parameters
    ----------
    statistics : SufficientStatistics
        B and K.
    prior : BoundPrior
        :math:`R = -\log P`.

    Attributes
    ----------
    curvature : torch.Tensor, shape (N, N, N//2+1), real
        K.
    mean : float
        Mean of K over what was measured.
    metric : torch.Tensor, shape (N, N, N//2+1), real
        K plus what stands for the curvature of R: D of a prior that has one, else the mean of K. Positive.
    """

    def __init__(self, statistics: SufficientStatistics, prior: BoundPrior):
        self.statistics, self.prior, self.space = statistics, prior, statistics.space
        self.curvature = statistics.curvature()
        self.mean = mean = mean_curvature(self.curvature)
        own = prior.damping if prior.damping is not None else prior.precision
        self.metric = (self.curvature + (mean if own is None else own)).clamp(min=1e-9 * mean)

    def prior_value(self, x: torch.Tensor) -> float:
        """R(x)."""
        return float(self.prior(self.space.element(x)))

    def prior_gradient(self, x: torch.Tensor) -> torch.Tensor:
        """Gradient of R in the weighted inner product."""
        return self.prior.gradient(self.space.element(x)).data

    def value(self, x: torch.Tensor) -> float:
        """F(x)."""
        return self.inner(x, 0.5 * self.curvature * x - self.statistics.data) + self.prior_value(x)

    def gradient(self, x: torch.Tensor) -> torch.Tensor:
        r"""Gradient :math:`K x - B + \nabla R(x)` in the weighted inner product."""
        return self.curvature * x - self.statistics.data + self.prior_gradient(x)

    def inner(self, x: torch.Tensor, y: torch.Tensor) -> float:
        """Inner product of the statistics' space."""
        return self.space.weighting.inner(x, y)


def mean_curvature(curvature: torch.Tensor) -> float:
    """Mean of K where anything was measured; one if nothing was."""
    measured = int((curvature > 0).sum())
    return float(curvature.sum(dtype=torch.float64)) / measured if measured else 1.0
