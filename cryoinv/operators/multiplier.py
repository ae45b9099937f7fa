"""Pointwise multiplication, the base of CTF, shift and mask."""

from __future__ import annotations

import functools
from typing import Unpack

from torch import Tensor

from cryoinv.spaces.base import BoxSpace

from .base import NormOptions, TorchOperator

__all__ = ["Multiplier"]


class Multiplier(TorchOperator):
    r"""Pointwise multiplication :math:`(A x)_k = m_k x_k`; adjoint :math:`(A^* y)_k = \overline{m_k}\, y_k`.

    Parameters
    ----------
    space : VolumeSpace, ImageSpace or HermitianSpace
        Domain and range.
    values : Tensor
        The multiplier, of a shape that broadcasts to the space's; real for a real space.

    Examples
    --------
    >>> import torch
    >>> from cryoinv.spaces import ImageSpace
    >>> space = ImageSpace(2)
    >>> Multiplier(space, torch.tensor([1.0, 3.0])).norm()
    3.0
    """

    def __init__(self, space: BoxSpace, values: Tensor):
        super().__init__(space, space)
        dtype = space.dtype if values.is_complex() else space.real_dtype
        self.values = values.to(space.device, dtype)
        try:
            self.values.expand(space.shape)
        except RuntimeError:
            raise ValueError(f"multiplier has shape {tuple(values.shape)}, expected one for {space.shape}") from None

    @functools.cached_property
    def conjugate(self) -> Tensor:
        """Complex conjugate of the multiplier."""
        return self.values.conj().resolve_conj()

    @functools.cached_property
    def power(self) -> Tensor:
        """Squared modulus of the multiplier."""
        return (self.values * self.conjugate).real

    def apply(self, x: Tensor) -> Tensor:
        """Product with the multiplier."""
        return x * self.values

    def apply_adjoint(self, y: Tensor) -> Tensor:
        """Product with the conjugate multiplier."""
        return y * self.conjugate

    def apply_normal(self, x: Tensor) -> Tensor:
        """Product with the squared modulus."""
        return x * self.power

    def norm(self, estimate: bool = False, **options: Unpack[NormOptions]) -> float:
        """Operator norm, the largest modulus."""
        return float(self.power.max()) ** 0.5
