"""How a denoising network is applied to maps: the same for training and afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from cryoinv.errors import InputError
from cryoinv.spaces.spectrum import centred_irfft, centred_rfft, radial_expand, radial_mean
from cryoinv.specs import nearest

__all__ = [
    "DESCRIBED_AT",
    "PRECISIONS",
    "NetworkInputs",
    "apply_denoising",
    "called",
    "checked_precision",
    "network_inputs",
    "peak_scale",
]

# Whoever changes the description raises the `version` of the networks that are given it.
PRECISIONS = ("full", "bfloat16")  # of convolutions: that of the maps, or half of single precision's bits
DESCRIBED_AT = 16  # frequencies, evenly up to Nyquist's, at which a map's filter and power are told to a network
_FAINTEST = 1e-4  # power, of a map whose integral over squared frequency is 1, that is as good as none

Call = Callable[[torch.nn.Module, torch.Tensor, torch.Tensor | None], torch.Tensor]


@dataclass
class NetworkInputs:
    """What a network is given of maps x, with the scales s and c that its output is to be multiplied by.

    Parameters
    ----------
    maps : torch.Tensor, shape (batch, 1 + bands, n, n, n)
        The noisy maps, x/(sc), and their bands by s, see `DenoisingNetwork.filters`.
    description : torch.Tensor, shape (batch, 2 DESCRIBED_AT), or None
        W at even frequencies, and the logarithm of the filtered map's power there, for networks that ask for it.
    scale, noise_scale : torch.Tensor, shape (batch, 1, 1, 1)
        s and c; maps of zeros have s = 0.
    """

    maps: torch.Tensor
    description: torch.Tensor | None
    scale: torch.Tensor
    noise_scale: torch.Tensor


def apply_denoising(
    network: torch.nn.Module,
    volumes: torch.Tensor,
    transfer: torch.Tensor,
    call: Call | None = None,
    precision: str = "full",
) -> torch.Tensor:
    r"""Denoised maps :math:`f(x) = s\,P\,h(x/(sc), Wx/s)`; with a network in units of the noisy map, :math:`sc\,P\,h`.

    W is a Wiener filter and P the band it lets pass: the result is zero where W is. Since maps are divided by their own
    scale s and multiplied by it again, :math:`f(tx) = t f(x)` for every t > 0, whatever the network. A network with
    filters :math:`W_b` of its own and a description d of the whole map is :math:`h(x/(sc), W_1x/s, W_2x/s, ...; d)`:
    see `DenoisingNetwork`.

    Parameters
    ----------
    network : torch.nn.Module
        h, maps (batch, 1 + bands, n, n, n) to (batch, n, n, n); of any module, (batch, 2, n, n, n).
    volumes : torch.Tensor, shape (batch, n, n, n)
        x.
    transfer : torch.Tensor, shape (batch, n//2+1) or (n//2+1,)
        W, shell by shell.
    call : callable, optional
        From the network, its maps and its description or None to what h is, in place of `called`, which hands the
        network all of its input at once.
    precision : {"full", "bfloat16"}
        Of the network's convolutions and products: that of the maps, or bfloat16 in place of single precision.

    Returns
    -------
    torch.Tensor, shape (batch, n, n, n)
        Torch can differentiate it by the weights, and by x.

    Raises
    ------
    InputError
        If the network returns another shape, or the precision is unknown.

    Examples
    --------
    >>> from cryoinv.networks import GatedUNet
    >>> apply_denoising(GatedUNet(2, 1), torch.zeros(1, 8, 8, 8), torch.ones(5)).abs().max()
    tensor(0., grad_fn=<MaxBackward1>)
    """
    halved = checked_precision(precision) == "bfloat16"
    inputs = network_inputs(network, volumes, transfer)
    with torch.autocast(volumes.device.type, torch.bfloat16, enabled=halved):
        found, scale = (call or called)(network, inputs.maps, inputs.description), inputs.scale
    if getattr(network, "unit", "filtered") == "noisy":
        scale = scale * inputs.noise_scale
    return scale * filtered((transfer > 0).to(volumes), found.to(volumes))


def checked_precision(precision: str) -> str:
    """Precision of a network's convolutions, if it is one of `PRECISIONS`.

    Parameters
    ----------
    precision : str
        What was asked for.

    Returns
    -------
    str

    Raises
    ------
    InputError
        If it is none.
    """
    if precision not in PRECISIONS:
        raise InputError(f"unknown precision {precision!r}, {nearest(str(precision), PRECISIONS)}")
    return precision


def called(network: torch.nn.Module, maps: torch.Tensor, description: torch.Tensor | None = None) -> torch.Tensor:
    """What the network makes of maps, if that has the shape it should.

    Parameters
    ----------
    network : torch.nn.Module
        h.
    maps : torch.Tensor, shape (batch, 1 + bands, a, b, c)
        Of `NetworkInputs`, or tiles of them.
    description : torch.Tensor, optional
        Of `NetworkInputs`, for a network that takes one.

    Returns
    -------
    torch.Tensor, shape (batch, a, b, c)

    Raises
    ------
    InputError
        If it is of another shape.
    """
    found = network(maps) if description is None else network(maps, description)
    expected = (maps.shape[0], *maps.shape[2:])
    if found.shape != expected:
        name = type(network).__name__
        raise InputError(f"{name} returned shape {tuple(found.shape)} of maps {tuple(maps.shape)}, expected {expected}")
    return found


def network_inputs(network: torch.nn.Module, volumes: torch.Tensor, transfer: torch.Tensor) -> NetworkInputs:
    """What a network is given of maps, and the scales of these.

    Parameters
    ----------
    network : torch.nn.Module
        Asked for its ``filters``, and whether it ``takes_description``, where it has these: see `DenoisingNetwork`.
    volumes, transfer
        As in `apply_denoising`.

    Returns
    -------
    NetworkInputs
    """
    transfer, n = transfer.to(volumes).expand(len(volumes), -1), volumes.shape[-1]
    spectrum = centred_rfft(volumes)
    smooth = _volumes_of(transfer, spectrum, n)
    scale = peak_scale(smooth)
    units = torch.where(scale > 0, scale, 1)
    noisy = volumes / units
    noise_scale = noisy.std((-3, -2, -1), keepdim=True).clamp(min=1)
    filters = getattr(network, "filters", None)
    parts = [smooth] if filters is None else [_volumes_of(each, spectrum, n) for each in filters(transfer).unbind(1)]
    maps = torch.stack([noisy / noise_scale, *(part / units for part in parts)], 1)
    told = _description(spectrum / units, transfer) if getattr(network, "takes_description", False) else None
    return NetworkInputs(maps, told, scale, noise_scale)


def _description(spectrum: torch.Tensor, transfer: torch.Tensor) -> torch.Tensor:
    """W and the logarithm of the filtered map's power, from its spectrum before, at even frequencies.

    Neither depends on the map's scale, nor on empty solvent around the particle.
    """
    n, shells = spectrum.shape[-2], transfer.shape[-1]
    power = transfer**2 * radial_mean(spectrum.abs() ** 2, n)
    frequencies = torch.arange(shells, dtype=power.dtype, device=power.device) / n
    # What a box holds more of empty solvent spreads the same power over more coefficients.
    total = (power * frequencies**2).sum(1, keepdim=True) / n
    power = ((power / torch.where(total > 0, total, 1)).clamp(min=_FAINTEST) / 100).log() / 5
    at = torch.arange(1, DESCRIBED_AT + 1, dtype=torch.float64, device=power.device) * n / (2 * DESCRIBED_AT)
    at = at.clamp(max=shells - 1)
    low = at.ceil().long() - 1
    part = (at - low).to(power)
    return torch.cat([each[:, low] * (1 - part) + each[:, low + 1] * part for each in (transfer, power)], 1)


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
    return _volumes_of(transfer, centred_rfft(volumes), volumes.shape[-1])


def _volumes_of(transfer: torch.Tensor, spectrum: torch.Tensor, n: int) -> torch.Tensor:
    return centred_irfft(radial_expand(transfer, n, outside=0.0) * spectrum, n)
