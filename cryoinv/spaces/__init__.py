"""Real volumes and images, and their half-spectra, as real Hilbert spaces."""

from .cube import cube_rotations, rotate_by_cube
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
    shell_counts,
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
    "cube_rotations",
    "fourier_crop",
    "fourier_pad",
    "frequencies",
    "hermitian_weights",
    "radial_expand",
    "radial_mean",
    "resolve_device",
    "rotate_by_cube",
    "shell_counts",
    "shell_indices",
    "symmetrise",
]
