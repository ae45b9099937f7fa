"""Projections of a volume as real images."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from cryoinv.spaces.spectrum import centred_rfft

from .base import TorchOperator
from .slice import FourierSlice

__all__ = ["Projection"]

_PART_BYTES = 1 << 21  # of the images worked on at a time: what passes from one step to the next stays in the cache


class Projection(TorchOperator):
    r"""Real projections at m rotations, :math:`P = F_2^* S`: :math:`(P v)_i(x, y) = \sum_z v(R_i^T (x, y, z))`.

    :math:`S` are the slices and :math:`F_2` is the orthonormal transform of images, so that the projections are cut
    off at the slices' r_max. Equal to the composition by ODL, without spectra of all images at a time.

    Parameters
    ----------
    slice : FourierSlice
        From volume to image transforms.

    Examples
    --------
    >>> import torch
    >>> from cryoinv.spaces import VolumeSpace
    >>> projection = Projection(FourierSlice(VolumeSpace(8), torch.eye(3)[None]))
    >>> projection.range
    ImageSpace(8, pixel_size=1, dtype='float32', count=1)
    >>> round(float(projection(projection.domain.one()).data[0, 4, 4]))
    8
    """

    def __init__(self, slice: FourierSlice):
        super().__init__(slice.domain, slice.range.array_space)
        self.slice = slice

    def apply(self, x: Tensor) -> Tensor:
        """Images (m, n, n) of a volume (n, n, n)."""
        scheme, disc = self.slice.scheme, self.slice.disc
        prepared, images = scheme.prepare(x), x.new_empty(self.range.shape)
        for part in self._parts():
            values = scheme.slices(prepared, self.slice.rotations[part], disc.pixels)
            spectra = disc.place(values, disc.centring)  # instead of rolling the images into place
            images[part] = torch.fft.irfftn(spectra, s=(disc.n, disc.n), dim=(-2, -1), norm="ortho")
        return images

    def apply_adjoint(self, y: Tensor) -> Tensor:
        """Volume (n, n, n) of images (m, n, n)."""
        scheme, disc = self.slice.scheme, self.slice.disc
        if y.requires_grad:  # running sums have no gradient
            return self.slice.apply_adjoint(centred_rfft(y, ndim=2))
        sums = scheme.slice_sums(y.device)
        for part in self._parts():
            spectra = torch.fft.rfftn(y[part], dim=(-2, -1), norm="ortho")
            sums.add(self.slice.rotations[part], disc.pixels, disc.collect(spectra, disc.centring))
        total = sums.data()
        return y.new_zeros(self.domain.shape) if total is None else scheme.prepare_adjoint(total)

    def _parts(self) -> Iterator[slice]:
        count, n = len(self.slice.rotations), self.slice.disc.n
        size = max(1, _PART_BYTES // (n * n * self.range.dtype.itemsize))
        return (slice(start, start + size) for start in range(0, count, size))
