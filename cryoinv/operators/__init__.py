"""Operators of the forward model, with exact adjoints, composable by ODL's algebra."""

from .base import TorchOperator
from .ctf import CTF, ctf_at_pixels, ctf_values, electron_wavelength
from .differences import FiniteDifferences
from .forward import ForwardModel
from .fourier import FourierTransform, PyFFTWFourierTransform
from .gridding import gridding_window
from .interpolation import NufftInterpolation, TrilinearInterpolation, interpolation_scheme
from .lowpass import low_pass
from .mask import SoftMask, soft_sphere
from .multiplier import Multiplier
from .pixels import FourierDisc
from .projection import Projection
from .shift import Shift, shift_at_pixels, shift_values
from .slice import FourierSlice
from .trilinear import insert_slices, insert_weights, slice_spectrum

__all__ = [
    "CTF",
    "FiniteDifferences",
    "ForwardModel",
    "FourierDisc",
    "FourierSlice",
    "FourierTransform",
    "Multiplier",
    "NufftInterpolation",
    "Projection",
    "PyFFTWFourierTransform",
    "Shift",
    "SoftMask",
    "TorchOperator",
    "TrilinearInterpolation",
    "ctf_at_pixels",
    "ctf_values",
    "electron_wavelength",
    "gridding_window",
    "insert_slices",
    "insert_weights",
    "interpolation_scheme",
    "low_pass",
    "shift_at_pixels",
    "shift_values",
    "slice_spectrum",
    "soft_sphere",
]
