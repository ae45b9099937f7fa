"""Sub-pixel shifts of image transforms."""

from __future__ import annotations

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from cryoinv.errors import InputError
from cryoinv.spaces import HermitianSpace, frequencies

from .multiplier import Multiplier

__all__ = ["Shift", "shift_at_pixels", "shift_values"]


def shift_at_pixels(pixels: Tensor, n: int, shifts_pixels: Tensor) -> Tensor:
    r"""Phases of shifts at chosen frequencies below Nyquist: :math:`e^{-2\pi i (k_x t_x + k_y t_y)/n}`.

    Parameters
    ----------
    pixels : Tensor, shape (P, 2)
        Frequencies ``(kx, ky)``.
    n : int
        Box size.
    shifts_pixels : Tensor, shape (m, 2)
        Shifts ``(tx, ty)`` in pixels.

    Returns
    -------
    Tensor, shape (m, P), complex128

    Examples
    --------
    >>> shift_at_pixels(torch.tensor([[1, 0]]), 4, torch.tensor([[2.0, 0.0]])).real
    tensor([[-1.]], dtype=torch.float64)
    """
    shifts = torch.as_tensor(shifts_pixels, device=pixels.device).double()
    turns = shifts @ pixels.double().T / n
    return torch.polar(torch.ones_like(turns), -2 * torch.pi * turns)


def shift_values(n: int, shifts_pixels: Tensor, device: torch.device | str = "cpu") -> Tensor:
    r"""Multipliers of shifts on the half-spectrum: :math:`p_x p_y` with :math:`p_j = e^{-2\pi i k_j t_j/n}`.

    At the Nyquist frequency of an even box, where k and -k are the same coefficient, the factor is their
    mean, :math:`p_j = \cos(\pi t_j)`: a real image stays real, and the shift is exact trigonometric
    interpolation.

    Parameters
    ----------
    n : int
        Box size.
    shifts_pixels : Tensor, shape (m, 2)
        Shifts ``(tx, ty)`` in pixels.
    device : torch.device or str
        Where the result lives.

    Returns
    -------
    Tensor, shape (m, n, n//2 + 1), complex128

    Examples
    --------
    >>> shift_values(4, torch.tensor([[1.0, 0.0]]))[0, 0].real.round()
    tensor([ 1.,  0., -1.], dtype=torch.float64)
    """
    shifts = torch.as_tensor(shifts_pixels, device=device).double()
    full, half = frequencies(n, device)
    x, y = (_factor(k, t, n) for k, t in zip((half, full), shifts.unbind(-1), strict=True))
    return y[:, :, None] * x[:, None, :]


def _factor(k: Tensor, t: Tensor, n: int) -> Tensor:
    turns = t[:, None] * k / n
    phase = torch.polar(torch.ones_like(turns), -2 * torch.pi * turns)
    return torch.where(2 * k.abs() == n, phase.real.to(phase.dtype), phase)


class Shift(Multiplier):
    r"""Shift of images by t, sub-pixel: :math:`(A x)_k = e^{-2\pi i (k_x t_x + k_y t_y)/n}\, x_k`.

    Moves what is at pixel ``n//2`` to ``n//2 + t``. Adjoint: the conjugate phase, which is the shift by -t.
    At the Nyquist frequency of an even box the multiplier is that of `shift_values`, so that real images stay
    real; the adjoint is exact there too, but the shift is not unitary (no real sub-pixel shift is).

    Parameters
    ----------
    space : HermitianSpace
        Image transform, or a stack of m.
    shifts_pixels : array or Tensor, shape (m, 2) or (2,)
        Shifts ``(tx, ty)`` in pixels; a single one serves all images.

    Raises
    ------
    InputError
        If the shape does not fit the space or values are not finite.

    Examples
    --------
    >>> from cryoinv.spaces import ImageSpace
    >>> from cryoinv.operators import FourierTransform
    >>> transform = FourierTransform(ImageSpace(5, dtype="float64"))
    >>> image = transform.domain.zero()
    >>> image.data[2, 2] = 1.0
    >>> moved = transform.adjoint(Shift(transform.range, [1.0, -2.0])(transform(image)))
    >>> divmod(int(moved.data.argmax()), 5)  # (y, x)
    (0, 3)
    """

    def __init__(self, space: HermitianSpace, shifts_pixels: ArrayLike | Tensor):
        shifts = torch.as_tensor(shifts_pixels, dtype=torch.float64)
        allowed = ((2,), (1, 2), (1 if space.count is None else space.count, 2))
        if tuple(shifts.shape) not in allowed:
            raise InputError(f"shifts have shape {tuple(shifts.shape)}, expected {allowed[-1]} for {space}")
        if not torch.isfinite(shifts).all():
            raise InputError("shifts hold NaN or infinite values")
        self.shifts = shifts.reshape(-1, 2)
        values = shift_values(space.n, self.shifts, space.device)
        super().__init__(space, values if space.count is not None else values[0])
