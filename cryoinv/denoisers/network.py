"""Denoising by a network whose weights come from a file."""

from __future__ import annotations

import os

import torch

from cryoinv.errors import InputError
from cryoinv.networks import Placement, read_network
from cryoinv.spaces import centred_irfft, centred_rfft, radial_expand

from .base import Denoiser
from .context import PriorContext
from .filters import Wiener

__all__ = ["NetworkDenoiser", "gated_map"]

_TOLERANCE = 0.1  # by which a pixel may be smaller or larger than those trained with


class NetworkDenoiser(Denoiser):
    r"""Network around the Wiener map, :math:`f(x) = s\,P\,[(Wx/s)\,\sigma(g + 2) + r]`, :math:`s = \mathrm{std}(Wx)`.

    Gate g and residual r are what the network says of two maps, x/s divided by :math:`\max(1, \mathrm{std}(x/s))` and
    Wx/s. W is the `Wiener` filter and P the band that it lets pass: the result is zero where W is. The map is divided
    by s first and multiplied by s last, so that f(cx) = c f(x) for every c > 0.

    The network is kept as it was handed over. It runs where the map is and in its precision, and torch can
    differentiate f where the map asks for it.

    Parameters
    ----------
    network : torch.nn.Module, str or path-like
        Maps (1, 2, n, n, n), the two inputs, to (1, 2, n, n, n), gate and residual; or a file of its weights, see
        `networks.write_network`.
    pixel_sizes : tuple of float, optional
        Smallest and largest pixel size in Å it was trained with; by default what the file says, or any.
    cutoff : float
        Of the Wiener filter.

    Raises
    ------
    InputError
        If the file does not suit (`networks.read_network`) or `cutoff` is not within [0, 1).

    Examples
    --------
    >>> from cryoinv.networks import GatedResidualNetwork
    >>> denoiser = NetworkDenoiser(GatedResidualNetwork(width=4, depth=1))
    >>> x = torch.randn(16, 16, 16, generator=torch.manual_seed(0))
    >>> context = PriorContext.nominal(16, 3.0, 8.0)
    >>> gate = torch.sigmoid(torch.tensor(2.0))  # an untrained network leaves the Wiener map but for this
    >>> torch.allclose(denoiser.denoise(x, context), gate * Wiener().denoise(x, context), atol=1e-6)
    True
    """

    name = "network"
    needs_whole_box = True  # s is that of the whole map: a tile's own would change from tile to tile

    def __init__(
        self,
        network: torch.nn.Module | str | os.PathLike[str],
        pixel_sizes: tuple[float, float] | None = None,
        cutoff: float = 0.05,
    ):
        self._wiener = Wiener(cutoff)
        if not isinstance(network, torch.nn.Module):
            network, metadata = read_network(network, "denoiser")
            pixel_sizes = metadata["pixel_sizes"] if pixel_sizes is None else pixel_sizes
        self.pixel_sizes, self._network = pixel_sizes, Placement(network)
        # Runs are told apart by the weights, not by the name of a file.
        self.made_with["network"] = self._network.module
        if pixel_sizes is not None:
            self.made_with["pixel_sizes"] = pixel_sizes

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], cutoff: float = 0.05) -> NetworkDenoiser:
        """Denoiser of a file of weights, as `networks.write_network` writes them.

        Parameters
        ----------
        path : str or path-like
            A ``.safetensors`` file.
        cutoff : float
            Of the Wiener filter.
        """
        return cls(path, cutoff=cutoff)

    def denoise(self, volume: torch.Tensor, context: PriorContext) -> torch.Tensor:
        """Apply the network to the map and its Wiener-filtered form."""
        self._check_pixel(context.pixel_size)
        with torch.set_grad_enabled(torch.is_grad_enabled() and volume.requires_grad):
            return gated_map(self._network(volume), volume, self._wiener.transfer(context))

    def _check_pixel(self, pixel_size: float) -> None:
        low, high = self.pixel_sizes or (0.0, float("inf"))
        if not (1 - _TOLERANCE) * low <= pixel_size <= (1 + _TOLERANCE) * high:
            raise InputError(
                f"{self!r} was trained with pixels of {low:g} to {high:g} Å, the map has pixels of {pixel_size:g} Å"
            )


def gated_map(network: torch.nn.Module, volume: torch.Tensor, transfer: torch.Tensor) -> torch.Tensor:
    r"""Map :math:`s\,P\,[(Wx/s)\,\sigma(g + 2) + r]`, for training and application alike.

    Parameters
    ----------
    network : torch.nn.Module
        Gives gate g and residual r, see `NetworkDenoiser`; torch can differentiate the map by its weights.
    volume : torch.Tensor, shape (n, n, n)
        x.
    transfer : torch.Tensor, shape (n//2+1,)
        W, shell by shell, such as `Wiener.transfer`.

    Returns
    -------
    torch.Tensor, shape (n, n, n)

    Examples
    --------
    >>> from cryoinv.networks import GatedResidualNetwork
    >>> gated_map(GatedResidualNetwork(2, 1), torch.zeros(8, 8, 8), torch.ones(5)).abs().max()
    tensor(0.)
    """
    transfer = transfer.to(volume.device, volume.dtype)
    filtered = _times(transfer, volume)
    scale = filtered.std()
    if not scale > 0:
        return filtered
    whole, filtered = volume / scale, filtered / scale
    maps = torch.stack([whole / whole.std().clamp(min=1), filtered])
    gate, residual = network(maps[None])[0]
    return scale * _times((transfer > 0).to(volume.dtype), filtered * torch.sigmoid(gate + 2) + residual)


def _times(transfer: torch.Tensor, volume: torch.Tensor) -> torch.Tensor:
    """Volume with every shell multiplied by its entry of `transfer`."""
    n = len(volume)
    return centred_irfft(radial_expand(transfer, n, outside=0.0) * centred_rfft(volume), n)
