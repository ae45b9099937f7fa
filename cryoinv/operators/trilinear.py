r"""Trilinear slices of a Hermitian half-spectrum, and their transposes.

A central slice at rotation :math:`R` samples the spectrum at :math:`s R^T (k_x, k_y, 0)`, where :math:`s` is the
padding factor. Points with negative :math:`k_x` are read from their Hermitian mate. The transposes act on the stored
entries as plain pairs of real numbers; weights of an inner product are the business of the caller.

Two implementations stand side by side: the readable one in this file (torch, any device, differentiable in the
rotations too) and a compiled one for the CPU in `trilinear_numba`, of which this one is the oracle. Where numba is
absent this one does all the work.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch

__all__ = ["fits_compiled_kernel", "has_compiled_kernel", "insert_slices", "insert_weights", "slice_spectrum"]

_POINTS_PER_CHUNK = 1 << 20  # bounds the readable version's temporaries, about 100 bytes a point
_LARGEST_COMPILED_BOX = 2046  # the compiled kernel counts entries in 32 bits


def slice_spectrum(
    spectrum: torch.Tensor,
    rotations: torch.Tensor,
    pixels: torch.Tensor,
    scale: float = 1.0,
    compiled: bool | None = None,
) -> torch.Tensor:
    r"""Sample :math:`S_{m,p} = X(s R_m^T (k_{x,p}, k_{y,p}, 0))` by trilinear interpolation.

    Parameters
    ----------
    spectrum : torch.Tensor, shape (N, N, N//2+1), complex
        Half-spectrum in rfft layout, axes (kz, ky, kx).
    rotations : torch.Tensor, shape (M, 3, 3)
        Active rotations, object to image coordinates, on column vectors (x, y, z).
    pixels : torch.Tensor, shape (P, 2)
        Image frequencies (kx, ky), whole numbers.
    scale : float
        Padding factor :math:`s`: steps of the spectrum's grid per step of the image's.
    compiled : bool, optional
        Use the compiled kernel; by default wherever it applies (numba, CPU tensors,
        fixed rotations).

    Returns
    -------
    torch.Tensor, shape (M, P), complex
        Slices, differentiable in `spectrum`.

    Examples
    --------
    The slice at the identity is the plane kz = 0:

    >>> import torch
    >>> x = torch.fft.rfftn(torch.randn(4, 4, 4, dtype=torch.float64))
    >>> s = slice_spectrum(x, torch.eye(3).double()[None], torch.tensor([[1, 0], [0, 1]]))
    >>> bool(torch.allclose(s[0], torch.stack([x[0, 0, 1], x[0, 1, 0]])))
    True
    """
    rotations = rotations.to(spectrum.device, spectrum.real.dtype)
    if _use_compiled(spectrum, rotations, spectrum.shape[0], compiled):
        return _CompiledSlice.apply(spectrum, rotations, pixels, float(scale))
    return torch.cat(
        [
            _gather(spectrum, _sampled(block, pixels, scale, spectrum.shape[0]))
            for block in _blocks(rotations, len(pixels))
        ]
    )


def insert_slices(
    values: torch.Tensor,
    rotations: torch.Tensor,
    pixels: torch.Tensor,
    box: int,
    scale: float = 1.0,
    compiled: bool | None = None,
) -> torch.Tensor:
    r"""Insert slices: the transpose of `slice_spectrum` on the stored entries.

    Parameters
    ----------
    values : torch.Tensor, shape (M, P), complex
        One value per slice and pixel.
    rotations, pixels, scale, compiled
        As in `slice_spectrum`.
    box : int
        Size N of the spectrum.

    Returns
    -------
    torch.Tensor, shape (N, N, N//2+1), complex
        Sum of all values times their interpolation coefficients, differentiable in `values`.
    """
    rotations = rotations.to(values.device, values.real.dtype)
    if _use_compiled(values, rotations, box, compiled):
        return _CompiledInsert.apply(values, rotations, pixels, float(scale), box)
    total = values.new_zeros(box, box, box // 2 + 1)
    start = 0
    for block in _blocks(rotations, len(pixels)):
        points = _sampled(block, pixels, scale, box)
        part = values[start : start + len(block)]
        start += len(block)
        _scatter(total, points, torch.where(points.flipped, part.conj(), part))
    return total


def insert_weights(
    weights: torch.Tensor,
    rotations: torch.Tensor,
    pixels: torch.Tensor,
    box: int,
    scale: float = 1.0,
    compiled: bool | None = None,
) -> torch.Tensor:
    r"""Insert real weights with the interpolation coefficients themselves ("lumped").

    Parameters
    ----------
    weights : torch.Tensor, shape (M, P), real
        One weight per slice and pixel.
    rotations, pixels, box, scale, compiled
        As in `insert_slices`.

    Returns
    -------
    torch.Tensor, shape (N, N, N//2+1), real
    """
    rotations = rotations.to(weights.device, weights.dtype)
    if _use_compiled(weights, rotations, box, compiled):
        from . import trilinear_numba

        return trilinear_numba.insert(weights, rotations, pixels, float(scale), box)
    total = weights.new_zeros(box, box, box // 2 + 1)
    start = 0
    for block in _blocks(rotations, len(pixels)):
        _scatter(total, _sampled(block, pixels, scale, box), weights[start : start + len(block)])
        start += len(block)
    return total


@cache
def has_compiled_kernel() -> bool:
    """Whether numba is installed; one that is but does not load is an error, not a reason to be slow in silence."""
    try:
        return find_spec("numba") is not None
    except (ImportError, ValueError):  # a finder refuses it, or a stand-in without a spec
        return False


def fits_compiled_kernel(device: torch.device, box: int) -> bool:
    """Whether spectra of this size on this device can be worked on by the compiled kernel, which is there."""
    return device.type == "cpu" and box <= _LARGEST_COMPILED_BOX and has_compiled_kernel()


def _use_compiled(tensor: torch.Tensor, rotations: torch.Tensor, box: int, wanted: bool | None) -> bool:
    possible = not rotations.requires_grad and fits_compiled_kernel(tensor.device, box)
    if wanted and not possible:
        raise ValueError(
            "the compiled kernel needs numba, CPU tensors, rotations without gradient and a box of at most "
            f"{_LARGEST_COMPILED_BOX}"
        )
    return possible if wanted is None else wanted


def _blocks(rotations: torch.Tensor, pixel_count: int) -> tuple[torch.Tensor, ...]:
    return rotations.split(max(1, _POINTS_PER_CHUNK // max(1, pixel_count)))


@dataclass
class _Points:
    """Sampled points of a spectrum of size `box`.

    `lower` (M, P, 3) are whole coordinates (x, y, z) of each one's lowest neighbour, `upper` (M, P, 3) its place
    between that and the highest one, and `flipped` (M, P) says where it stands for its Hermitian mate.
    """

    lower: torch.Tensor
    upper: torch.Tensor
    flipped: torch.Tensor
    box: int

    def neighbours(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Flat indices (M, P) and coefficients (M, P) of one neighbour after another: never of all eight at once."""
        box, (x, y, z) = self.box, self.lower.unbind(-1)
        for dz, dy, dx in itertools.product((0, 1), repeat=3):
            index = ((z + dz) % box * box + (y + dy) % box) * (box // 2 + 1) + x + dx
            shares = [self.upper[..., a] if d else 1 - self.upper[..., a] for a, d in enumerate((dx, dy, dz))]
            yield index, shares[0] * shares[1] * shares[2]


def _sampled(rotations: torch.Tensor, pixels: torch.Tensor, scale: float, box: int) -> _Points:
    pixels = pixels.to(rotations.device, rotations.dtype)
    x, y = scale * pixels[:, :1], scale * pixels[:, 1:]
    # Rows of R are columns of R^T. No matrix product: on a GPU that may be one of few digits (TF32).
    point = torch.addcmul(x * rotations[:, None, 0], y, rotations[:, None, 1])
    flipped = point[..., 0] < 0
    point = torch.where(flipped[..., None], -point, point)
    lower = point.detach().floor()
    # A point on the last plane takes all its weight from the upper neighbour, so no index leaves the array.
    lower[..., 0] = lower[..., 0].clamp(max=box // 2 - 1)
    return _Points(lower.long(), point - lower, flipped, box)


def _gather(spectrum: torch.Tensor, points: _Points) -> torch.Tensor:
    flat = spectrum.reshape(-1)
    value = spectrum.new_zeros(points.flipped.shape)
    for index, coefficient in points.neighbours():
        value = value + flat[index] * coefficient
    return torch.where(points.flipped, value.conj(), value)


def _scatter(total: torch.Tensor, points: _Points, values: torch.Tensor) -> None:
    # In place: a large spectrum is not copied for every block of slices.
    for index, coefficient in points.neighbours():
        total.view(-1).index_add_(0, index.reshape(-1), (coefficient * values).reshape(-1))


class _CompiledSlice(torch.autograd.Function):
    """The compiled slice with its transpose as gradient."""

    @staticmethod
    def forward(
        ctx: Any, spectrum: torch.Tensor, rotations: torch.Tensor, pixels: torch.Tensor, scale: float
    ) -> torch.Tensor:
        from . import trilinear_numba

        ctx.save_for_backward(rotations, pixels)
        ctx.scale, ctx.box = scale, spectrum.shape[0]
        return trilinear_numba.slice_complex(spectrum, rotations, pixels, scale)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rotations, pixels = ctx.saved_tensors
        return _CompiledInsert.apply(gradient, rotations, pixels, ctx.scale, ctx.box), None, None, None


class _CompiledInsert(torch.autograd.Function):
    """The compiled insertion with slicing as gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        values: torch.Tensor,
        rotations: torch.Tensor,
        pixels: torch.Tensor,
        scale: float,
        box: int,
    ) -> torch.Tensor:
        from . import trilinear_numba

        ctx.save_for_backward(rotations, pixels)
        ctx.scale = scale
        return trilinear_numba.insert(values, rotations, pixels, scale, box)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rotations, pixels = ctx.saved_tensors
        return _CompiledSlice.apply(gradient, rotations, pixels, ctx.scale), None, None, None, None
