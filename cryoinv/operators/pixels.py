"""The independent pixels of an image transform inside a disc, ordered by frequency."""

from __future__ import annotations

from functools import cached_property

import torch

from cryoinv.errors import InputError
from cryoinv.spaces.spectrum import frequencies

from .trilinear import has_compiled_kernel

__all__ = ["FourierDisc"]


class FourierDisc:
    r"""Independent coefficients of a real image's transform with :math:`|k| \le r_{max}`, low ones first.

    Of the column :math:`k_x = 0` only one of every pair of Hermitian mates is kept, so every independent
    coefficient stands once, with weight 2 (1 at k = 0), and sums over the list equal the weighted sums over
    the half-spectrum. A smaller disc is a prefix of the list.

    Parameters
    ----------
    n : int
        Box size.
    r_max : float, optional
        Largest frequency in shells, that is, in units of 1 / (n * pixel_size); by default (n - 1) / 2, which fills
        shell (n - 1) // 2 and stays below the Nyquist frequency of an even box.
    device : torch.device or str
        Where the lists live.

    Attributes
    ----------
    pixels : torch.Tensor, shape (P, 2), int64
        Frequencies (kx, ky) in the same units.
    index : torch.Tensor, shape (P,), int64
        Position in the flattened (n, n//2+1) layout.
    weights : torch.Tensor, shape (P,), float64
        Weight in the inner product.
    shells : torch.Tensor, shape (P,), int64
        Shell of every pixel.

    Raises
    ------
    InputError
        If `r_max` is negative, or beyond (n - 1) / 2: the Nyquist frequency of an even box is its own mate.

    Examples
    --------
    >>> disc = FourierDisc(6, r_max=1)
    >>> disc.pixels.tolist(), disc.weights.tolist()
    ([[0, 0], [1, 0], [0, 1]], [1.0, 2.0, 2.0])
    """

    def __init__(self, n: int, r_max: float | None = None, device: torch.device | str = "cpu"):
        self.n = n
        self.r_max = (n - 1) / 2 if r_max is None else r_max
        if not 0 <= self.r_max <= (n - 1) / 2:
            raise InputError(f"r_max is {self.r_max}, expected 0 to {(n - 1) / 2} for box {n}")
        full, half = frequencies(n)
        ky, kx = torch.meshgrid(full, half, indexing="ij")
        squares = (kx**2 + ky**2).reshape(-1)
        wanted = (squares <= self.r_max**2) & ~((kx == 0) & (ky < 0)).reshape(-1)
        index = wanted.nonzero()[:, 0]
        index = index[torch.argsort(squares[index], stable=True)]
        self._squares = squares[index]
        self.index = index.to(device)
        self.pixels = torch.stack([kx.reshape(-1)[index], ky.reshape(-1)[index]], 1).to(device)
        self.weights = torch.where(self._squares == 0, 1.0, 2.0).double().to(device)
        self.shells = (self._squares.double().sqrt() + 0.5).long().to(device)
        self._paired = ((self.pixels[:, 0] == 0) & (self.pixels[:, 1] > 0)).nonzero()[:, 0]
        self._mates = (n - self.pixels[self._paired, 1]) * (n // 2 + 1)

    def __len__(self) -> int:
        return len(self.index)

    def place(
        self, values: torch.Tensor, factors: torch.Tensor | None = None, compiled: bool | None = None
    ) -> torch.Tensor:
        """Half-spectra (m, n, n//2+1) of values (m, P) times factors (P,): mates filled in, zero outside the disc."""
        shape = (len(values), self.n, self.n // 2 + 1)
        if _use_compiled(values, compiled):
            from . import pixels_numba

            return pixels_numba.place(values, factors, self._tables, shape[1] * shape[2]).reshape(shape)
        if factors is not None:
            values = values * factors.to(values.dtype)
        flat = values.new_zeros(len(values), self.n * (self.n // 2 + 1))
        flat.index_copy_(1, self.index, values).index_copy_(1, self._mates, values[:, self._paired].conj())
        return flat.reshape(shape)

    def collect(
        self, spectra: torch.Tensor, factors: torch.Tensor | None = None, compiled: bool | None = None
    ) -> torch.Tensor:
        r"""Weighted values (m, P) of half-spectra (m, n, n//2+1): the adjoint of `place` with the same factors.

        With P for `place`, c for the result: :math:`\langle P v, y \rangle = \mathrm{Re} \sum_p v_p \bar c_p`.
        """
        flat = spectra.flatten(1)
        weights = self.weights if factors is None else self.weights * factors.conj()
        if _use_compiled(spectra, compiled):
            from . import pixels_numba

            return pixels_numba.collect(flat, weights, self._tables)
        values = flat.index_select(1, self.index)
        mean = (values[:, self._paired] + flat[:, self._mates].conj()) / 2
        kind = values.dtype if weights.is_complex() else values.real.dtype
        return values.index_copy_(1, self._paired, mean).mul_(weights.to(kind))

    @cached_property
    def centring(self) -> torch.Tensor:
        r"""Factors (P,) :math:`e^{-2\pi i (k_x + k_y) c / n}`, c = n//2, that move pixel 0 to the image's middle."""
        turns = (self.pixels.sum(1) * (self.n // 2) % self.n).double() / self.n
        return torch.polar(torch.ones_like(turns), -2 * torch.pi * turns)

    @property
    def _tables(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.index, self._paired, self._mates

    def within(self, radius: float) -> int:
        """Count the pixels with frequency at most `radius`: the length of that prefix."""
        return int((self._squares <= radius**2).sum())


def _use_compiled(values: torch.Tensor, wanted: bool | None) -> bool:
    """The compiled copies have no gradient; where one is asked for, or on a GPU, torch does the work."""
    traced = values.requires_grad and torch.is_grad_enabled()
    possible = values.device.type == "cpu" and values.is_complex() and not traced and has_compiled_kernel()
    return possible if wanted is None else wanted
