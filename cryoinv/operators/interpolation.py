r"""How central slices are read from a volume, and what an E-step accumulates on: trilinear grids or the NUFFT.

An interpolation scheme turns a volume into something slices are read from quickly (`prepare`), reads slices
(`slices`), inserts them (`insert`, the Euclidean transpose of `slices`), and knows the half-spectrum in which sums of
insertions live (`data`, `weight`), with its two maps `to_volume` and `from_volume`. Nobody else knows about padding.

With :math:`G` the reading of the half-spectrum :math:`x` of size :math:`N` at the slice's points, and :math:`c` the
constant that makes slices orthonormally scaled image transforms, images are :math:`S = c\,G x`.
"""

from __future__ import annotations

from typing import Protocol

import torch

from cryoinv.errors import DeviceError, InputError
from cryoinv.spaces.spectrum import centred_irfft, centred_rfft, hermitian_weights, symmetrise

from .gridding import gridding_window
from .lumping import neighbours_mean
from .padded_fft import cropped_irfft, padded_rfft, padded_rfft_transpose
from .slice_sums import BufferedSums, CompiledSums, SliceSums
from .trilinear import fits_compiled_kernel, insert_slices, insert_weights, slice_spectrum

__all__ = ["Interpolation", "NufftInterpolation", "TrilinearInterpolation", "interpolation_scheme"]


class Interpolation(Protocol):
    """What every scheme offers; shapes as in `TrilinearInterpolation`."""

    n: int
    box: int

    def prepare(self, volume: torch.Tensor) -> torch.Tensor:
        """From a volume to what slices are read from."""

    def prepare_adjoint(self, inserted: torch.Tensor) -> torch.Tensor:
        """From an accumulator to a volume: the Euclidean transpose of `prepare`."""

    def slices(self, prepared: torch.Tensor, rotations: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        """Read slices."""

    def insert(self, values: torch.Tensor, rotations: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        """From slices to an accumulator: the Euclidean transpose of `slices`."""

    def insert_weights(
        self, weights: torch.Tensor, rotations: torch.Tensor, pixels: torch.Tensor
    ) -> torch.Tensor:
        """From weights of slices to an accumulator of weights."""

    def slice_sums(self, device: torch.device) -> SliceSums:
        """Empty sums of slices and weights that live on `device`."""

    def spectrum(self, prepared: torch.Tensor) -> torch.Tensor:
        """Element of the statistics' space that slices are read from."""

    def spectrum_adjoint(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Adjoint of ``spectrum(prepare(volume))``."""

    def data(self, inserted: torch.Tensor) -> torch.Tensor:
        """Data term B of an accumulator of slices."""

    def weight(self, inserted: torch.Tensor) -> torch.Tensor:
        """Weight K of an accumulator of weights."""

    def curvature(self, weight: torch.Tensor) -> torch.Tensor:
        """K as M-steps divide B by it."""

    def to_volume(self, spectrum: torch.Tensor) -> torch.Tensor:
        """From the statistics' space to a volume."""

    def to_volume_adjoint(self, volume: torch.Tensor) -> torch.Tensor:
        """From a volume to the statistics' space: the adjoint of `to_volume`."""

    def from_volume(self, volume: torch.Tensor) -> torch.Tensor:
        """From a volume to the statistics' space, the inverse of `to_volume`."""


class TrilinearInterpolation:
    r"""Trilinear reading of a zero-padded, gridding-corrected half-spectrum.

    Reading convolves the spectrum with a triangle, which multiplies the volume by the gridding window :math:`g`;
    `prepare` divides by it first: :math:`S = c\,G F_N\,\mathrm{pad}(v / g)`, :math:`c = N^{3/2}/n`.
    A map :math:`B/K` on the padded grid carries the window too: `to_volume` divides by it, `from_volume` multiplies.

    Parameters
    ----------
    n : int
        Box size of volume and images.
    padding : int
        Padding factor; the spectrum has size N = padding * n.
    gridding : {"separable", "radial"}
        Window of the correction; "radial" is RELION's.
    """

    def __init__(self, n: int, padding: int = 2, gridding: str = "separable"):
        if padding not in (1, 2, 3, 4):
            raise InputError(f"padding is {padding}, expected a whole number from 1 to 4")
        self.n, self.padding, self.gridding = n, padding, gridding
        self.box = padding * n
        self.constant = self.box**1.5 / n
        self._window = gridding_window(n, padding, gridding)

    def window(self, like: torch.Tensor) -> torch.Tensor:
        """Gridding window, shape (n, n, n), on the device and in the real type of `like`."""
        if self._window.device != like.device or self._window.dtype != like.real.dtype:
            self._window = gridding_window(self.n, self.padding, self.gridding).to(
                like.device, like.real.dtype
            )
        return self._window

    def prepare(self, volume: torch.Tensor) -> torch.Tensor:
        """Spectrum (N, N, N//2+1) from which slices of the volume (n, n, n) are read."""
        return padded_rfft(volume * (self.constant / self.window(volume)), self.box)

    def prepare_adjoint(self, inserted: torch.Tensor) -> torch.Tensor:
        """Volume (n, n, n): Euclidean transpose of `prepare` applied to an insertion."""
        return padded_rfft_transpose(inserted, self.n, self.box) * (self.constant / self.window(inserted))

    def slices(self, prepared: torch.Tensor, rotations: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        """Slices (M, P) at rotations (M, 3, 3) and image frequencies (P, 2)."""
        return slice_spectrum(prepared, rotations, pixels, self.padding)

    def insert(self, values: torch.Tensor, rotations: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        """Euclidean transpose of `slices`: accumulator (N, N, N//2+1)."""
        return insert_slices(values, rotations, pixels, self.box, self.padding)

    def spectrum(self, prepared: torch.Tensor) -> torch.Tensor:
        """Element x of the statistics' space that the slices of a prepared volume are read from: S = c G x."""
        return prepared / self.constant

    def spectrum_adjoint(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Volume (n, n, n): adjoint of ``spectrum(prepare(volume))``."""
        return cropped_irfft(spectrum, self.n, self.box) / self.window(spectrum)

    def insert_weights(
        self, weights: torch.Tensor, rotations: torch.Tensor, pixels: torch.Tensor
    ) -> torch.Tensor:
        """Real accumulator (N, N, N//2+1) of weights (M, P), lumped."""
        return insert_weights(weights, rotations, pixels, self.box, self.padding)

    def slice_sums(self, device: torch.device) -> SliceSums:
        """Empty sums of slices and weights that live on `device`."""
        if fits_compiled_kernel(device, self.box):
            return CompiledSums(self.box, self.padding)
        return BufferedSums(self)

    def data(self, inserted: torch.Tensor) -> torch.Tensor:
        r"""Data term :math:`B` of an accumulator of slices, in the weighted inner product."""
        return self.constant * _riesz(inserted, self.box)

    def weight(self, inserted: torch.Tensor) -> torch.Tensor:
        r"""Weight :math:`K` of an accumulator of weights, in the weighted inner product."""
        return self.constant**2 * _riesz(inserted, self.box).real

    def curvature(self, weight: torch.Tensor) -> torch.Tensor:
        """K as M-steps divide B by it: K, since both are inserted alike and B/K is a mean of the data."""
        return weight

    def to_volume(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Volume (n, n, n) of a spectrum estimated on the padded grid (inverse transform, crop, correction).

        With padding the coefficient at zero is fed by the images' own zero frequency alone, so it is the volume's
        sum without interpolation, while what lies between it and the first shell is extrapolated. A constant is
        added that restores that sum; otherwise the map's mean comes out nearly a fifth low.
        """
        volume, window = cropped_irfft(spectrum, self.n, self.box), self.window(spectrum)
        if self.padding > 1:
            lacking = self.box**1.5 * spectrum[0, 0, 0].real - (volume / window).sum()
            volume = volume + lacking / (1 / window).sum()
        return volume / window

    def to_volume_adjoint(self, volume: torch.Tensor) -> torch.Tensor:
        """Spectrum on the padded grid: adjoint of `to_volume` between the volumes and the weighted inner product."""
        window = self.window(volume)
        if self.padding == 1:
            return padded_rfft(volume / window, self.box)
        share = 1 / window / (1 / window).sum()
        restored = (share * volume).sum()
        spectrum = padded_rfft((volume - restored) / window, self.box)
        spectrum[0, 0, 0] += self.box**1.5 * restored
        return spectrum

    def from_volume(self, volume: torch.Tensor) -> torch.Tensor:
        """Spectrum on the padded grid that `to_volume` maps to the given volume."""
        spectrum = padded_rfft(volume * self.window(volume), self.box)
        if self.padding > 1:
            spectrum[0, 0, 0] = volume.sum() / self.box**1.5
        return spectrum


class NufftInterpolation:
    r"""Exact slices by the non-uniform FFT: :math:`S(k) = \frac1n \sum_r v(r)\, e^{-2\pi i\, R^T k \cdot r / n}`.

    Statistics live on the unpadded half-spectrum; there is nothing to correct. The diagonal weight is inserted with
    trilinear coefficients, which are positive and sum to one, as the sampling density must be.

    Parameters
    ----------
    n : int
        Box size of volume and images.
    tolerance : float
        Relative error asked of finufft.
    """

    def __init__(self, n: int, tolerance: float = 1e-7):
        self.n = self.box = n
        self.tolerance = tolerance

    def prepare(self, volume: torch.Tensor) -> torch.Tensor:
        """Return the volume itself: slices are read from it directly."""
        return volume

    def prepare_adjoint(self, inserted: torch.Tensor) -> torch.Tensor:
        """Return the accumulator itself: it is a volume already."""
        return inserted

    def slices(self, prepared: torch.Tensor, rotations: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        """Slices (M, P) at rotations (M, 3, 3) and image frequencies (P, 2)."""
        from .nufft import nufft_type2

        points = _points(prepared, rotations, pixels, self.n)
        return nufft_type2(prepared, points, self.tolerance).reshape(len(rotations), len(pixels)) / self.n

    def insert(self, values: torch.Tensor, rotations: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        """Euclidean transpose of `slices`: real accumulator (n, n, n)."""
        from .nufft import nufft_type1

        points = _points(values, rotations, pixels, self.n)
        return nufft_type1(values.reshape(-1) / self.n, points, self.n, self.tolerance)

    def spectrum(self, prepared: torch.Tensor) -> torch.Tensor:
        """Element x of the statistics' space that belongs to a prepared volume."""
        return centred_rfft(prepared)

    def spectrum_adjoint(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Volume (n, n, n): adjoint of ``spectrum(prepare(volume))``."""
        return centred_irfft(spectrum, self.n)

    def insert_weights(
        self, weights: torch.Tensor, rotations: torch.Tensor, pixels: torch.Tensor
    ) -> torch.Tensor:
        """Real accumulator (n, n, n//2+1) of weights (M, P), lumped."""
        return insert_weights(weights, rotations, pixels, self.n)

    def slice_sums(self, device: torch.device) -> SliceSums:
        """Empty sums of slices and weights."""
        return BufferedSums(self)

    def data(self, inserted: torch.Tensor) -> torch.Tensor:
        r"""Data term :math:`B` of an accumulator of slices."""
        return centred_rfft(inserted)

    def weight(self, inserted: torch.Tensor) -> torch.Tensor:
        r"""Weight :math:`K` of an accumulator of weights."""
        return self.n * _riesz(inserted, self.n).real

    def curvature(self, weight: torch.Tensor) -> torch.Tensor:
        """K as M-steps divide B by it: no less than the mean of the neighbours that B comes from.

        B is spread over all coefficients but K over the nearest ones only: in a gap between slices K vanishes and B
        does not, and B/K is beyond all bounds.
        """
        return torch.maximum(weight, neighbours_mean(weight, self.n))

    def to_volume(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Volume (n, n, n) of a half-spectrum."""
        return centred_irfft(spectrum, self.n)

    def to_volume_adjoint(self, volume: torch.Tensor) -> torch.Tensor:
        """Half-spectrum of a volume: the transform is an isometry."""
        return centred_rfft(volume)

    def from_volume(self, volume: torch.Tensor) -> torch.Tensor:
        """Half-spectrum of a volume."""
        return centred_rfft(volume)


def interpolation_scheme(
    n: int,
    interpolation: str = "trilinear",
    padding: int = 2,
    gridding: str = "separable",
    tolerance: float = 1e-7,
) -> Interpolation:
    """Make the scheme of a name, ``"trilinear"`` or ``"nufft"``.

    Parameters
    ----------
    n : int
        Box size of volume and images.
    interpolation : {"trilinear", "nufft"}
        Which scheme.
    padding : int
        Padding factor (trilinear).
    gridding : {"separable", "radial"}
        Window of the correction (trilinear).
    tolerance : float
        Relative error asked of the non-uniform transform (nufft).

    Returns
    -------
    TrilinearInterpolation or NufftInterpolation

    Raises
    ------
    InputError
        If the name is neither.
    """
    if interpolation == "trilinear":
        return TrilinearInterpolation(n, padding, gridding)
    if interpolation == "nufft":
        return NufftInterpolation(n, tolerance)
    raise InputError(f"interpolation is {interpolation!r}, expected 'trilinear' or 'nufft'")


def _riesz(inserted: torch.Tensor, box: int) -> torch.Tensor:
    """From stored pairs to the weighted inner product, made Hermitian-consistent."""
    weights = hermitian_weights(box, inserted.real.dtype, inserted.device)
    return symmetrise(inserted / weights, box, 3)


def _points(like: torch.Tensor, rotations: torch.Tensor, pixels: torch.Tensor, n: int) -> torch.Tensor:
    """Angular frequencies (M * P, 3) in radians a voxel, as (x, y, z)."""
    if like.device.type != "cpu":
        raise DeviceError(
            f"interpolation 'nufft' runs on the CPU, got tensors on {like.device}; use 'trilinear'"
        )
    dtype = like.real.dtype
    rotations, pixels = rotations.to(dtype), pixels.to(dtype)
    return (2 * torch.pi / n) * torch.einsum("pi,mij->mpj", pixels, rotations[:, :2, :]).reshape(-1, 3)
