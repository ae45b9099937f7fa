"""The independent Fourier pixels of an image inside a disc."""

import torch
from torch import Tensor

from cryoinv.errors import InputError
from cryoinv.spaces.spectrum import frequencies

__all__ = ["disc_pixels"]


def disc_pixels(
    n: int, r_max: int | None = None, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor, Tensor]:
    """Independent Fourier pixels with ``|k| <= r_max``, so that ``|Y|^2 = sum_p w_p |Y_p|^2`` over the disc.

    Of the column ``kx = 0``, where both ``k`` and ``-k`` are stored, only ``ky >= 0`` is kept.

    Parameters
    ----------
    n : int
        Box size of the image.
    r_max : int, optional
        Radius, at most ``(n - 1) // 2``, the default: the Nyquist frequency of an even box is its own mate.
    device : torch.device or str
        Where the result lives.

    Returns
    -------
    pixels : Tensor, shape (P, 2), int64
        Frequencies ``(kx, ky)``, in the order of the layout (ky slowest).
    index : Tensor, shape (P,), int64
        Position of each pixel in the flattened half-spectrum ``(n, n//2 + 1)``.
    weights : Tensor, shape (P,), float64
        1 for the DC pixel, 2 for every other.

    Raises
    ------
    InputError
        If `r_max` is negative or beyond ``(n - 1) // 2``.

    Examples
    --------
    >>> pixels, index, weights = disc_pixels(4)
    >>> pixels.tolist(), index.tolist(), weights.tolist()
    ([[0, 0], [1, 0], [0, 1]], [0, 1, 3], [1.0, 2.0, 2.0])
    """
    largest = (n - 1) // 2
    r_max = largest if r_max is None else r_max
    if not 0 <= r_max <= largest:
        raise InputError(f"r_max is {r_max}, expected 0 to {largest} for box size {n}")
    full, half = frequencies(n, device)
    ky, kx = torch.meshgrid(full, half, indexing="ij")
    kept = (kx * kx + ky * ky <= r_max * r_max) & ((kx > 0) | (ky >= 0))
    pixels = torch.stack([kx[kept], ky[kept]], dim=-1)
    weights = torch.full((len(pixels),), 2.0, dtype=torch.float64, device=device)
    weights[0] = 1
    return pixels, kept.flatten().nonzero().flatten(), weights
