"""Running sums of inserted slices: what an E-step leaves behind, slice batch by slice batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .interpolation import Interpolation

__all__ = ["BufferedSums", "CompiledSums", "SliceSums"]

_BUFFER_BYTES = 1 << 27  # slices wait until they and their weights hold so much: every insertion passes over a spectrum


class SliceSums(Protocol):
    """Sums of slices, and of weights where there are any, over all calls of `add`."""

    def add(self, rotations: Tensor, pixels: Tensor, data: Tensor, weight: Tensor | None = None) -> None:
        """Add slices (M, P) complex and weights (M, P) real at rotations (M, 3, 3)."""

    def data(self) -> Tensor | None:
        """Accumulator of slices, as the scheme's `insert` gives it; None before the first `add`."""

    def weight(self) -> Tensor | None:
        """Accumulator of weights, as the scheme's `insert_weights` gives it; None where there were none."""


class BufferedSums:
    """Sums by a scheme's own insertions, which want large batches: slices wait until there are many.

    Parameters
    ----------
    scheme : Interpolation
        Who inserts.
    """

    def __init__(self, scheme: Interpolation):
        self._scheme = scheme
        self._data: Tensor | None = None
        self._weight: Tensor | None = None
        self._waiting: list[tuple[Tensor, Tensor, Tensor | None]] = []
        self._pixels: Tensor | None = None
        self._bytes = 0

    def add(self, rotations: Tensor, pixels: Tensor, data: Tensor, weight: Tensor | None = None) -> None:
        """Add slices (M, P) complex and weights (M, P) real at rotations (M, 3, 3)."""
        self._waiting.append((rotations, data, weight))
        self._pixels = pixels
        self._bytes += data.nbytes + (0 if weight is None else weight.nbytes)
        if self._bytes > _BUFFER_BYTES:
            self._flush()

    def data(self) -> Tensor | None:
        """Accumulator of slices."""
        self._flush()
        return self._data

    def weight(self) -> Tensor | None:
        """Accumulator of weights."""
        self._flush()
        return self._weight

    def _flush(self) -> None:
        if not self._waiting or self._pixels is None:
            return
        turns, slices, lumps = zip(*self._waiting, strict=True)
        rotations, weights = torch.cat(turns), [weight for weight in lumps if weight is not None]
        self._data = _sum(self._data, self._scheme.insert(torch.cat(slices), rotations, self._pixels))
        if weights:
            part = self._scheme.insert_weights(torch.cat(weights), rotations, self._pixels)
            self._weight = _sum(self._weight, part)
        self._waiting, self._bytes = [], 0


class CompiledSums:
    """Sums on trilinear grids by the compiled kernel, slices and weights in one go, nothing waiting.

    Parameters
    ----------
    box : int
        Size of the spectrum.
    scale : float
        Padding factor.
    """

    def __init__(self, box: int, scale: float):
        self._box, self._scale = box, scale
        self._sums: Tensor | None = None

    def add(self, rotations: Tensor, pixels: Tensor, data: Tensor, weight: Tensor | None = None) -> None:
        """Add slices (M, P) complex and weights (M, P) real at rotations (M, 3, 3)."""
        from . import trilinear_numba

        if self._sums is None:
            channels = 2 if weight is None else 3
            most = trilinear_numba.parts_for(pixels, self._scale, channels * data.real.dtype.itemsize)
            self._sums = trilinear_numba.accumulators(self._box, channels, data.real.dtype, most)
        turned = rotations.to(data.real.dtype)
        trilinear_numba.add_slices(self._sums, turned, pixels, self._scale, data, weight)

    def data(self) -> Tensor | None:
        """Accumulator of slices."""
        return None if self._sums is None else torch.view_as_complex(self._sums[..., :2].sum(0))

    def weight(self) -> Tensor | None:
        """Accumulator of weights."""
        return None if self._sums is None or self._sums.shape[-1] == 2 else self._sums[..., 2].sum(0)


def _sum(total: Tensor | None, part: Tensor) -> Tensor:
    return part if total is None else total.add_(part)
