"""Non-uniform Fourier transforms of centred volumes, on torch tensors, each the gradient of the other (finufft)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

__all__ = ["nufft_type1", "nufft_type2"]


def nufft_type2(volume: torch.Tensor, points: torch.Tensor, tolerance: float = 1e-7) -> torch.Tensor:
    r"""Evaluate :math:`f_j = \sum_r v(r)\, e^{-i\, p_j \cdot r}`, r counted from voxel n//2.

    Parameters
    ----------
    volume : torch.Tensor, shape (n, n, n), real
        Axes (z, y, x).
    points : torch.Tensor, shape (J, 3)
        Angular frequencies (x, y, z) in radians a voxel.
    tolerance : float
        Relative error asked of finufft.

    Returns
    -------
    torch.Tensor, shape (J,), complex
        Differentiable in `volume`.
    """
    return _Type2.apply(volume, points, tolerance)


def nufft_type1(values: torch.Tensor, points: torch.Tensor, n: int, tolerance: float = 1e-7) -> torch.Tensor:
    r"""Evaluate :math:`v(r) = \mathrm{Re} \sum_j f_j\, e^{+i\, p_j \cdot r}`: the transpose of `nufft_type2`.

    Parameters
    ----------
    values : torch.Tensor, shape (J,), complex
        Values at the points.
    points : torch.Tensor, shape (J, 3)
        Angular frequencies (x, y, z) in radians a voxel.
    n : int
        Box size.
    tolerance : float
        Relative error asked of finufft.

    Returns
    -------
    torch.Tensor, shape (n, n, n), real
        Differentiable in `values`.
    """
    return _Type1.apply(values, points, n, tolerance)


def _run(kind: int, points: torch.Tensor, data: torch.Tensor, tolerance: float, n: int) -> torch.Tensor:
    import finufft

    # Wrapped into one period: points of any frequency are allowed, finufft wants them near it.
    wrapped = torch.remainder(points + torch.pi, 2 * torch.pi) - torch.pi
    x, y, z = (np.ascontiguousarray(column.numpy()) for column in wrapped.unbind(-1))
    values = np.ascontiguousarray(data.resolve_conj().numpy())
    # Finer than single precision cannot be had in single precision.
    tolerance = max(tolerance, 1e-6) if values.dtype == np.complex64 else tolerance
    options = {"eps": tolerance, "upsampfac": 2.0, "nthreads": torch.get_num_threads()}
    if kind == 2:
        return torch.from_numpy(finufft.nufft3d2(z, y, x, values, isign=-1, **options))
    return torch.from_numpy(finufft.nufft3d1(z, y, x, values, (n, n, n), isign=1, **options))


class _Type2(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, volume: torch.Tensor, points: torch.Tensor, tolerance: float) -> torch.Tensor:
        ctx.save_for_backward(points)
        ctx.n, ctx.tolerance = volume.shape[0], tolerance
        complex_type = torch.complex128 if volume.dtype == torch.float64 else torch.complex64
        return _run(2, points, volume.detach().to(complex_type), tolerance, ctx.n)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (points,) = ctx.saved_tensors
        return _Type1.apply(gradient, points, ctx.n, ctx.tolerance), None, None


class _Type1(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, points: torch.Tensor, n: int, tolerance: float) -> torch.Tensor:
        ctx.save_for_backward(points)
        ctx.tolerance = tolerance
        return _run(1, points, values.detach(), tolerance, n).real.contiguous()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (points,) = ctx.saved_tensors
        return _Type2.apply(gradient, points, ctx.tolerance), None, None, None
