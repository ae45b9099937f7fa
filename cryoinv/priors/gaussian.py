"""The Gaussian prior of the standard MAP estimate."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from cryoinv.errors import InputError
from cryoinv.spaces import HermitianSpace
from cryoinv.spaces.backend import odl

from .base import BoundPrior, Prior

if TYPE_CHECKING:
    from cryoinv.denoisers import PriorContext
    from cryoinv.likelihood import SufficientStatistics
    from cryoinv.spaces.base import BoxElement


__all__ = ["GaussianPrior", "QuadraticFunctional"]


class GaussianPrior(Prior):
    r"""Independent Gaussian coefficients, :math:`-\log P(x) = \tfrac12\|\tau^{-1}x\|^2_w` (eq. 6).

    The power :math:`\tau^2` is radial: that of the half-map FSC (eq. 12) times `tau2_fudge`, or a given one.

    Parameters
    ----------
    tau2_fudge : float
        Factor T on the power.
    tau2 : torch.Tensor, shape (n//2+1,), optional
        Power per image shell, in place of the one estimated at every iteration.

    Raises
    ------
    InputError
        If `tau2_fudge` is not positive, or `tau2` is not a tensor of positive numbers.

    References
    ----------
    D. Kimanius et al. (2020), eqs. 6, 11, 12. S. H. W. Scheres, J. Mol. Biol. 415 (2012) 406-418.

    Examples
    --------
    >>> GaussianPrior().offers()
    ['value', 'gradient', 'proximal', 'precision', 'correction']
    """

    name = "gaussian"
    has_value = has_gradient = has_proximal = has_precision = has_correction = True

    def __init__(self, tau2_fudge: float = 1.0, tau2: torch.Tensor | None = None):
        if not tau2_fudge > 0:
            raise InputError(f"tau2_fudge is {tau2_fudge}, expected a positive number")
        if not (tau2 is None or (isinstance(tau2, torch.Tensor) and tau2.ndim == 1 and bool((tau2 > 0).all()))):
            raise InputError(f"tau2 is {tau2!r}, expected a tensor of positive numbers, one an image shell")
        self.tau2_fudge, self.tau2 = float(tau2_fudge), tau2

    def bind(self, statistics: SufficientStatistics, context: PriorContext) -> QuadraticFunctional:
        """Return the quadratic functional with the iteration's power."""
        tau2 = self.tau2_fudge * (context.tau2 if self.tau2 is None else self.tau2)
        return QuadraticFunctional(statistics.space, statistics.expand((1 / tau2.double()).to(statistics.weight.dtype)))


class QuadraticFunctional(BoundPrior):
    r"""Functional :math:`\tfrac12\langle x, D x\rangle_w` with a positive diagonal D.

    Parameters
    ----------
    space : HermitianSpace
        Domain.
    precision : torch.Tensor, shape of the space, real
        D.
    """

    def __init__(self, space: HermitianSpace, precision: torch.Tensor):
        super().__init__(space)
        self.precision: torch.Tensor = precision.to(space.element().data.real.dtype)
        self.damping = self.precision

    def _call(self, x: BoxElement) -> float:
        return 0.5 * float(self.domain.weighting.inner(x.data, self.precision * x.data))

    def correction(self, x: torch.Tensor) -> torch.Tensor:
        """Return zero: there is nothing but the Gaussian."""
        return torch.zeros_like(x)

    @property
    def gradient(self) -> odl.Operator:
        """Operator x -> D x."""
        return _Diagonal(self.domain, self.precision)

    def proximal(self, step: float) -> odl.Operator:
        """Operator z -> z / (1 + step D)."""
        return _Diagonal(self.domain, 1 / (1 + float(step) * self.precision))

    @property
    def proximal_factory(self) -> Callable[[float], odl.Operator]:
        """ODL's name for `proximal`."""
        return self.proximal


class _Diagonal(odl.Operator):
    """Multiplication by a real diagonal."""

    def __init__(self, space: HermitianSpace, diagonal: torch.Tensor):
        self.diagonal = diagonal
        super().__init__(space, space, linear=True)

    def _call(self, x: BoxElement) -> BoxElement:
        return self.range.element(self.diagonal * x.data)

    @property
    def adjoint(self) -> _Diagonal:
        """Return the operator itself."""
        return self
