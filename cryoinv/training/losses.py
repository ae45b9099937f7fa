"""What training makes small."""

from __future__ import annotations

import torch

from cryoinv.spaces.spectrum import centred_rfft, radial_mean

__all__ = ["denoising_loss", "relative_errors"]

_LEAST = 0.02  # of the target: a filter's errors below this are no measure
_SMOOTH = 1e-3  # of the filter's error: without it a perfect map would be infinitely good


def relative_errors(found: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Relative errors :math:`\|f - t\|_1 / \|t\|_1` and :math:`\|f - t\|_2 / \|t\|_2` of each map, shapes (m,).

    Parameters
    ----------
    found, target : torch.Tensor, shape (m, n, n, n)
        f and t.

    Returns
    -------
    l1, l2 : torch.Tensor

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
    found: torch.Tensor, target: torch.Tensor, wiener: torch.Tensor, transfer: torch.Tensor, shells: float = 0.5
) -> torch.Tensor:
    r"""Mean over maps of the logarithm of their errors in units of the Wiener filter's: L1, L2, and shell by shell.

    .. math:: \tfrac12\log\frac{\|f-t\|_1}{\|v-t\|_1} + \tfrac12\log\frac{\|f-t\|_2}{\|v-t\|_2}
              + \frac\gamma2\,\mathrm{mean}_{W_s>0} \log\frac{\sum_{k \in s}|F_k-T_k|^2}{\sum_{k \in s}|V_k-T_k|^2} .

    It is zero for the filter itself. In units of the target maps and shells that are nearly noise would outweigh all
    others, where the filter's error is many times the target; in plain units of the filter's errors those that are
    nearly perfect would, as long as the network does them harm. With the logarithm it is the relative improvement that
    counts, of every map and shell alike. The first two terms see hardly more than the lowest shells, which hold nearly
    all the power. Where the filter is right to a fiftieth of the target, that is the measure.

    Parameters
    ----------
    found, target, wiener : torch.Tensor, shape (m, n, n, n)
        f, t and what the Wiener filter makes of the noisy map, v.
    transfer : torch.Tensor, shape (m, n//2+1)
        W.
    shells : float
        γ.

    Returns
    -------
    torch.Tensor, shape ()
    """
    heard = (transfer > 0).any(1)  # of other maps the filter leaves nothing, and there is nothing to find
    if not bool(heard.any()):
        return 0 * found.sum()
    found, target, wiener, transfer = (each[heard] for each in (found, target, wiener, transfer))
    terms = [
        (own / theirs.clamp(min=_LEAST) + _SMOOTH).log()
        for own, theirs in zip(relative_errors(found, target), relative_errors(wiener, target), strict=True)
    ]
    n = found.shape[-1]
    own, theirs, power = (radial_mean(centred_rfft(x).abs() ** 2, n) for x in (found - target, wiener - target, target))
    measure = torch.maximum(theirs, _LEAST**2 * power)
    counted = (transfer > 0) & (measure > 0)
    by_shell = (own / torch.where(counted, measure, 1) + _SMOOTH**2).log() / 2
    mean = (by_shell * counted).sum(1) / counted.sum(1).clamp(min=1)
    return (0.5 * terms[0] + 0.5 * terms[1] + shells * mean).mean()
