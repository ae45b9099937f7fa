"""Transforms between a volume and the spectrum of the zero-padded volume that skip lines of zeros.

They equal padding followed by `centred_rfft`, and `centred_irfft` followed by cropping. Voxel n//2 of the volume is
the origin; with the zeros put between its upper and its lower half nothing has to be rolled into place.
"""

from __future__ import annotations

import torch

from cryoinv.spaces.spectrum import hermitian_weights, symmetrise

__all__ = ["cropped_irfft", "padded_rfft", "padded_rfft_transpose"]


def padded_rfft(volume: torch.Tensor, box: int) -> torch.Tensor:
    """Orthonormal half-spectrum (N, N, N//2+1), N = box, of a volume (n, n, n) in the middle of zeros.

    Parameters
    ----------
    volume : torch.Tensor, shape (n, n, n), real
        Volume.
    box : int
        Size N of the padded volume, at least n.

    Returns
    -------
    torch.Tensor, shape (N, N, N//2+1), complex

    Examples
    --------
    >>> volume = torch.zeros(2, 2, 2)
    >>> volume[1, 1, 1] = 8.0
    >>> bool((padded_rfft(volume, 4) == 1).all())
    True
    """
    spectrum = torch.fft.rfft(_spread(volume, box, 2), dim=2, norm="ortho")
    for axis in (1, 0):
        spectrum = torch.fft.fft(_spread(spectrum, box, axis), dim=axis, norm="ortho")
    return spectrum.contiguous()  # else whoever reads slices in batches would copy it every time


def cropped_irfft(spectrum: torch.Tensor, n: int, box: int) -> torch.Tensor:
    """Middle (n, n, n) of the real volume of a half-spectrum: the adjoint of `padded_rfft`.

    Parameters
    ----------
    spectrum : torch.Tensor, shape (N, N, N//2+1), complex
        Half-spectrum; need not be Hermitian-consistent.
    n : int
        Size of the volume.
    box : int
        Size N of the padded volume.

    Returns
    -------
    torch.Tensor, shape (n, n, n), real

    Examples
    --------
    >>> volume = torch.arange(27.0).reshape(3, 3, 3)
    >>> bool(torch.allclose(cropped_irfft(padded_rfft(volume, 6), 3, 6), volume, atol=1e-5))
    True
    """
    return _last_axis(_but_last_axis(spectrum, n, box), n, box)


def padded_rfft_transpose(entries: torch.Tensor, n: int, box: int) -> torch.Tensor:
    """Transpose of `padded_rfft` on the stored entries as plain pairs of real numbers.

    Parameters
    ----------
    entries : torch.Tensor, shape (N, N, N//2+1), complex
        Any numbers.
    n, box : int
        As in `cropped_irfft`.

    Returns
    -------
    torch.Tensor, shape (n, n, n), real
    """
    lines = _but_last_axis(entries, n, box)
    return _last_axis(lines / hermitian_weights(box, lines.real.dtype, lines.device), n, box)


def _but_last_axis(spectrum: torch.Tensor, n: int, box: int) -> torch.Tensor:
    if spectrum.is_cuda:
        # cuFFT leaves the transform of an inconsistent spectrum undefined; CPU transforms project it.
        spectrum = symmetrise(spectrum, box)
    for axis in (0, 1):
        spectrum = _gathered(torch.fft.ifft(spectrum, dim=axis, norm="ortho"), n, axis)
    return spectrum


def _last_axis(lines: torch.Tensor, n: int, box: int) -> torch.Tensor:
    return _gathered(torch.fft.irfft(lines, n=box, dim=2, norm="ortho"), n, 2)


def _spread(array: torch.Tensor, box: int, axis: int) -> torch.Tensor:
    """Zeros between the upper half of an axis, origin first, and the lower one."""
    n = array.shape[axis]
    zeros = array.new_zeros([box - n if a == axis else size for a, size in enumerate(array.shape)])
    lower, upper = array.split([n // 2, n - n // 2], axis)
    return torch.cat((upper, zeros, lower), axis)


def _gathered(array: torch.Tensor, n: int, axis: int) -> torch.Tensor:
    """Undo `_spread`."""
    upper = array.narrow(axis, 0, n - n // 2)
    return torch.cat((array.narrow(axis, array.shape[axis] - n // 2, n // 2), upper), axis)
