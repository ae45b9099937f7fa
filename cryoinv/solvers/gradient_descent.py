"""Preconditioned gradient descent on the M-step's objective."""

from __future__ import annotations

from collections.abc import Callable

import torch

from cryoinv.errors import InputError
from cryoinv.likelihood import SufficientStatistics
from cryoinv.priors import BoundPrior

from .callbacks import asked_to_stop
from .m_step import MStep
from .objective import Objective

__all__ = ["GradientDescent"]


class GradientDescent(MStep):
    r"""Gradient steps, :math:`x \leftarrow x - s\,(K + \bar D)^{-1}\,(K x - B + \nabla R(x))`.

    The preconditioner has :math:`\bar D = D` for a prior that is a Gaussian, or one with a correction, and the mean of
    K for any other. Where the prior has a value, s is halved until the objective falls enough (Armijo's rule) and
    doubled where it did at once; else it stays as given.

    Parameters
    ----------
    iterations : int
        At most so many.
    step : float
        First s, above 0, at most 1.
    tolerance : float
        Stop when an iteration changes x by less than this part of its norm.

    Raises
    ------
    InputError
        If a parameter is out of range.

    References
    ----------
    J. Nocedal and S. J. Wright (2006), Numerical Optimization, 2nd ed., section 3.1.

    Examples
    --------
    >>> GradientDescent().needs
    ('gradient',)
    """

    needs = ("gradient",)

    def __init__(self, iterations: int = 50, step: float = 1.0, tolerance: float = 1e-5):
        if iterations < 1 or not 0 < step <= 1 or not tolerance >= 0:
            raise InputError(
                f"iterations is {iterations}, step {step} and tolerance {tolerance}, expected at least 1, a number"
                " above 0 and at most 1, and at least 0"
            )
        self.iterations, self.step, self.tolerance = int(iterations), float(step), float(tolerance)

    def __call__(
        self,
        statistics: SufficientStatistics,
        prior: BoundPrior,
        callback: Callable[[torch.Tensor], None] | None = None,
        previous: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Descend from where the prior starts."""
        objective, norm = Objective(statistics, prior), torch.linalg.vector_norm
        searches, step = prior.offers("value"), self.step
        x = self.start(statistics, prior, previous)
        value = objective.value(x) if searches else 0.0
        for _ in range(self.iterations):
            gradient = objective.gradient(x)
            direction = -gradient / objective.metric
            if searches:
                step, found = _armijo(objective, x, value, direction, objective.inner(gradient, direction), step)
                if not step:  # nothing lower can be told from rounding
                    break
                value = found
            x = x + step * direction
            if asked_to_stop(callback, x) or step * norm(direction) <= self.tolerance * norm(x):
                break
            step = min(2 * step, 1024.0) if searches else step
        return x


def _armijo(
    objective: Objective, x: torch.Tensor, value: float, direction: torch.Tensor, slope: float, step: float
) -> tuple[float, float]:
    """Step, halved until the objective falls by 1e-4 of what the slope promises, and the value there; or zero."""
    while step > 1e-30:
        found = objective.value(x + step * direction)
        if found <= value + 1e-4 * step * slope:
            return step, found
        step /= 2
    return 0.0, value
