"""The list of operators that drives the generic tests: adding an operator is one line."""

import numpy as np
import torch

from cryoinv.geometry import random_rotations
from cryoinv.operators import (
    CTF,
    ForwardModel,
    FourierSlice,
    FourierTransform,
    Multiplier,
    Projection,
    PyFFTWFourierTransform,
    Shift,
    SoftMask,
    TorchOperator,
    ctf_values,
    soft_sphere,
)
from cryoinv.spaces import HermitianSpace, ImageSpace, VolumeSpace
from cryoinv.spaces.backend import odl

COUNT = 3


def volumes(n, dtype):
    return VolumeSpace(n, 3.0, dtype)


def images(n, dtype):
    return HermitianSpace(n, 2, 3.0, "complex64" if dtype == "float32" else "complex128", count=COUNT)


def rotations(count=COUNT, seed=1):
    return random_rotations(count, np.random.default_rng(seed))


def shifts(count=COUNT, seed=2):
    return np.random.default_rng(seed).uniform(-2, 2, (count, 2))


def ctfs(n, count=COUNT):
    defocus = np.linspace(9000, 21000, count)
    return ctf_values(n, 3.0, defocus, defocus - 1500, 35.0, 300, 2.7, 0.1, 10.0, 50.0)


def slices(n, dtype, **options):
    return FourierSlice(volumes(n, dtype), rotations(), **options)


def model(n, dtype, **options):
    parts = slices(n, dtype, **options)
    return ForwardModel(parts, CTF(parts.range, ctfs(n)), Shift(parts.range, shifts()))


class Blur(TorchOperator):
    """Has `apply` only: adjoint and normal are the library's defaults."""

    def apply(self, x):
        return (2 * x + x.roll(1, -1) - 0.5 * x.roll((1, -2), (-2, -1))).conj().resolve_conj()


def phases(n, dtype):
    space = images(n, dtype)
    return Multiplier(space, torch.polar(torch.ones(space.shape), torch.arange(float(space.size)).view(space.shape)))


OPERATORS = {
    "fourier-volume": lambda n, dtype: FourierTransform(volumes(n, dtype)),
    "fourier-images": lambda n, dtype: FourierTransform(ImageSpace(n, 3.0, dtype, count=COUNT)),
    "fourier-inverse": lambda n, dtype: FourierTransform(volumes(n, dtype)).inverse,
    "pyfftw": lambda n, dtype: PyFFTWFourierTransform(odl.rn((n, n), dtype=dtype)),
    "pyfftw-cells": lambda n, dtype: PyFFTWFourierTransform(odl.uniform_discr([0, 0], [2, 1], (n + 1, n), dtype=dtype)),
    "slice-pad1": lambda n, dtype: slices(n, dtype, padding=1),
    "slice-pad2": lambda n, dtype: slices(n, dtype),
    "slice-pad1-radial": lambda n, dtype: slices(n, dtype, padding=1, gridding="radial"),
    "slice-pad2-radial": lambda n, dtype: slices(n, dtype, gridding="radial"),
    "slice-small-disc": lambda n, dtype: slices(n, dtype, r_max=1),
    "slice-nufft": lambda n, dtype: slices(n, dtype, interpolation="nufft", tolerance=1e-6),
    "slice-normal": lambda n, dtype: slices(n, dtype).normal,
    "projection": lambda n, dtype: Projection(slices(n, dtype)),
    "projection-nufft": lambda n, dtype: Projection(slices(n, dtype, interpolation="nufft", tolerance=1e-6)),
    "ctf": lambda n, dtype: CTF(images(n, dtype), ctfs(n)),
    "ctf-shared": lambda n, dtype: CTF(images(n, dtype), ctfs(n, 1)[0]),
    "shift": lambda n, dtype: Shift(images(n, dtype), shifts()),
    "soft-mask": lambda n, dtype: SoftMask(volumes(n, dtype), soft_sphere(n, n / 4, 2)),
    "multiplier": phases,
    "default-adjoint-real": lambda n, dtype: Blur(volumes(n, dtype), volumes(n, dtype)),
    "default-adjoint-spectra": lambda n, dtype: Blur(images(n, dtype), images(n, dtype)),
    "model-pad1": lambda n, dtype: model(n, dtype, padding=1),
    "model-pad2": lambda n, dtype: model(n, dtype),
    "model-pad2-radial": lambda n, dtype: model(n, dtype, gridding="radial"),
    "model-nufft": lambda n, dtype: model(n, dtype, interpolation="nufft", tolerance=1e-6),
    "model-normal": lambda n, dtype: model(n, dtype).normal,
    "model-batch": lambda n, dtype: model(n, dtype).at([2, 0]),
    "odl-composition": lambda n, dtype: model(n, dtype).composed,
    "odl-sum": lambda n, dtype: 2.0 * slices(n, dtype) - model(n, dtype),
}

# Those with the library's own adjoint; the others are ODL operators.
TORCH_OPERATORS = [name for name in OPERATORS if not name.startswith(("pyfftw", "odl"))]
