"""The alternating direction method of multipliers: any prior with a proximal map."""

from __future__ import annotations

from collections.abc import Callable

import torch

from cryoinv.errors import InputError
from cryoinv.likelihood import SufficientStatistics
from cryoinv.priors import BoundPrior

from .callbacks import asked_to_stop
from .m_step import MStep
from .objective import mean_curvature

__all__ = ["ADMM"]


class ADMM(MStep):
    r"""Alternating direction method of multipliers, data term and prior in turn, with scaled duals u.

    .. math:: x \leftarrow \frac{B + \rho(z-u)}{K+\rho},\quad
              z \leftarrow \mathrm{prox}_{R/\rho}(x+u),\quad u \leftarrow u + x - z .

    The result is z, what the prior's proximal map gave: with a denoiser in its place (plug-and-play), a denoised map.
    For a true proximal map it does not depend on ρ; a denoiser knows no ρ, which then says how much the data count.

    Parameters
    ----------
    iterations : int
        At most so many.
    rho : float
        ρ as a multiple of the mean of K over the coefficients that were measured.
    adaptive : bool
        In the first half of the iterations double ρ where x and z are further apart, in their own units, than z moves
        in u's, and halve it where it is the other way round, by ten times (residual balancing). Not for plug-and-play.
    tolerance : float
        Stop when x - z and the change of z are below this part of x and z, and of u.

    Raises
    ------
    InputError
        If a parameter is out of range.

    References
    ----------
    S. Boyd et al. (2011), Found. Trends Mach. Learn. 3, 1-122, sections 3.1, 3.3, 3.4.1. B. Wohlberg (2017),
    arXiv:1704.06209, on relative residuals. S. V. Venkatakrishnan, C. A. Bouman and B. Wohlberg (2013), IEEE
    GlobalSIP, 945-948, on plug-and-play.

    Examples
    --------
    >>> ADMM(iterations=5).needs
    ('proximal',)
    """

    needs = ("proximal",)

    def __init__(self, iterations: int = 20, rho: float = 1.0, adaptive: bool = False, tolerance: float = 1e-4):
        if iterations < 1 or not 0 < rho < float("inf") or not tolerance >= 0:
            raise InputError(
                f"iterations is {iterations}, rho {rho} and tolerance {tolerance}, expected at least 1, a positive"
                " number and at least 0"
            )
        self.iterations, self.rho = int(iterations), float(rho)
        self.adaptive, self.tolerance = bool(adaptive), float(tolerance)

    def __call__(
        self,
        statistics: SufficientStatistics,
        prior: BoundPrior,
        callback: Callable[[torch.Tensor], None] | None = None,
        previous: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Alternate from where the prior starts."""
        data, curvature, space = statistics.data, statistics.curvature(), statistics.space
        rho = self.rho * mean_curvature(curvature)
        z = self.start(statistics, prior, previous)
        u = torch.zeros_like(z)
        for iteration in range(1, self.iterations + 1):
            x = (data + rho * (z - u)) / (curvature + rho)
            before, z = z, prior.proximal(1 / rho)(space.element(x + u)).data
            u = u + x - z
            if asked_to_stop(callback, z):
                break
            primal, dual = _relative(x - z, x, z), _relative(z - before, u)
            if max(primal, dual) <= self.tolerance:
                break
            if self.adaptive and iteration <= self.iterations // 2:
                factor = 2.0 if primal > 10 * dual else 0.5 if dual > 10 * primal else 1.0
                rho, u = rho * factor, u / factor
        return z


def _relative(residual: torch.Tensor, *parts: torch.Tensor) -> float:
    """Norm of a residual in units of the largest part's; zero where all are zero."""
    norm = float(torch.linalg.vector_norm(residual))
    largest = max(float(torch.linalg.vector_norm(part)) for part in parts)
    return norm / largest if norm and largest else float("inf") if norm else 0.0
