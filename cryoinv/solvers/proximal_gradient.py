"""Proximal gradient: a gradient step on one of data term and prior, the proximal map of the other."""

from __future__ import annotations

from collections.abc import Callable

import torch

from cryoinv.errors import InputError
from cryoinv.likelihood import SufficientStatistics
from cryoinv.priors import BoundPrior

from .callbacks import asked_to_stop
from .m_step import MStep
from .objective import Objective

__all__ = ["ProximalGradient"]

Step = Callable[[torch.Tensor], torch.Tensor]


class ProximalGradient(MStep):
    r"""Forward-backward splitting (ISTA), or its accelerated form (FISTA) with restarts.

    A prior with a proximal map takes the backward step:

    .. math:: x \leftarrow \mathrm{prox}_{sR}\bigl(y - s(Ky - B)\bigr),\quad s = \text{step} / \max K .

    A prior with a gradient alone takes the forward step, the data term the backward one, in the metric
    :math:`M = \bar D / \text{step}` in the place of 1/s:

    .. math:: x \leftarrow \frac{B + M y - \nabla R(y)}{K + M},

    with :math:`\bar D` the mean of K, plus D of a prior that is a Gaussian with a correction. Where the prior has a
    value, the step is halved until R lies below its quadratic model, and doubled, up to 1,024, where it did at once;
    else it stays as given. Without acceleration y = x; with it y runs ahead by Nesterov's rule and falls back to x
    where the last move went against the gradient.

    Parameters
    ----------
    iterations : int
        At most so many.
    accelerated : bool
        FISTA instead of ISTA.
    step : float
        Step, relative as above; with a proximal map at most 1.
    tolerance : float
        Stop when an iteration changes x by less than this part of its norm.

    Raises
    ------
    InputError
        If a parameter is out of range.

    References
    ----------
    A. Beck and M. Teboulle (2009), SIAM J. Imaging Sci. 2, 183-202. B. O'Donoghue and E. Candès (2015), Found. Comput.
    Math. 15, 715-732, on restarts. P. L. Combettes and B. C. Vũ (2014), Optimization 63, 1289-1318, on metrics.

    Examples
    --------
    >>> ProximalGradient().needs_one_of
    ('proximal', 'gradient')
    """

    needs_one_of = ("proximal", "gradient")

    def __init__(self, iterations: int = 50, accelerated: bool = True, step: float = 1.0, tolerance: float = 1e-3):
        if iterations < 1 or not 0 < step <= 1 or not tolerance >= 0:
            raise InputError(
                f"iterations is {iterations}, step {step} and tolerance {tolerance}, expected at least 1, a number"
                " above 0 and at most 1, and at least 0"
            )
        self.iterations, self.accelerated = int(iterations), bool(accelerated)
        self.step, self.tolerance = float(step), float(tolerance)

    def __call__(
        self,
        statistics: SufficientStatistics,
        prior: BoundPrior,
        callback: Callable[[torch.Tensor], None] | None = None,
        previous: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Iterate from where the prior starts."""
        objective, norm = Objective(statistics, prior), torch.linalg.vector_norm
        step = self._prior_backward(objective) if prior.offers("proximal") else _PriorForward(objective, self.step)
        x = ahead = self.start(statistics, prior, previous)
        momentum = 1.0
        for _ in range(self.iterations):
            before, x = x, step(ahead)
            if asked_to_stop(callback, x) or norm(x - before) <= self.tolerance * norm(x):
                break
            old, momentum = momentum, (1 + (1 + 4 * momentum**2) ** 0.5) / 2
            if not self.accelerated or objective.inner(ahead - x, x - before) > 0:
                ahead, momentum = x, 1.0
            else:
                ahead = x + (old - 1) / momentum * (x - before)
        return x

    def _prior_backward(self, objective: Objective) -> Step:
        largest = float(objective.curvature.max())
        size = self.step / largest if largest > 0 else 1.0
        proximal, space = objective.prior.proximal(size), objective.space
        data, shrunk = size * objective.statistics.data, 1 - size * objective.curvature
        return lambda y: proximal(space.element(shrunk * y + data)).data


class _PriorForward:
    """Explicit step on the prior, data term by its proximal map; it finds its step where the prior has a value."""

    def __init__(self, objective: Objective, step: float):
        self.objective, self.size = objective, step
        self.searches = objective.prior.offers("value")
        mean = objective.mean
        own = objective.prior.damping
        self.metric = torch.full_like(objective.curvature, mean) if own is None else own + mean

    def __call__(self, y: torch.Tensor) -> torch.Tensor:
        """Step from y."""
        gradient = self.objective.prior_gradient(y)
        if not self.searches:
            return self._stepped(y, gradient)
        value, first = self.objective.prior_value(y), True
        while True:
            x = self._stepped(y, gradient)
            if self._below_model(x - y, self.objective.prior_value(x), value, gradient) or self.size < 1e-30:
                self.size = min(2 * self.size, 1024.0) if first else self.size
                return x
            self.size, first = self.size / 2, False

    def _stepped(self, y: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        metric = self.metric / self.size
        return (self.objective.statistics.data + metric * y - gradient) / (self.objective.curvature + metric)

    def _below_model(self, move: torch.Tensor, found: float, value: float, gradient: torch.Tensor) -> bool:
        """Whether R(x) <= R(y) + <grad R(y), x - y> + |x - y|^2 in the metric / 2, to rounding."""
        rounding = 10 * torch.finfo(gradient.real.dtype).eps * (abs(found) + abs(value))
        model = self.objective.inner(move, gradient + self.metric / (2 * self.size) * move)
        return found <= value + model + rounding
