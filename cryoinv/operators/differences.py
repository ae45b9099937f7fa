"""The gradient of volumes by finite differences."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from cryoinv.spaces import VolumeSpace
from cryoinv.spaces.backend import odl
from cryoinv.spaces.base import BoxElement

__all__ = ["FiniteDifferences"]


class FiniteDifferences(odl.Operator):
    r"""Gradient by forward differences, :math:`(G x)_a(r) = x(r + e_a) - x(r)`, zero at the last voxel of an axis.

    Its range is ODL's power space of the domain, a component an axis (z, y, x). Its squared norm is below 12.

    Parameters
    ----------
    space : VolumeSpace
        Domain.

    Examples
    --------
    >>> gradient = FiniteDifferences(VolumeSpace(4, dtype="float64"))
    >>> x = gradient.domain.element(torch.arange(64.0).reshape(4, 4, 4))
    >>> [float(component.data.max()) for component in gradient(x)]
    [16.0, 4.0, 1.0]
    >>> gradient(x).inner(gradient(x)) == x.inner(gradient.adjoint(gradient(x)))
    True
    """

    def __init__(self, space: VolumeSpace):
        super().__init__(space, odl.ProductSpace(space, 3), linear=True)

    @staticmethod
    def apply(x: Tensor) -> Tensor:
        """Gradient of a tensor (n, n, n), shape (3, n, n, n)."""
        y = x.new_empty((3, *x.shape))
        for axis in range(3):
            last = x.shape[axis] - 1
            torch.sub(x.narrow(axis, 1, last), x.narrow(axis, 0, last), out=y[axis].narrow(axis, 0, last))
            y[axis].narrow(axis, last, 1).zero_()
        return y

    @staticmethod
    def apply_adjoint(y: Tensor) -> Tensor:
        """Minus the divergence of a tensor (3, n, n, n), shape (n, n, n)."""
        x = torch.zeros_like(y[0])
        for axis in range(3):
            inner = y[axis].narrow(axis, 0, x.shape[axis] - 1)
            x.narrow(axis, 1, x.shape[axis] - 1).add_(inner)
            x.narrow(axis, 0, x.shape[axis] - 1).sub_(inner)
        return x

    def _call(self, x: BoxElement) -> odl.core.space.pspace.ProductSpaceElement:
        return self.range.element([self.domain.element(component) for component in self.apply(x.data)])

    @functools.cached_property
    def adjoint(self) -> odl.Operator:
        """Minus the divergence."""
        return _Adjoint(self)


class _Adjoint(odl.Operator):
    def __init__(self, gradient: FiniteDifferences):
        super().__init__(gradient.range, gradient.domain, linear=True)
        self.gradient = gradient

    def _call(self, y: odl.core.space.pspace.ProductSpaceElement) -> BoxElement:
        return self.range.element(self.gradient.apply_adjoint(torch.stack([component.data for component in y])))

    @property
    def adjoint(self) -> FiniteDifferences:
        return self.gradient
