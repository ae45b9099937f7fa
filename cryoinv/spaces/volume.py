"""Spaces of real volumes and images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch

from .backend import odl
from .base import BoxSpace, checked_size, real_dtype

if TYPE_CHECKING:
    from .hermitian import HermitianSpace

__all__ = ["ImageSpace", "VolumeSpace"]


class EuclideanWeighting(odl.core.space.weightings.weighting.ConstWeighting):
    """Unweighted inner product ``<x, y> = sum x y`` of torch tensors, computed directly."""

    def __init__(self, device: str):
        super().__init__(1.0, impl="pytorch", device=device)

    def inner(self, x1: torch.Tensor, x2: torch.Tensor) -> float:
        """Inner product of two tensors."""
        return float((x1 * x2).sum())

    def norm(self, x: torch.Tensor) -> float:
        """Norm of a tensor."""
        return float(torch.linalg.vector_norm(x))

    def dist(self, x1: torch.Tensor, x2: torch.Tensor) -> float:
        """Distance of two tensors."""
        return self.norm(x1 - x2)

    def to_device(self, device: str) -> EuclideanWeighting:
        """Return the same weighting for another device."""
        return EuclideanWeighting(device)


class _RealSpace(BoxSpace):
    axes: int

    def __init__(
        self,
        n: int,
        pixel_size: float = 1.0,
        dtype: str | torch.dtype = "float32",
        device: str | torch.device = "cpu",
        count: int | None = None,
    ):
        n, device = checked_size(n, device)
        dtype = real_dtype(dtype, ("float32", "float64"))
        super().__init__(n, (n,) * self.axes, pixel_size, dtype, device, count, EuclideanWeighting(device))

    def _like(self, **changes: int | str | None) -> Self:
        own: dict[str, Any] = {
            "n": self.n,
            "pixel_size": self.pixel_size,
            "dtype": self.dtype,
            "device": self.device,
            "count": self.count,
        }
        return type(self)(**{**own, **changes})

    def riesz(self, gradient: torch.Tensor) -> torch.Tensor:
        """Gradient in this space's inner product from a Euclidean one: the same."""
        return gradient

    def riesz_inv(self, gradient: torch.Tensor) -> torch.Tensor:
        """Euclidean gradient from one in this space's inner product: the same."""
        return gradient

    @property
    def spectrum_space(self) -> HermitianSpace:
        """`HermitianSpace` of this space's half-spectra."""
        from .hermitian import HermitianSpace

        dtype = "complex64" if self.dtype == torch.float32 else "complex128"
        return HermitianSpace(self.n, self.axes, self.pixel_size, dtype, self.device, self.count)


class VolumeSpace(_RealSpace):
    """Real volumes of ``n x n x n`` voxels, axes ``(z, y, x)``, with ``<x, y> = sum_r x_r y_r``.

    Parameters
    ----------
    n : int
        Box size.
    pixel_size : float
        Å per voxel.
    dtype : {"float32", "float64"}
        Type of the entries.
    device : str
        ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"auto"``.
    count : int, optional
        Makes this the space of stacks of shape ``(count, n, n, n)``.

    Raises
    ------
    InputError
        If a size or type is out of range.
    DeviceError
        If the device does not exist.

    Examples
    --------
    >>> space = VolumeSpace(4, pixel_size=1.5)
    >>> space
    VolumeSpace(4, pixel_size=1.5, dtype='float32')
    >>> (2 * space.one()).inner(space.one())
    128.0
    """

    axes = 3


class ImageSpace(_RealSpace):
    """Real images of ``n x n`` pixels, axes ``(y, x)``, with ``<x, y> = sum_r x_r y_r``.

    Parameters
    ----------
    n, pixel_size, dtype, device, count
        As in `VolumeSpace`; `count` images have shape ``(count, n, n)``.

    Examples
    --------
    >>> stack = ImageSpace(4, count=3)
    >>> stack.shape, stack.one()[0].space
    ((3, 4, 4), ImageSpace(4, pixel_size=1, dtype='float32'))
    """

    axes = 2
