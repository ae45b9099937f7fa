"""What the library's torch spaces share: creation, indexing, linear combinations and names."""

from __future__ import annotations

from numbers import Number
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from cryoinv.errors import InputError

from .backend import odl
from .device import resolve_device

# After `backend`, whose import leaves NumPy's print options alone.
from odl.backends.arrays.pytorch_tensors import PyTorchTensor, PyTorchTensorSpace  # isort: skip
from odl.core.set.space import LinearSpaceElement, LinearSpaceTypeError  # isort: skip
from odl.core.space.base_tensors import TensorSpace  # isort: skip
from odl.core.space.weightings.weighting import Weighting  # isort: skip
from odl.core.util.dtype_utils import _universal_dtype_identifier  # isort: skip

__all__ = ["BoxElement", "BoxSpace"]

_Index = int | slice | list[int] | np.ndarray | torch.Tensor | PyTorchTensor | tuple[object, ...]


class BoxElement(PyTorchTensor):
    """Element of a `BoxSpace`; ``element.data`` is its tensor."""

    # Makes `numpy_scalar * element` call the element's own multiplication instead of failing in NumPy.
    __array_ufunc__ = None

    def __getitem__(self, indices: _Index) -> Any:
        """Image or volume ``i`` of a stack, a shorter stack for a slice, else a plain tensor."""
        if isinstance(indices, PyTorchTensor):
            indices = indices.data
        part, space = self.data[indices], self.space
        if space.count is not None and part.shape[-space.box_ndim :] == space.box_shape:
            if part.ndim == space.box_ndim:
                return space.with_count(None).element(part)
            if part.ndim == space.box_ndim + 1:
                return space.with_count(len(part)).element(part)
        return part


class BoxSpace(PyTorchTensorSpace):
    """Base of the spaces of arrays, or stacks of arrays, that have one box size and pixel size.

    Parameters
    ----------
    n : int
        Box size.
    box_shape : tuple of int
        Shape of one array.
    pixel_size : float
        In Å.
    dtype : str or torch.dtype
        Type of the entries.
    device : str
        As in `resolve_device`.
    count : int or None
        Number of arrays in a stack (a leading axis), or None for a single array.
    weighting : odl Weighting
        Inner product.
    """

    def __init__(
        self,
        n: int,
        box_shape: tuple[int, ...],
        pixel_size: float,
        dtype: str,
        device: str,
        count: int | None,
        weighting: Weighting,
    ):
        if not 0 < float(pixel_size) < float("inf"):
            raise InputError(f"pixel_size is {pixel_size}, expected a positive number of Å")
        self.n, self.pixel_size = n, float(pixel_size)
        self.box_shape, self.box_ndim = tuple(box_shape), len(box_shape)
        self.count = None if count is None else int(count)
        shape = self.box_shape if count is None else (self.count, *self.box_shape)
        super().__init__(shape, dtype=dtype, device=device, weighting=weighting)

    @property
    def element_type(self) -> type[BoxElement]:
        """Class of the elements."""
        return BoxElement

    def element(
        self, inp: ArrayLike | torch.Tensor | LinearSpaceElement | None = None, copy: bool | None = None
    ) -> BoxElement:
        """Element of this space from a tensor, array, number or another space's element.

        Parameters
        ----------
        inp : Tensor, array-like, number or element, optional
            Values; without it the element is uninitialised. A tensor of right type and device is wrapped,
            not copied, and keeps its autograd graph.
        copy : bool, optional
            Copy in any case.

        Returns
        -------
        BoxElement

        Raises
        ------
        ValueError, TypeError
            If the shape differs, or complex values are put into a real space.
        """
        if inp is None:
            return self.element_type(self, torch.empty(self.shape, dtype=self.dtype, device=self.device))
        if isinstance(inp, PyTorchTensor):
            if isinstance(inp, BoxElement) and inp.space == self and not copy:
                return inp
            inp = inp.data
        elif isinstance(inp, LinearSpaceElement):
            raise TypeError(f"cannot make an element of {self} from {type(inp).__name__}")
        data = torch.as_tensor(inp).resolve_conj()
        if data.ndim == 0:
            data = data.expand(self.shape).clone()
        if tuple(data.shape) != self.shape:
            raise ValueError(f"shape of the input is {tuple(data.shape)}, expected {self.shape} of {self}")
        if data.is_complex() and not self.is_complex:
            raise TypeError(f"the input is {data.dtype}, expected real values for {self}")
        return self.element_type(self, data.to(self.device, self.dtype, copy=bool(copy)))

    def with_count(self, count: int | None) -> BoxSpace:
        """Return the same kind of space with another number of arrays (None for a single one)."""
        return self if count == self.count else self._like(count=count)

    def _like(self, **changes: int | str | None) -> BoxSpace:
        """Copy of this space with some of its arguments changed."""
        raise NotImplementedError

    def _key(self) -> tuple[object, ...]:
        return (type(self), self.shape, self.n, self.pixel_size, self.dtype, self.device)

    def __eq__(self, other: object) -> bool:
        return other is self or (isinstance(other, BoxSpace) and self._key() == other._key())

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        count = "" if self.count is None else f", count={self.count}"
        device = "" if self.device == "cpu" else f", device={self.device!r}"
        return (
            f"{type(self).__name__}({self.n}, pixel_size={self.pixel_size:g}, "
            f"dtype={self.dtype_identifier!r}{count}{device})"
        )

    def _astype(self, dtype: str) -> PyTorchTensorSpace:
        name = _universal_dtype_identifier(dtype)
        if name.startswith(self.dtype_identifier.rstrip("0123456789")):
            return self._like(dtype=name)
        return PyTorchTensorSpace(self.shape, dtype=name, device=self.device)

    def _to_device(self, device: str) -> BoxSpace:
        return self._like(device=device)

    def _to_impl(self, impl: str) -> TensorSpace:
        return odl.tensor_space(self.shape, dtype=self.dtype_identifier, impl=impl)

    def _elementwise_num_operation(
        self,
        operation: str,
        x1: LinearSpaceElement | Number,
        x2: LinearSpaceElement | Number | None = None,
        out: LinearSpaceElement | None = None,
        namespace: ModuleType | None = None,
        **kwargs: Any,
    ) -> LinearSpaceElement:
        # ODL takes Python numbers only.
        x1 = x1.item() if isinstance(x1, np.generic) else x1
        x2 = x2.item() if isinstance(x2, np.generic) else x2
        return super()._elementwise_num_operation(operation, x1, x2, out, namespace, **kwargs)

    def inner(self, x1: BoxElement, x2: BoxElement) -> float:
        """Inner product of two elements, evaluated once (ODL's own method evaluates it twice)."""
        for x in (x1, x2):
            if x not in self:
                raise LinearSpaceTypeError(f"{x!r} is not an element of {self}")
        return self.weighting.inner(x1.data, x2.data)

    def _lincomb(self, a: float, x1: BoxElement, b: float, x2: BoxElement, out: BoxElement | None) -> BoxElement:
        result = x1.data * float(a)
        if b != 0:
            result = result.add_(x2.data, alpha=float(b))
        if out is None:
            return self.element(result)
        out.data.copy_(result)
        return out


def real_dtype(dtype: str | torch.dtype, allowed: tuple[str, str]) -> str:
    """Name of a floating type, checked to be one of two."""
    name = str(dtype).removeprefix("torch.")
    if name not in allowed:
        raise InputError(f"dtype is {name!r}, expected {allowed[0]!r} or {allowed[1]!r}")
    return name


def checked_size(n: int, device: str | torch.device) -> tuple[int, str]:
    """Box size and device name, checked."""
    if int(n) != n or n < 2:
        raise InputError(f"box size is {n}, expected a whole number of at least 2")
    return int(n), resolve_device(device)
