"""Orthonormal Fourier transforms of real volumes and images, on torch and on NumPy."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Unpack

import numpy as np
from torch import Tensor

from cryoinv.errors import InputError
from cryoinv.spaces import ImageSpace, NumpyHermitianSpace, VolumeSpace, centred_irfft, centred_rfft
from cryoinv.spaces.backend import odl

from .base import NormOptions, TorchOperator

if TYPE_CHECKING:
    from odl.backends.arrays.npy_tensors import NumpyTensor
    from odl.core.space.base_tensors import TensorSpace

__all__ = ["FourierTransform", "PyFFTWFourierTransform"]


class FourierTransform(TorchOperator):
    r"""Centred orthonormal transform: :math:`(F x)_k = n^{-d/2} \sum_r x_r\, e^{-2\pi i k \cdot r / n}`.

    Positions r count from voxel n//2. Adjoint, over the half-spectrum:
    :math:`(F^* X)_r = n^{-d/2}\, \mathrm{Re} \sum_k w_k X_k\, e^{2\pi i k \cdot r / n}`.
    F is an isometry, :math:`F^* F = 1`, and :math:`F F^*` projects onto Hermitian-consistent spectra; so
    `inverse` is the adjoint.

    Parameters
    ----------
    space : VolumeSpace or ImageSpace
        Domain, of single arrays or of stacks; the range is its `spectrum_space`.

    Examples
    --------
    >>> import torch
    >>> from cryoinv.spaces import ImageSpace
    >>> space = ImageSpace(5, dtype="float64")
    >>> transform = FourierTransform(space)
    >>> x = space.element(torch.randn(5, 5))
    >>> abs(transform(x).norm() / x.norm() - 1) < 1e-12
    True
    """

    def __init__(self, space: VolumeSpace | ImageSpace):
        super().__init__(space, space.spectrum_space)

    def apply(self, x: Tensor) -> Tensor:
        """Half-spectrum of a real array (or stack)."""
        return centred_rfft(x, self.domain.box_ndim)

    def apply_adjoint(self, y: Tensor) -> Tensor:
        """Real array of a half-spectrum."""
        return centred_irfft(y, self.domain.n, self.domain.box_ndim)

    def apply_normal(self, x: Tensor) -> Tensor:
        """Return the array: the transform is an isometry."""
        return x.clone()

    @property
    def inverse(self) -> TorchOperator:
        """Left inverse, the adjoint."""
        return self.adjoint

    def norm(self, estimate: bool = False, **options: Unpack[NormOptions]) -> float:
        """Operator norm, 1."""
        return 1.0


class PyFFTWFourierTransform(odl.Operator):
    r"""The transform of `FourierTransform` for ODL's NumPy spaces, computed by FFTW on all their axes.

    Adjoint: the inverse transform, divided by the space's weight where it has a constant one (a cell volume).

    Parameters
    ----------
    space : odl TensorSpace or DiscretizedSpace
        Real NumPy space of any shape, ``"float32"`` or ``"float64"``, unweighted or with a constant weight.
    threads : int
        Threads of FFTW.

    Raises
    ------
    InputError
        If the space is not a real NumPy space with a constant weight.

    Examples
    --------
    >>> from cryoinv.spaces.backend import odl
    >>> space = odl.rn((4, 5))
    >>> transform = PyFFTWFourierTransform(space)
    >>> x = space.element(np.arange(20.0).reshape(4, 5))
    >>> bool(np.allclose(transform.adjoint(transform(x)).data, x.data))
    True
    """

    def __init__(self, space: TensorSpace, threads: int = 1):
        if getattr(space, "impl", None) != "numpy" or not space.is_real:
            raise InputError(f"space is {space}, expected a real NumPy space")
        weight = getattr(space.weighting, "const", None)
        if weight is None:
            raise InputError(f"space has {space.weighting}, expected a constant weight")
        self.weight = float(weight)
        dtype = "complex64" if space.dtype_identifier == "float32" else "complex128"
        super().__init__(space, NumpyHermitianSpace(space.shape, dtype), linear=True)
        self.threads = threads
        self._axes = tuple(range(space.ndim))

    def _call(self, x: NumpyTensor) -> np.ndarray:
        from pyfftw.interfaces import numpy_fft

        shifted = np.fft.ifftshift(x.data)
        return numpy_fft.rfftn(shifted, norm="ortho", threads=self.threads)

    @functools.cached_property
    def adjoint(self) -> odl.Operator:
        """Adjoint operator."""
        return _PyFFTWAdjoint(self)

    def norm(self, estimate: bool = False, **options: Unpack[NormOptions]) -> float:
        """Operator norm: one over the square root of the domain's weight."""
        return self.weight**-0.5


class _PyFFTWAdjoint(odl.Operator):
    def __init__(self, operator: PyFFTWFourierTransform):
        super().__init__(operator.range, operator.domain, linear=True)
        self.operator = operator

    def _call(self, y: NumpyTensor) -> np.ndarray:
        from pyfftw.interfaces import numpy_fft

        shape = self.range.shape
        spectrum = _consistent(y.data, shape[-1])
        array = numpy_fft.irfftn(spectrum, s=shape, norm="ortho", threads=self.operator.threads)
        return np.fft.fftshift(array) / self.operator.weight

    @property
    def adjoint(self) -> PyFFTWFourierTransform:
        return self.operator

    def norm(self, estimate: bool = False, **options: Unpack[NormOptions]) -> float:
        return self.operator.norm()


def _consistent(spectrum: np.ndarray, n: int) -> np.ndarray:
    """Project onto Hermitian-consistent spectra, a copy: FFTW leaves the transform of others undefined."""
    result = spectrum.copy()
    for column in (0,) if n % 2 else (0, n // 2):
        plane = spectrum[..., column]
        axes = tuple(range(plane.ndim))
        mates = np.roll(np.flip(plane, axes), (1,) * plane.ndim, axes) if axes else plane
        result[..., column] = (plane + mates.conj()) / 2
    return result
