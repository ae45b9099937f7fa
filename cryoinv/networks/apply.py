"""How a denoising network is applied to maps: the same for training and afterwards."""

from __future__ import annotations

import torch

from cryoinv.errors import InputError
from cryoinv.spaces.spectrum import centred_irfft, centred_rfft, radial_expand

__all__ = ["apply_denoising", "called", "network_inputs", "peak_scale"]


def apply_denoising(network: torch.nn.Module, volumes: torch.Tensor, transfer: torch.Tensor) -> torch.Tensor:
    r"""Denoised maps :math:`f(x) = s\,P\,h(x/(sc), Wx/s)`; with a network in units of the noisy map, :math:`sc\,P\,h`.

    W is a Wiener filter and P the band it lets pass: the result is zero where W is. Since maps are divided by their own
    scale s and multiplied by it again, :math:`f(tx) = t f(x)` for every t > 0, whatever the network.

    Parameters
    ----------
    network : torch.nn.Module
        h, maps (batch, 2, n, n, n) to (batch, n, n, n), see `DenoisingNetwork`.
    volumes : torch.Tensor, shape (batch, n, n, n)
        x.
    transfer : torch.Tensor, shape (batch, n//2+1) or (n//2+1,)
        W, shell by shell.

    Returns
    -------
    torch.Tensor, shape (batch, n, n, n)
        Torch can differentiate it by the weights, and by x.

    Raises
    ------
    InputError
        If the network returns another shape.

    Examples
    --------
    >>> from cryoinv.networks import GatedUNet
    >>> apply_denoising(GatedUNet(2, 1), torch.zeros(1, 8, 8, 8), torch.ones(5)).abs().max()
    tensor(0., grad_fn=<MaxBackward1>)
    """
    transfer = transfer.to(volumes.device, volumes.dtype)
    maps, scale, noise_scale = network_inputs(volumes, transfer)
    found = called(network, maps)
    if getattr(network, "unit", "filtered") == "noisy":
        scale = scale * noise_scale
    return scale * filtered((transfer > 0).to(volumes.dtype), found)


def called(network: torch.nn.Module, maps: torch.Tensor) -> torch.Tensor:
    """What the network makes of maps (batch, 2, n, n, n), if that is maps (batch, n, n, n)."""
    found, expected = network(maps), (maps.shape[0], *maps.shape[2:])
    if found.shape != expected:
        name = type(network).__name__
        raise InputError(f"{name} returned shape {tuple(found.shape)} of maps {tuple(maps.shape)}, expected {expected}")
    return found


def network_inputs(volumes: torch.Tensor, transfer: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Inputs (batch, 2, n, n, n) of a network, and the scales s and c (batch, 1, 1, 1); zero maps have s = 0.

    Parameters
    ----------
    volumes, transfer
        As in `apply_denoising`.

    Returns
    -------
    maps, scale, noise_scale : torch.Tensor
    """
    smooth = filtered(transfer, volumes)
    scale = peak_scale(smooth)
    units = torch.where(scale > 0, scale, 1)
    noisy = volumes / units
    noise_scale = noisy.std((-3, -2, -1), keepdim=True).clamp(min=1)
    return torch.stack([noisy / noise_scale, smooth / units], -4), scale, noise_scale


def peak_scale(volumes: torch.Tensor) -> torch.Tensor:
    r"""Grey scale of the particle in maps, :math:`s = \sqrt{\sum_r v_r^4 / \sum_r v_r^2}`.

    Flat solvent adds to neither sum: s is that of the particle, however large the box.

    Parameters
    ----------
    volumes : torch.Tensor, shape (batch, n, n, n)
        v, low in noise.

    Returns
    -------
    torch.Tensor, shape (batch, 1, 1, 1)
        s; zero for a map of zeros.

    Examples
    --------
    >>> small, large = torch.zeros(1, 4, 4, 4), torch.zeros(1, 8, 8, 8)
    >>> small[0, 2, 2, 1:3] = large[0, 2, 2, 1:3] = 5.0
    >>> float(peak_scale(small)), float(peak_scale(large))
    (5.0, 5.0)
    """
    largest = volumes.abs().amax((-3, -2, -1), keepdim=True)  # fourth powers leave the range of single precision
    squares = (volumes / torch.where(largest > 0, largest, 1)).square()
    sums = squares.sum((-3, -2, -1), keepdim=True)
    return largest * (squares.square().sum((-3, -2, -1), keepdim=True) / torch.where(sums > 0, sums, 1)).sqrt()


def filtered(transfer: torch.Tensor, volumes: torch.Tensor) -> torch.Tensor:
    """Volumes with every shell multiplied by its entry of `transfer`, and zero beyond the last."""
    n = volumes.shape[-1]
    return centred_irfft(radial_expand(transfer, n, outside=0.0) * centred_rfft(volumes), n)
