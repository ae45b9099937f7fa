"""Real volumes and images, and their half-spectra, as real Hilbert spaces."""

from .device import resolve_device
from .hermitian import HermitianSpace, HermitianWeighting, NumpyHermitianSpace
from .spectrum import (
    centred_irfft,
    centred_rfft,
    fourier_crop,
    fourier_pad,
    frequencies,
    hermitian_weights,
    radial_expand,
    radial_mean,
    shell_indices,
    symmetrise,
)
from .volume import ImageSpace, VolumeSpace

__all__ = [
    "HermitianSpace",
    "HermitianWeighting",
    "ImageSpace",
    "NumpyHermitianSpace",
    "VolumeSpace",
    "centred_irfft",
    "centred_rfft",
    "fourier_crop",
    "fourier_pad",
    "frequencies",
    "hermitian_weights",
    "radial_expand",
    "radial_mean",
    "resolve_device",
    "shell_indices",
    "symmetrise",
]
