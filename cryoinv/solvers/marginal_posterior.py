"""Maximise the marginal posterior with any outer solver, likelihood and prior."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from cryoinv.likelihood import MarginalLikelihood, SufficientStatistics
from cryoinv.priors import BoundPrior, Prior, PriorContext

from .callbacks import asked_to_stop
from .m_step import MStep
from .outer import OuterSolver, batches_of
from .registry import m_step_for
from .stochastic import KGradient

__all__ = ["stochastic_gradient"]


def stochastic_gradient(
    likelihood: MarginalLikelihood,
    volume: torch.Tensor,
    prior: Prior,
    context: Callable[[SufficientStatistics, int], PriorContext],
    epochs: int = 10,
    solver: OuterSolver | None = None,
    m_step: MStep | None = None,
    reference: Callable[[torch.Tensor], torch.Tensor] | None = None,
    callback: Callable[[torch.Tensor], None] | None = None,
    seed: int = 0,
) -> torch.Tensor:
    r"""Maximise :math:`L(x) + \log P(x)` by mini-batches: a step along :math:`B - K x + \nabla\log P(x)` after each.

    The first epoch is one of EM, since no context is known before it.

    Parameters
    ----------
    likelihood : MarginalLikelihood
        Data term.
    volume : torch.Tensor, shape (n, n, n)
        Where to start.
    prior : Prior
        Any prior that solver and M-step can take.
    context : callable
        ``context(statistics, epoch)`` gives the radial quantities the prior is told in the next epoch.
    epochs : int
        How many times to go through all particles.
    solver : OuterSolver, optional
        `KGradient` by default.
    m_step : MStep, optional
        Of the first epoch; by default the simplest one that suits the prior.
    reference : callable, optional
        Applied to the volume before each E-step, such as a mask.
    callback : callable, optional
        Called with the volume after every epoch.
    seed : int
        Of the batches.

    Returns
    -------
    torch.Tensor, shape (n, n, n)

    Raises
    ------
    InputError
        If solver or M-step need what the prior does not offer.

    References
    ----------
    D. Kimanius et al. (2020), eqs. 7-9; R. M. Neal and G. E. Hinton (1998), in Learning in Graphical Models, 355-368.
    """
    solver = KGradient() if solver is None else solver
    solver.check(prior)
    m_step = m_step_for(prior) if m_step is None else m_step
    m_step.check(prior)
    rng, particles = np.random.default_rng(seed), np.arange(len(likelihood.images))
    scheme = likelihood.interpolation
    x: torch.Tensor | None = None
    known: PriorContext | None = None
    bound: BoundPrior | None = None
    curvature: torch.Tensor | None = None

    def bind(statistics: SufficientStatistics) -> BoundPrior:
        nonlocal bound
        assert known is not None
        bound = prior.bind(statistics, known)
        return bound

    def current(x: torch.Tensor | None) -> torch.Tensor:
        if x is None or bound is None:
            return volume
        return bound.post_process(scheme.to_volume(x))

    def aligned_to(_: BoundPrior | None, x: torch.Tensor | None) -> torch.Tensor:
        return current(x) if reference is None else reference(current(x))

    for epoch in range(1, epochs + 1):
        batches = batches_of(particles, min(solver.batches, len(particles)), rng)
        tau2 = None if known is None else known.tau2
        previous = scheme.from_volume(current(x))
        statistics, x = solver.epoch(
            likelihood.expectation, aligned_to, x, batches, bind, tau2, len(particles), epoch, curvature
        )
        known, curvature = context(statistics, epoch), statistics.curvature()
        whole = bind(statistics)  # of which the map shown has the last touch
        if x is None:
            x = m_step(statistics, whole, previous=previous)
        if asked_to_stop(callback, current(x)):
            break
    return current(x)
