"""The forward model of cryo-EM: shift, CTF and slice as one operator."""

from __future__ import annotations

from numpy.typing import ArrayLike
from torch import Tensor

from cryoinv.errors import InputError
from cryoinv.spaces.backend import odl

from .base import TorchOperator
from .ctf import CTF
from .shift import Shift, shift_at_pixels
from .slice import Batch, FourierSlice

__all__ = ["ForwardModel"]


class ForwardModel(TorchOperator):
    r"""Noise-free particle images, :math:`H v = T_t C S_R v`; adjoint, :math:`H^* y = S_R^* C T_t^* y`.

    One operator to ODL, one function to torch: `apply`, `apply_adjoint` and `apply_normal` work on the
    independent pixels of the disc only. In :math:`H^* H = S^* C^2 S` the shifts cancel. CTFs must be even,
    c(-k) = c(k), as those of `ctf_values` are.

    Parameters
    ----------
    slice : FourierSlice
        From volume to image transforms.
    ctf : CTF, optional
        On the range of `slice`.
    shift : Shift, optional
        On the range of `slice`.

    Raises
    ------
    InputError
        If the spaces do not fit.

    Examples
    --------
    >>> import torch
    >>> from cryoinv.spaces import VolumeSpace
    >>> slices = FourierSlice(VolumeSpace(8), torch.eye(3)[None].repeat(2, 1, 1))
    >>> model = ForwardModel(slices, shift=Shift(slices.range, [[0.5, 0.0], [1.0, -1.0]]))
    >>> model.at([1]).range.count
    1
    """

    def __init__(self, slice: FourierSlice, ctf: CTF | None = None, shift: Shift | None = None):
        super().__init__(slice.domain, slice.range)
        for name, part in (("ctf", ctf), ("shift", shift)):
            if part is not None and part.domain != slice.range:
                raise InputError(f"{name} acts on {part.domain}, the range of the slices is {slice.range}")
        self.slice, self.ctf, self.shift = slice, ctf, shift
        index, dtype = slice.disc.index, self.range.real_dtype
        self._weights = slice.disc.weights.to(dtype)
        self._ctf = None if ctf is None else _flat(ctf.values)[:, index]
        self._phase = None
        if shift is not None:
            phase = shift_at_pixels(slice.disc.pixels, self.domain.n, shift.shifts.to(self.domain.device))
            self._phase = phase.to(self.range.dtype)

    @property
    def composed(self) -> odl.Operator:
        """The same operator composed by ODL from its parts: the twin that the fused one is tested against."""
        operator = self.slice
        for part in (self.ctf, self.shift):
            operator = operator if part is None else part @ operator
        return operator

    def with_poses(
        self, rotations: ArrayLike | Tensor, shifts_pixels: ArrayLike | Tensor | None = None
    ) -> ForwardModel:
        """Return the model of the same particles, with the same CTFs, at other poses.

        Parameters
        ----------
        rotations : array or Tensor, shape (m, 3, 3)
            New rotations.
        shifts_pixels : array or Tensor, shape (m, 2), optional
            New shifts in pixels; none if not given.

        Returns
        -------
        ForwardModel
        """
        slices = self.slice.with_rotations(rotations)
        if self.ctf is not None and slices.range != self.ctf.domain:
            raise InputError(f"{len(slices.rotations)} poses were given for {self.range.count} particles")
        shift = None if shifts_pixels is None else Shift(slices.range, shifts_pixels)
        return ForwardModel(slices, self.ctf, shift)

    def at(self, batch: Batch) -> ForwardModel:
        """Return the model of some of the particles.

        Parameters
        ----------
        batch : slice or array of int
            Which particles.

        Returns
        -------
        ForwardModel
        """
        slices = self.slice.at(batch)
        ctf = None if self.ctf is None else CTF(slices.range, _rows(self.ctf.values, batch, 3))
        shift = None if self.shift is None else Shift(slices.range, _rows(self.shift.shifts, batch, 2))
        return ForwardModel(slices, ctf, shift)

    def apply(self, x: Tensor) -> Tensor:
        """Image transforms (m, n, n//2 + 1) of a volume (n, n, n)."""
        values = self.slice.at_pixels(x)
        for factor in (self._ctf, self._phase):
            values = values if factor is None else values * factor
        return self.slice.disc.place(values)

    def apply_adjoint(self, y: Tensor) -> Tensor:
        """Volume (n, n, n) of image transforms (m, n, n//2 + 1)."""
        values = self.slice.disc.collect(y)
        if self._phase is not None:
            values = values * self._phase.conj()
        if self._ctf is not None:
            values = values * self._ctf
        return self.slice.at_pixels_adjoint(values)

    def apply_normal(self, x: Tensor) -> Tensor:
        """Apply ``H^* H`` without the layout of the range."""
        values = self.slice.at_pixels(x) * self._weights
        if self._ctf is not None:
            values = values * self._ctf**2
        return self.slice.at_pixels_adjoint(values)


def _flat(values: Tensor) -> Tensor:
    return values.reshape(-1, *values.shape[-2:]).flatten(1)


def _rows(values: Tensor, batch: Batch, ndim: int) -> Tensor:
    """Rows of a batch; what serves all images is kept whole."""
    if values.ndim < ndim or len(values) == 1:
        return values
    return values[batch.to(values.device) if isinstance(batch, Tensor) else batch]  # shifts live on the CPU
