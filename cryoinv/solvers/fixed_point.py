"""Fixed-point iteration for priors that are a Gaussian with a correction: RED's update and its repetition."""

from __future__ import annotations

from collections.abc import Callable

import torch

from cryoinv.errors import InputError
from cryoinv.likelihood import SufficientStatistics
from cryoinv.priors import BoundPrior

from .callbacks import asked_to_stop
from .m_step import MStep

__all__ = ["FixedPoint", "REDUpdate"]


class FixedPoint(MStep):
    r"""Fixed-point iteration :math:`x \leftarrow (B + c(x)) / (K + D)` (eq. 14).

    The prior's correction is :math:`c(x) = D x + \nabla\log P(x)`. At a fixed point
    :math:`B - K x + \nabla \log P(x) = 0`. Without a correction c it is the closed form, bit for bit.

    Parameters
    ----------
    iterations : int
        At most so many.
    tolerance : float
        Stop when an iteration changes x by less than this part of its norm.

    Raises
    ------
    InputError
        If `iterations` is not positive or `tolerance` is negative.

    References
    ----------
    D. Kimanius et al. (2020), eqs. 13-14.

    Examples
    --------
    >>> FixedPoint(iterations=20).needs
    ('correction',)
    """

    needs = ("correction",)

    def __init__(self, iterations: int = 10, tolerance: float = 1e-6):
        if iterations < 1 or tolerance < 0:
            raise InputError(
                f"iterations is {iterations} and tolerance {tolerance}, expected at least 1 and at least 0"
            )
        self.iterations, self.tolerance = iterations, tolerance

    def __call__(
        self,
        statistics: SufficientStatistics,
        prior: BoundPrior,
        callback: Callable[[torch.Tensor], None] | None = None,
        previous: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Iterate from where the prior starts."""
        assert prior.damping is not None
        total = statistics.curvature() + prior.damping
        total = total.clamp(min=torch.finfo(total.dtype).tiny)
        x, norm = self.start(statistics, prior, previous), torch.linalg.vector_norm
        for _ in range(self.iterations):
            before, x = x, (statistics.data + prior.correction(x)) / total
            if asked_to_stop(callback, x):
                break
            if self.iterations > 1 and norm(x - before) <= self.tolerance * norm(x):
                break
        return x


class REDUpdate(FixedPoint):
    r"""One step of `FixedPoint`: with RED it is :math:`x = (B + \lambda f\,\tau^{-2}) / (K + \tau^{-2})` (eqs. 16, 17).

    References
    ----------
    D. Kimanius et al. (2020), eqs. 16, 17.

    Examples
    --------
    >>> REDUpdate()
    REDUpdate()
    """

    def __init__(self) -> None:
        super().__init__(iterations=1)
