"""The contract of the library's operators: ODL sees elements, kernels see tensors."""

from __future__ import annotations

import functools
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor

from cryoinv.spaces.backend import odl
from cryoinv.spaces.base import BoxElement, BoxSpace

__all__ = ["NormOptions", "TorchOperator"]


class NormOptions(TypedDict, total=False):
    """Options of the power iteration, see `TorchOperator.norm`."""

    maxiter: int
    rtol: float
    seed: int


class TorchOperator(odl.Operator):
    r"""Operator on tensors with its exact adjoint, :math:`\langle A x, y \rangle = \langle x, A^* y \rangle`.

    A subclass writes `apply` on tensors, nothing else being required. `apply_adjoint` is then the
    vector-Jacobian product of `apply` between the Riesz maps of range and domain,
    :math:`A^* = W_X^{-1} A^T W_Y`; a subclass overrides it where it has a faster one. ODL's algebra and
    solvers use the operator through ``op(x)``, ``op.adjoint``, ``op.derivative(x)`` and
    ``op.norm(estimate=True)``.

    Parameters
    ----------
    domain, range : VolumeSpace, ImageSpace or HermitianSpace
        Spaces of input and output.
    linear : bool
        Whether the operator is linear.

    Examples
    --------
    >>> from cryoinv.spaces import VolumeSpace
    >>> class Flip(TorchOperator):
    ...     def apply(self, x):
    ...         return x.flip(0)
    >>> space = VolumeSpace(4)
    >>> flip = Flip(space, space)
    >>> x = space.element(torch.randn(4, 4, 4))
    >>> (flip.adjoint @ flip)(x) == x
    True
    """

    def __init__(self, domain: BoxSpace, range: BoxSpace, linear: bool = True):
        super().__init__(domain, range, linear=linear)
        self._norms: dict[tuple[tuple[str, object], ...], float] = {}

    def apply(self, x: Tensor) -> Tensor:
        """Value at a tensor of the domain's shape; must not modify it."""
        raise NotImplementedError(f"{type(self).__name__} has no `apply`")

    def apply_adjoint(self, y: Tensor) -> Tensor:
        """Adjoint at a tensor of the range's shape; by default `vjp`."""
        return self.vjp(y)

    def apply_normal(self, x: Tensor) -> Tensor:
        """Apply ``A^* A``; override where a fused form is cheaper."""
        return self.apply_adjoint(self.apply(x))

    def vjp(self, y: Tensor, point: Tensor | None = None) -> Tensor:
        """Adjoint of the derivative at `point` (zero, if not given) by automatic differentiation."""
        if point is None:
            point = torch.zeros(self.domain.shape, dtype=self.domain.dtype, device=self.domain.device)
        with torch.enable_grad():
            point = point.detach().requires_grad_()
            value = self.apply(point)
            (gradient,) = torch.autograd.grad(value, point, self.range.riesz_inv(y))
        return self.domain.riesz(gradient)

    def jvp(self, direction: Tensor, point: Tensor) -> Tensor:
        """Differentiate at `point` in a direction, by differentiating `vjp` once more."""
        with torch.enable_grad():
            point = point.detach().requires_grad_()
            value = self.apply(point)
            dual = torch.zeros_like(value, requires_grad=True)
            (gradient,) = torch.autograd.grad(value, point, dual, create_graph=True)
            return torch.autograd.grad(gradient, dual, direction)[0]

    def _call(self, x: BoxElement, out: BoxElement | None = None) -> BoxElement:
        value = self.apply(x.data)
        if out is None:
            return self.range.element(value)
        out.data.copy_(value)
        return out

    @functools.cached_property
    def adjoint(self) -> TorchOperator:
        """Adjoint operator; ``A.adjoint.adjoint is A``."""
        if not self.is_linear:
            name = type(self).__name__
            raise odl.OpNotImplementedError(f"{name} is not linear: take `derivative(x).adjoint`")
        return _Adjoint(self)

    @functools.cached_property
    def normal(self) -> TorchOperator:
        """Self-adjoint operator ``A^* A`` (fused where the operator has a fused form)."""
        return _Normal(self)

    def derivative(self, point: BoxElement | Tensor) -> TorchOperator:
        """Linear operator that approximates this one at a point: itself, if it is linear."""
        return self if self.is_linear else _Derivative(self, self.domain.element(point).data)

    def norm(self, estimate: bool = False, **options: Unpack[NormOptions]) -> float:
        """Operator norm by power iteration on ``A^* A`` (an estimate from below), remembered.

        Parameters
        ----------
        estimate : bool
            Must be True, as in ODL, unless the operator knows its norm.
        **options
            Of the power iteration: ``maxiter`` (100), ``rtol`` (1e-6, the relative change of the estimate at
            which to stop) and ``seed`` (0).

        Returns
        -------
        float
        """
        if not estimate:
            name = type(self).__name__
            raise NotImplementedError(f"{name} does not know its norm: ask for `norm(estimate=True)`")
        key = tuple(sorted(options.items()))
        if key not in self._norms:
            self._norms[key] = self._power_iteration(**options)
        return self._norms[key]

    def _power_iteration(self, maxiter: int = 100, rtol: float = 1e-6, seed: int = 0) -> float:
        space = self.domain
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(space.shape, dtype=space.dtype, generator=generator).to(space.device)
        estimate = 0.0
        with torch.no_grad():
            for _ in range(maxiter):
                x = self.apply_normal(x / space.weighting.norm(x))
                previous, estimate = estimate, space.weighting.norm(x) ** 0.5
                if abs(estimate - previous) <= rtol * estimate:
                    break
        return estimate

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self.domain!r} -> {self.range!r}"


class _Adjoint(TorchOperator):
    def __init__(self, operator: TorchOperator):
        super().__init__(operator.range, operator.domain)
        self.operator = operator

    def apply(self, x: Tensor) -> Tensor:
        return self.operator.apply_adjoint(x)

    def apply_adjoint(self, y: Tensor) -> Tensor:
        return self.operator.apply(y)

    @property
    def adjoint(self) -> Any:
        return self.operator

    def norm(self, estimate: bool = False, **options: Unpack[NormOptions]) -> float:
        return self.operator.norm(estimate, **options)

    def __repr__(self) -> str:
        return f"({self.operator!r}).adjoint"


class _Normal(TorchOperator):
    def __init__(self, operator: TorchOperator):
        super().__init__(operator.domain, operator.domain)
        self.operator = operator

    def apply(self, x: Tensor) -> Tensor:
        return self.operator.apply_normal(x)

    def apply_adjoint(self, y: Tensor) -> Tensor:
        return self.operator.apply_normal(y)

    @property
    def adjoint(self) -> Any:
        return self

    def norm(self, estimate: bool = False, **options: Unpack[NormOptions]) -> float:
        return self.operator.norm(estimate, **options) ** 2

    def __repr__(self) -> str:
        return f"({self.operator!r}).normal"


class _Derivative(TorchOperator):
    def __init__(self, operator: TorchOperator, point: Tensor):
        super().__init__(operator.domain, operator.range)
        self.operator, self.point = operator, point

    def apply(self, x: Tensor) -> Tensor:
        return self.operator.jvp(x, self.point)

    def apply_adjoint(self, y: Tensor) -> Tensor:
        return self.operator.vjp(y, self.point)

    def __repr__(self) -> str:
        return f"({self.operator!r}).derivative(...)"
