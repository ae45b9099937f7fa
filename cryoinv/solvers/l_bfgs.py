"""Limited-memory BFGS on the M-step's objective."""

from __future__ import annotations

from collections.abc import Callable

import torch

from cryoinv.errors import InputError
from cryoinv.likelihood import SufficientStatistics
from cryoinv.priors import BoundPrior
from cryoinv.spaces.spectrum import hermitian_weights

from .callbacks import asked_to_stop
from .m_step import MStep
from .objective import Objective

__all__ = ["LBFGS"]


class LBFGS(MStep):
    r"""Limited-memory BFGS with a line search for the strong Wolfe conditions.

    It works on the real coordinates :math:`q = \sqrt{w\,(K + \bar D)}\;x`, in which Euclidean and weighted inner
    product agree and the Hessian is about one, with :math:`\bar D` as in `GradientDescent`. Where the prior has D it
    begins with one step of that.

    Parameters
    ----------
    iterations : int
        At most so many.
    history : int
        Pairs of steps and gradients that are remembered, each of twice the map's size.
    tolerance : float
        Stop when an iteration changes q by less than this part of its norm.

    Raises
    ------
    InputError
        If a parameter is out of range.

    References
    ----------
    D. C. Liu and J. Nocedal (1989), Math. Program. 45, 503-528. The loop is `torch.optim.LBFGS`.

    Examples
    --------
    >>> LBFGS(iterations=20).needs
    ('value', 'gradient')
    """

    needs = ("value", "gradient")

    def __init__(self, iterations: int = 50, history: int = 10, tolerance: float = 1e-5):
        if iterations < 1 or history < 1 or not tolerance >= 0:
            raise InputError(
                f"iterations is {iterations}, history {history} and tolerance {tolerance}, expected at least 1, 1 and 0"
            )
        self.iterations, self.history, self.tolerance = int(iterations), int(history), float(tolerance)

    def __call__(
        self,
        statistics: SufficientStatistics,
        prior: BoundPrior,
        callback: Callable[[torch.Tensor], None] | None = None,
        previous: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Iterate from where the prior starts."""
        objective = Objective(statistics, prior)
        weights = hermitian_weights(statistics.box, objective.metric.dtype, objective.metric.device)
        scale = (weights * objective.metric).sqrt()
        start = self.start(statistics, prior, previous)
        if prior.damping is not None:  # where D is beyond all bounds, B/K would outweigh everything else
            start = start - objective.gradient(start) / objective.metric
        q = torch.view_as_real(scale * start).clone()
        loop = torch.optim.LBFGS(
            [q],
            max_iter=1,
            max_eval=26,  # of which a line search may use 25
            history_size=self.history,
            line_search_fn="strong_wolfe",
            tolerance_grad=0,
            tolerance_change=0,
        )

        def x() -> torch.Tensor:
            return torch.view_as_complex(q) / scale

        def evaluate() -> float:
            q.grad = torch.view_as_real(weights / scale * objective.gradient(x()))
            return objective.value(x())

        for _ in range(self.iterations):
            before = q.clone()
            loop.step(evaluate)
            change = torch.linalg.vector_norm(q - before)
            if asked_to_stop(callback, x()) or change <= self.tolerance * torch.linalg.vector_norm(q):
                break
        return x()
