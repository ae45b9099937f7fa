"""A Gaussian prior whose power follows Wilson statistics where the half-maps cannot tell it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from cryoinv.errors import InputError

from .base import Prior
from .gaussian import QuadraticFunctional
from .masked import MaskedQuadratic

if TYPE_CHECKING:
    from cryoinv.denoisers import PriorContext
    from cryoinv.likelihood import SufficientStatistics

__all__ = ["WilsonPrior"]

_FEWEST_SHELLS = 4  # that a B-factor is fitted to
_LEVEL_SHELLS = 3  # that set the level where no B-factor is fitted


class WilsonPrior(Prior):
    r"""Gaussian prior with the power of Wilson statistics, :math:`\tau^2(s) = A\,e^{-B s^2/2}`, beyond trusted shells.

    At resolutions finer than about 10 Å the atoms of a protein scatter as if they lay at random: power falls with
    their B-factor alone, which for maps also holds the errors of alignment. A and B take over where the FSC has
    fallen below `trust`, but not before `wilson_from`; elsewhere the measured power stays (eq. 12), as in
    `GaussianPrior`. They are a least-squares fit of :math:`\log\tau^2` to trusted shells finer than `wilson_from`,
    weighted by the inverse variance of :math:`\log\frac{FSC}{1-FSC}`, which is :math:`N FSC^2/(1+FSC)^2` for N
    coefficients in the shell. With fewer than four such shells, B is `default_b_factor` and A that of the last three
    trusted ones. Where no shell is trusted, all keep the measured power.

    Parameters
    ----------
    wilson_from : float
        Å, the coarsest resolution of Wilson statistics.
    b_factor : float, optional
        B in Å²; fitted by default, between 0 and `largest_b_factor`.
    default_b_factor, largest_b_factor : float
        Å².
    trust : float
        FSC below which a shell's measured power is not trusted.
    masked : bool
        Mask the map after the M-step, as `MaskedGaussianPrior` does.

    Raises
    ------
    InputError
        If `wilson_from` is not positive, a B-factor is negative, the default one exceeds the largest, or `trust` is not
        within (0, 1).

    References
    ----------
    A. J. C. Wilson, Nature 150 (1942) 152. P. B. Rosenthal, R. Henderson, J. Mol. Biol. 333 (2003) 721-745.

    Examples
    --------
    >>> from cryoinv.priors import PriorContext
    >>> shells = torch.arange(33) / (64 * 2.0)
    >>> context = PriorContext(64, 2.0, (shells < 0.2).double(), 7 * torch.exp(-90 * shells**2 / 2), 5.0, 50.0)
    >>> level, b_factor = WilsonPrior().fit(context)
    >>> round(level, 3), round(b_factor, 2)
    (7.0, 90.0)
    """

    name = "wilson"
    has_value = has_gradient = has_proximal = has_precision = has_correction = True

    def __init__(
        self,
        wilson_from: float = 10.0,
        b_factor: float | None = None,
        default_b_factor: float = 200.0,
        largest_b_factor: float = 500.0,
        trust: float = 0.143,
        masked: bool = False,
    ):
        given = default_b_factor if b_factor is None else b_factor
        if not (wilson_from > 0 and given >= 0 and 0 < trust < 1 and 0 <= default_b_factor <= largest_b_factor):
            raise InputError(
                f"the Wilson prior has wilson_from {wilson_from:g} Å, b_factor {b_factor}, default_b_factor "
                f"{default_b_factor:g}, largest_b_factor {largest_b_factor:g} Å² and trust {trust:g}, expected a "
                "positive resolution, no negative B-factors, the default no larger than the largest, trust in (0, 1)"
            )
        self.wilson_from, self.b_factor, self.trust, self.masked = wilson_from, b_factor, trust, masked
        self.default_b_factor, self.largest_b_factor = default_b_factor, largest_b_factor

    def bind(self, statistics: SufficientStatistics, context: PriorContext) -> QuadraticFunctional:
        """Return the quadratic functional with the iteration's power."""
        precision = statistics.expand(1 / self.power(context))
        if self.masked:
            return MaskedQuadratic(precision, statistics, context)
        return QuadraticFunctional(statistics.space, precision)

    def power(self, context: PriorContext) -> torch.Tensor:
        """Power of every shell, shape (n//2+1,), in double precision."""
        level, b_factor = self.fit(context)
        squares = _squares(context)
        measured = self._trusted(context) | (squares < self.wilson_from**-2)
        if level == 0:
            measured = torch.ones_like(measured)
        wilson = (level * torch.exp(-0.5 * b_factor * squares)).clamp(min=1e-30)
        return torch.where(measured, context.tau2.double(), wilson)

    def fit(self, context: PriorContext) -> tuple[float, float]:
        """Return A, in the units of the context's power, and B in Å²; A is zero where no shell is trusted."""
        trusted, squares = self._trusted(context), _squares(context)
        trusted[0] = False
        chosen = trusted & (squares >= self.wilson_from**-2)
        fitted = self.b_factor is None and int(chosen.sum()) >= _FEWEST_SHELLS
        if int(chosen.sum()) < _FEWEST_SHELLS:
            chosen = trusted & (trusted.flip(0).cumsum(0).flip(0) <= _LEVEL_SHELLS)
        if not bool(chosen.any()):
            return 0.0, self.default_b_factor
        fsc, x = context.fsc.double().clamp(0, 1)[chosen], squares[chosen]
        y, weight = context.tau2.double()[chosen].log(), x * (fsc / (1 + fsc)) ** 2  # N grows as the squared shell
        weight = weight / weight.sum()
        x_mean, y_mean = float((weight * x).sum()), float((weight * y).sum())
        b_factor = self.default_b_factor if self.b_factor is None else self.b_factor
        if fitted:
            slope = float((weight * (x - x_mean) * y).sum() / (weight * (x - x_mean) ** 2).sum())
            b_factor = min(max(-2 * slope, 0.0), self.largest_b_factor)
        return math.exp(y_mean + 0.5 * b_factor * x_mean), b_factor

    def _trusted(self, context: PriorContext) -> torch.Tensor:
        fsc = torch.cat([context.fsc[1:2], context.fsc[1:]])  # the zeroth is one coefficient, its FSC is noise
        return (fsc < self.trust).cumsum(0) == 0


def _squares(context: PriorContext) -> torch.Tensor:
    """Squared spatial frequency s² of every shell in 1/Å²."""
    shells = torch.arange(context.n // 2 + 1, dtype=torch.float64, device=context.tau2.device)
    return (shells / (context.n * context.pixel_size)) ** 2
