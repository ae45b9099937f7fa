"""Central slices of a volume: the projections of cryo-EM, in Fourier space."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from cryoinv.errors import DeviceError, InputError
from cryoinv.spaces import HermitianSpace, VolumeSpace

from .base import TorchOperator
from .interpolation import Interpolation, interpolation_scheme
from .pixels import FourierDisc

__all__ = ["FourierSlice"]

Batch = slice | list[int] | np.ndarray | Tensor


class FourierSlice(TorchOperator):
    r"""Central slices at m rotations: :math:`(S v)_i(k) = \sqrt{n}\, \hat v(R_i^T (k_x, k_y, 0))`.

    :math:`\hat v` is the orthonormal transform of the volume at any frequency, so the result is the
    orthonormal transform of the projections :math:`\sum_z v(R_i^T (x, y, z))`, cut off at
    :math:`|k| = r_{max}`. With ``interpolation="trilinear"``,

    .. math:: S v = c\, G F_N P (v / g), \qquad S^* y = (P^T F_N^* G^* c\, y) / g,

    where g is the gridding window, P pads by zeros from n to N = padding * n, :math:`F_N` is the transform,
    G reads the half-spectrum by trilinear interpolation and :math:`c = N^{3/2}/n`. With
    ``interpolation="nufft"`` the sum over voxels is evaluated, to `tolerance`, by a non-uniform transform of
    type 2; the adjoint is of type 1.

    Parameters
    ----------
    space : VolumeSpace
        Domain.
    rotations : array or Tensor, shape (m, 3, 3)
        Active rotations, object to image coordinates, on column vectors (x, y, z).
    interpolation : {"trilinear", "nufft"}
        How slices are read; "nufft" runs on the CPU only.
    padding : int
        Factor of zero padding (trilinear).
    gridding : {"separable", "radial"}
        Gridding window (trilinear): the separable one is right, the radial one is RELION's.
    r_max : float, optional
        Largest frequency in shells, that is, in units of 1 / (n * pixel_size); at most ``(n - 1)/2``, the default.
    tolerance : float
        Relative error of the non-uniform transform (nufft).

    Raises
    ------
    InputError
        If an argument is out of range.
    DeviceError
        If "nufft" is asked for on a GPU.

    References
    ----------
    P. A. Penczek, Methods in Enzymology 482 (2010) 1-33.
    A. H. Barnett, J. Magland, L. af Klinteberg, SIAM Journal on Scientific Computing 41 (2019) C479-C504.

    Examples
    --------
    >>> from cryoinv.spaces import VolumeSpace
    >>> space = VolumeSpace(8, dtype="float64")
    >>> slices = FourierSlice(space, torch.eye(3)[None])
    >>> slices.range
    HermitianSpace(8, ndim=2, pixel_size=1, dtype='complex128', count=1)
    """

    def __init__(
        self,
        space: VolumeSpace,
        rotations: ArrayLike | Tensor,
        interpolation: str = "trilinear",
        padding: int = 2,
        gridding: str = "separable",
        r_max: float | None = None,
        tolerance: float = 1e-7,
    ):
        if interpolation == "nufft" and space.device != "cpu":
            raise DeviceError(f"interpolation 'nufft' runs on the CPU, the volume is on {space.device!r}")
        scheme = interpolation_scheme(space.n, interpolation, padding, gridding, tolerance)
        self._set_up(space, rotations, scheme, FourierDisc(space.n, r_max, space.device))

    def _set_up(
        self, space: VolumeSpace, rotations: ArrayLike | Tensor, scheme: Interpolation, disc: FourierDisc
    ) -> None:
        self.rotations = _checked_rotations(rotations, space.device)
        self.scheme, self.disc = scheme, disc
        spectra = space.spectrum_space
        count = len(self.rotations)
        images = HermitianSpace(space.n, 2, spectra.pixel_size, spectra.dtype, space.device, count)
        super().__init__(space, images)

    def with_rotations(self, rotations: ArrayLike | Tensor) -> FourierSlice:
        """Return the same operator at other rotations; shares everything else."""
        new = object.__new__(type(self))
        new._set_up(self.domain, rotations, self.scheme, self.disc)
        return new

    def at(self, batch: Batch) -> FourierSlice:
        """Return the operator of some of the images (a slice or array of indices)."""
        return self.with_rotations(self.rotations[batch])

    def at_pixels(self, x: Tensor) -> Tensor:
        """Slices (m, P) of a volume at the pixels of `disc`, without the layout of the range."""
        return self.scheme.slices(self.scheme.prepare(x), self.rotations, self.disc.pixels)

    def at_pixels_adjoint(self, values: Tensor) -> Tensor:
        """Volume of values (m, P) that carry their weights: the Euclidean transpose of `at_pixels`."""
        return self.scheme.prepare_adjoint(self.scheme.insert(values, self.rotations, self.disc.pixels))

    def apply(self, x: Tensor) -> Tensor:
        """Half-spectra (m, n, n//2 + 1) of a volume (n, n, n)."""
        return self.disc.place(self.at_pixels(x))

    def apply_adjoint(self, y: Tensor) -> Tensor:
        """Volume (n, n, n) of half-spectra (m, n, n//2 + 1)."""
        return self.at_pixels_adjoint(self.disc.collect(y))

    def apply_normal(self, x: Tensor) -> Tensor:
        """``S^* S x`` without the layout of the range."""
        values = self.at_pixels(x)
        return self.at_pixels_adjoint(values * self.disc.weights.to(values.real.dtype))


def _checked_rotations(rotations: ArrayLike | Tensor, device: str) -> Tensor:
    rotations = torch.as_tensor(np.asarray(rotations) if isinstance(rotations, (list, tuple)) else rotations)
    rotations = rotations.to(device, torch.float64)
    if rotations.ndim != 3 or tuple(rotations.shape[1:]) != (3, 3):
        raise InputError(f"rotations have shape {tuple(rotations.shape)}, expected (m, 3, 3)")
    eye = torch.eye(3, dtype=torch.float64, device=rotations.device)
    if len(rotations) and not float((rotations @ rotations.mT - eye).abs().max()) < 1e-4:
        raise InputError("rotations are not orthogonal matrices")
    return rotations
