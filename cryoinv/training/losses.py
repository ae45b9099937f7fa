"""What training makes small."""

from __future__ import annotations

import torch

from cryoinv.spaces.spectrum import centred_rfft, radial_mean

__all__ = ["denoising_loss", "relative_errors"]

_SMOOTH = 1e-3  # a root has no slope at zero without
_PRESENT = 1e-6  # of the largest shell's power: below it a shell holds nothing


def relative_errors(found: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Relative errors :math:`\|f - t\|_1 / \|t\|_1` and :math:`\|f - t\|_2 / \|t\|_2` of each map, shapes (m,).

    Parameters
    ----------
    found, target : torch.Tensor, shape (m, n, n, n)
        f and t.

    Examples
    --------
    >>> one, two = relative_errors(torch.full((1, 2, 2, 2), 1.5), torch.ones(1, 2, 2, 2))
    >>> float(one), round(float(two), 6)
    (0.5, 0.5)
    """
    error, target = (found - target).flatten(1), target.flatten(1)
    tiny = torch.finfo(target.dtype).tiny
    return (
        error.abs().mean(1) / target.abs().mean(1).clamp(min=tiny),
        error.norm(dim=1) / target.norm(dim=1).clamp(min=tiny),
    )


def denoising_loss(
    found: torch.Tensor, target: torch.Tensor, transfer: torch.Tensor, shells: float = 0.2
) -> torch.Tensor:
    r"""Mean over maps of half the relative L1 and half the relative L2 error, and a share of the error of every shell.

    .. math:: \tfrac12\frac{\|f-t\|_1}{\|t\|_1} + \tfrac12\frac{\|f-t\|_2}{\|t\|_2}
              + \gamma\,\mathrm{mean}_{s:\,W_s>0} \sqrt{\frac{\sum_{k \in s}|F_k-T_k|^2}{\sum_{k \in s}|T_k|^2}} .

    The first two see hardly more than the lowest shells, which hold nearly all the power; the last sees all alike. It
    has the root because the error of a Wiener filter is :math:`(1-W)/W` of the target's power: without it shells that
    are nearly noise would outweigh all others.

    Parameters
    ----------
    found, target : torch.Tensor, shape (m, n, n, n)
        f and t.
    transfer : torch.Tensor, shape (m, n//2+1)
        W.
    shells : float
        γ.

    Returns
    -------
    torch.Tensor, shape ()
    """
    one, two = relative_errors(found, target)
    n = found.shape[-1]
    power = radial_mean(centred_rfft(target).abs() ** 2, n)
    error = radial_mean(centred_rfft(found - target).abs() ** 2, n)
    counted = (transfer > 0) & (power > _PRESENT * power.amax(1, keepdim=True))
    ratio = (error / torch.where(counted, power, 1) + _SMOOTH**2).sqrt()
    mean = (ratio * counted).sum(1) / counted.sum(1).clamp(min=1)
    return (0.5 * one + 0.5 * two + shells * mean).mean()
