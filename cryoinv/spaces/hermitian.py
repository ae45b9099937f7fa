"""Half-spectra of real arrays as a real Hilbert space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
import torch

from cryoinv.errors import InputError

from .backend import odl
from .base import BoxSpace, checked_size, real_dtype
from .spectrum import hermitian_weights

# After `backend`, whose import leaves NumPy's print options alone.
from odl.backends.arrays.npy_tensors import NumpyTensorSpace  # isort: skip

if TYPE_CHECKING:
    from .volume import ImageSpace, VolumeSpace

__all__ = ["HermitianSpace", "HermitianWeighting", "NumpyHermitianSpace"]

Array = TypeVar("Array", torch.Tensor, np.ndarray)


class HermitianWeighting(odl.core.space.weightings.weighting.Weighting):
    """``<x, y> = Re sum_k w(kx) x_k conj(y_k)``, known by the length of the last real axis alone.

    Parameters
    ----------
    n : int
        Length of the real last axis.
    impl : {"pytorch", "numpy"}
        Kind of array.
    device : str
        Where the arrays live.

    Examples
    --------
    >>> HermitianWeighting(4).inner(torch.ones(3) + 1j, torch.ones(3) + 1j)
    8.0
    """

    def __init__(self, n: int, impl: str = "pytorch", device: str = "cpu"):
        super().__init__(impl=impl, device=device)
        self.n = n

    shape = ()  # any shape of array

    def inner(self, x1: Array, x2: Array) -> float:
        """Inner product of two half-spectra."""
        terms: torch.Tensor | np.ndarray
        if isinstance(x1, torch.Tensor) and isinstance(x2, torch.Tensor):
            terms = torch.view_as_real(x1.resolve_conj()) * torch.view_as_real(x2.resolve_conj())
            terms = terms.movedim(-1, 0)
        else:
            terms = x1.real * x2.real + x1.imag * x2.imag
        # Twice everything, less the columns that were counted twice.
        total = 2 * terms.sum() - terms[..., 0].sum()
        return float(total if self.n % 2 else total - terms[..., -1].sum())

    def norm(self, x: Array) -> float:
        """Norm of a half-spectrum."""
        return max(self.inner(x, x), 0.0) ** 0.5

    def dist(self, x1: Array, x2: Array) -> float:
        """Distance of two half-spectra."""
        return self.norm(x1 - x2)

    def to_device(self, device: str) -> HermitianWeighting:
        """Return the same weighting for another device."""
        return HermitianWeighting(self.n, self.impl, device)

    def to_impl(self, impl: str) -> HermitianWeighting:
        """Return the same weighting for another kind of array."""
        return HermitianWeighting(self.n, impl, self.device)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HermitianWeighting) and (self.n, self.impl) == (other.n, other.impl)

    def __hash__(self) -> int:
        return hash((HermitianWeighting, self.n, self.impl))

    @property
    def repr_part(self) -> str:
        """Text for a space's representation."""
        return f"weighting=HermitianWeighting({self.n})"

    def __repr__(self) -> str:
        return f"HermitianWeighting({self.n}, impl={self.impl!r})"


class HermitianSpace(BoxSpace):
    """Half-spectra of real arrays, a real Hilbert space: ``<x, y> = Re sum_k w(kx) x_k conj(y_k)``.

    ``w = 1`` on ``kx = 0`` and, for even ``n``, on ``kx = n/2``; ``w = 2`` elsewhere. On spectra of
    real arrays this is the inner product of the arrays. Spectra need not be Hermitian-consistent where
    ``w = 1``; the consistent ones form a subspace, onto which `cryoinv.spaces.spectrum.symmetrise` projects.

    Parameters
    ----------
    n : int
        Box size of the real array.
    ndim : {1, 2, 3}
        Number of axes of one array.
    pixel_size : float
        Å per voxel of the real array.
    dtype : {"complex64", "complex128"}
        Type of the entries.
    device : str
        ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"auto"``.
    count : int, optional
        Makes this the space of stacks of shape ``(count, n, ..., n//2 + 1)``.

    Raises
    ------
    InputError
        If a size or type is out of range.
    DeviceError
        If the device does not exist.

    Examples
    --------
    >>> space = HermitianSpace(4, ndim=2, count=3)
    >>> space.shape, space.field
    ((3, 4, 3), RealNumbers())
    >>> space.one().inner(space.one())
    48.0
    """

    def __init__(
        self,
        n: int,
        ndim: int = 3,
        pixel_size: float = 1.0,
        dtype: str | torch.dtype = "complex64",
        device: str | torch.device = "cpu",
        count: int | None = None,
    ):
        n, device = checked_size(n, device)
        if ndim not in (1, 2, 3):
            raise InputError(f"ndim is {ndim}, expected 1, 2 or 3")
        dtype = real_dtype(dtype, ("complex64", "complex128"))
        shape = (n,) * (ndim - 1) + (n // 2 + 1,)
        super().__init__(n, shape, pixel_size, dtype, device, count, HermitianWeighting(n, device=device))

    def _init_field(self) -> odl.RealNumbers:
        super()._init_field()
        return odl.RealNumbers()

    def _like(self, **changes: int | str | None) -> Self:
        own: dict[str, Any] = {
            "n": self.n,
            "ndim": self.box_ndim,
            "pixel_size": self.pixel_size,
            "dtype": self.dtype,
            "device": self.device,
            "count": self.count,
        }
        return type(self)(**{**own, **changes})

    def __repr__(self) -> str:
        return super().__repr__().replace(f"({self.n},", f"({self.n}, ndim={self.box_ndim},", 1)

    def riesz(self, gradient: torch.Tensor) -> torch.Tensor:
        """Gradient in this space's inner product from a Euclidean one (autograd's): ``g / w``."""
        return gradient / self._weights(gradient)

    def riesz_inv(self, gradient: torch.Tensor) -> torch.Tensor:
        """Euclidean gradient from one in this space's inner product: ``g * w``."""
        return gradient * self._weights(gradient)

    def _weights(self, like: torch.Tensor) -> torch.Tensor:
        return hermitian_weights(self.n, like.real.dtype, like.device)

    @property
    def array_space(self) -> VolumeSpace | ImageSpace:
        """`VolumeSpace` or `ImageSpace` of the real arrays whose half-spectra these are."""
        from .volume import ImageSpace, VolumeSpace

        if self.box_ndim == 1:
            raise InputError("there is no space of one-dimensional real arrays")
        kind = VolumeSpace if self.box_ndim == 3 else ImageSpace
        dtype = "float32" if self.dtype == torch.complex64 else "float64"
        return kind(self.n, self.pixel_size, dtype, self.device, self.count)


class NumpyHermitianSpace(NumpyTensorSpace):
    """NumPy half-spectra of real arrays of any shape, with the inner product of `HermitianSpace`.

    Parameters
    ----------
    real_shape : tuple of int
        Shape of the real arrays; the half-spectra have ``real_shape[-1]//2 + 1`` in the last place.
    dtype : {"complex64", "complex128"}
        Type of the entries.

    Examples
    --------
    >>> NumpyHermitianSpace((4, 6)).shape
    (4, 4)
    """

    def __init__(self, real_shape: tuple[int, ...], dtype: str = "complex128"):
        self.real_shape = tuple(int(size) for size in real_shape)
        n = self.real_shape[-1]
        shape = (*self.real_shape[:-1], n // 2 + 1)
        super().__init__(shape, dtype=dtype, weighting=HermitianWeighting(n, "numpy"))

    def _init_field(self) -> odl.RealNumbers:
        super()._init_field()
        return odl.RealNumbers()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NumpyHermitianSpace) and self.real_shape == other.real_shape and super().__eq__(other)

    def __hash__(self) -> int:
        return hash((super().__hash__(), self.real_shape))

    def __repr__(self) -> str:
        return f"NumpyHermitianSpace({self.real_shape}, dtype={self.dtype_identifier!r})"

    def _astype(self, dtype: str) -> NumpyTensorSpace:
        if str(dtype).startswith("complex"):
            return NumpyHermitianSpace(self.real_shape, dtype)
        return NumpyTensorSpace(self.shape, dtype=dtype)
