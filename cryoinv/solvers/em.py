"""Expectation-maximisation with any likelihood, prior and M-step."""

from __future__ import annotations

from collections.abc import Callable

import torch

from cryoinv.likelihood import MarginalLikelihood, SufficientStatistics
from cryoinv.priors import Prior, PriorContext

from .callbacks import asked_to_stop
from .m_step import MStep
from .registry import m_step_for

__all__ = ["expectation_maximisation"]


def expectation_maximisation(
    likelihood: MarginalLikelihood,
    volume: torch.Tensor,
    prior: Prior,
    context: Callable[[SufficientStatistics, int], PriorContext],
    iterations: int = 10,
    m_step: MStep | None = None,
    reference: Callable[[torch.Tensor], torch.Tensor] | None = None,
    callback: Callable[[torch.Tensor], None] | None = None,
) -> torch.Tensor:
    r"""Maximise :math:`L(x) + \log P(x)` by EM: E-step at x, M-step under the prior, again.

    Parameters
    ----------
    likelihood : MarginalLikelihood
        Data term.
    volume : torch.Tensor, shape (n, n, n)
        Where to start.
    prior : Prior
        Any prior the M-step can take.
    context : callable
        ``context(statistics, iteration)`` gives the radial quantities the prior is told.
    iterations : int
        How many.
    m_step : MStep, optional
        By default the simplest one that suits the prior.
    reference : callable, optional
        Applied to the volume before each E-step, such as a mask.
    callback : callable, optional
        Called with the volume after every iteration.

    Returns
    -------
    torch.Tensor, shape (n, n, n)

    Raises
    ------
    InputError
        If the M-step needs what the prior does not offer.

    References
    ----------
    D. Kimanius et al. (2020), eqs. 7-11.
    """
    m_step = m_step_for(prior) if m_step is None else m_step
    m_step.check(prior)
    for iteration in range(1, iterations + 1):
        statistics = likelihood.expectation(volume if reference is None else reference(volume))
        bound = prior.bind(statistics, context(statistics, iteration))
        previous = statistics.from_volume(volume) if bound.starts_from == "previous" else None
        volume = bound.post_process(statistics.to_volume(m_step(statistics, bound, previous=previous)))
        if asked_to_stop(callback, volume):
            break
    return volume
