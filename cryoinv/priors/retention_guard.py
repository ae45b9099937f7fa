"""Guard against denoisers whose own output comes back as data."""

from __future__ import annotations

import torch

from cryoinv.errors import InputError

__all__ = ["trust_left"]


def trust_left(retention: torch.Tensor, full: float = 1.0, none: float = 1.05) -> torch.Tensor:
    r"""Part of the confidence in a denoiser that the retention c leaves, from full to none as c rises.

    .. math:: \mathrm{clip}\Bigl(\frac{c_0 - c}{c_0 - c_1}, 0, 1\Bigr)

    Where images say too little, each is put where it best fits the reference, and the average of all is the reference
    again: c, the part of it that comes back in the newest B/K, is near 1. What a denoiser wrote into the reference
    then returns from "the data", in both halves, is denoised again, and grows. Where images decide, c is small.

    Parameters
    ----------
    retention : torch.Tensor, shape (n//2+1,)
        c of every shell.
    full, none : float
        :math:`c_1`, up to which there is full trust, and :math:`c_0`, from which on there is none.

    Returns
    -------
    torch.Tensor, shape (n//2+1,)
        From 0 to 1.

    Raises
    ------
    InputError
        If `full` is not below `none`, or a value is not finite.

    Examples
    --------
    >>> trust_left(torch.tensor([0.1, 1.0, 1.025, 1.1])).round(decimals=2)
    tensor([1.0000, 1.0000, 0.5000, 0.0000])
    """
    if not full < none:
        raise InputError(f"full trust up to {full} and none from {none}, expected the first to be the smaller")
    if not bool(torch.isfinite(retention).all()):
        raise InputError("a retention that is not finite")
    return ((none - retention) / (none - full)).clamp(0, 1)
