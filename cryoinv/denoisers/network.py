"""Denoising by a network whose weights come from a file."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from functools import partial
from typing import Any

import torch

from cryoinv.errors import InputError, InputWarning
from cryoinv.networks import Placement, apply_denoising, read_network
from cryoinv.networks.apply import called, checked_precision
from cryoinv.spaces import centred_irfft, centred_rfft, fourier_crop, fourier_pad

from .base import Denoiser
from .context import PriorContext
from .filters import HEARD, radial_filter, sphere_transfer
from .tiles import tiles

__all__ = ["NetworkDenoiser"]

_TOLERANCE = 0.1  # by which a pixel may be smaller or larger than those trained with
_RISE = 8  # voxels over which one tile gives way to the next


class NetworkDenoiser(Denoiser):
    r"""Network that sees a map and its Wiener-filtered form, both in units of the map, see `networks.apply_denoising`.

    The filter is that of the FSC inside the particle's sphere, `sphere_transfer`. Only frequencies that it lets pass
    are in the result, and f(cx) = c f(x) for every c > 0.

    A map whose pixels are more than a tenth smaller or larger than those trained with is resampled by Fourier cropping
    or padding to the nearest pixel size in the network's range, with an `InputWarning`. Of a map with smaller pixels
    the network knows only what its own pixels can hold: shells below their Nyquist frequency come from the network,
    the others from the filter.

    Of a network that was trained without features finer than a resolution, as its file says, the same holds of finer
    shells: it neither sees nor changes them.

    The network is kept as it was handed over. It runs where the map is and in its precision, and torch can
    differentiate f where the map asks for it.

    Parameters
    ----------
    network : torch.nn.Module, str or path-like
        Maps (1, 2, n, n, n) to (1, n, n, n), see `networks.DenoisingNetwork`, of whose ``unit``, ``filters``,
        ``takes_description``, ``reach`` and ``period`` any module may have its own; or a file of its weights, see
        `networks.write_network`.
    pixel_sizes : tuple of float, optional
        Smallest and largest pixel size in Å it was trained with; by default what the file says, or any.
    cutoff : float
        FSC inside the sphere below which a shell is taken to hold noise alone.
    tile : int
        Boxes wider than this go through the network in overlapping tiles of so many voxels, scaled as a whole. Where
        the network reaches no further than a third of a tile, tiles give what the whole box would, to rounding.
    finest : float, optional
        Å: the network neither sees nor changes anything finer; by default what the file says, or no bound.
    precision : {"full", "bfloat16"}
        Of the network's convolutions: that of the map, or bfloat16 for maps in single precision, which is faster on
        GPUs and takes half of the memory, and moves the result by a few parts in a thousand.

    Attributes
    ----------
    calibration : dict or None
        How far it is to be believed by FSC and resolution, as its file says; see `training.Calibration`.
    least_tile : int
        Voxels of the smallest tiles that this network can have.

    Raises
    ------
    InputError
        If the file does not suit (`networks.read_network`), `cutoff` is not within [0, 1), `tile` is too small for
        what the network halves, `finest` is not positive, the precision is unknown, or the network returns another
        shape.

    Warns
    -----
    InputWarning
        When it first resamples.

    Examples
    --------
    >>> from cryoinv.networks import GatedUNet
    >>> denoiser = NetworkDenoiser(GatedUNet(width=4, depth=1))
    >>> x = torch.randn(16, 16, 16, generator=torch.manual_seed(0))
    >>> context = PriorContext.nominal(16, 3.0, 8.0)
    >>> filtered = radial_filter(x, denoiser.target_fsc(context))
    >>> torch.allclose(denoiser.denoise(x, context), filtered, atol=1e-6)  # it is untrained
    True
    """

    name = "network"
    needs_whole_box = True  # the scale is that of the whole map: a tile's own would change from tile to tile

    def __init__(
        self,
        network: torch.nn.Module | str | os.PathLike[str],
        pixel_sizes: tuple[float, float] | None = None,
        cutoff: float = HEARD,
        tile: int = 192,
        finest: float | None = None,
        precision: str = "full",
    ):
        self.precision = checked_precision(precision)
        if not 0 <= cutoff < 1:
            raise InputError(f"cutoff is {cutoff}, expected a number from 0 to below 1")
        self.cutoff, self._told, self.tile = float(cutoff), False, tile
        self.calibration: dict[str, Any] | None = None
        if not isinstance(network, torch.nn.Module):
            network, metadata = read_network(network, "denoiser")
            pixel_sizes = metadata["pixel_sizes"] if pixel_sizes is None else pixel_sizes
            notes = metadata.get("notes") or {}
            finest = notes.get("finest") if finest is None else finest
            self.calibration = notes.get("calibration")
        self.least_tile = max(32, 3 * (getattr(network, "period", 1) + _RISE))
        if isinstance(tile, bool) or not isinstance(tile, int) or tile < self.least_tile:
            name = type(network).__name__
            raise InputError(f"tiles of {tile!r} voxels for {name}, expected at least {self.least_tile}")
        if finest is not None and not finest > 0:
            raise InputError(f"finest is {finest} Å, expected a positive number")
        self.pixel_sizes, self._network, self.finest = pixel_sizes, Placement(network), finest
        # Runs are told apart by the weights, not by the name of a file.
        self.made_with["network"] = self._network.module
        for name, value in (("pixel_sizes", pixel_sizes), ("finest", finest)):
            if value is not None:
                self.made_with[name] = value
        if self.calibration is not None:
            text = json.dumps(self.calibration, sort_keys=True)
            self.made_with["calibration"] = hashlib.sha256(text.encode()).hexdigest()[:8]

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], cutoff: float = HEARD, tile: int = 192) -> NetworkDenoiser:
        """Denoiser of a file of weights, as `networks.write_network` writes them.

        Parameters
        ----------
        path : str or path-like
            A ``.safetensors`` file.
        cutoff : float
            Of the filter.
        tile : int
            Widest box that goes through the network whole.
        """
        return cls(path, cutoff=cutoff, tile=tile)

    def denoise(self, volume: torch.Tensor, context: PriorContext) -> torch.Tensor:
        """Apply the network to the map and its Wiener-filtered form."""
        transfer, box = self.target_fsc(context).to(volume), self._box(context)
        known = self.known(context).to(volume)
        with torch.set_grad_enabled(torch.is_grad_enabled() and volume.requires_grad):
            if bool(known.all()):
                return self._on_box(volume, transfer, box)
            rest = radial_filter(volume, transfer * (1 - known))
            # A network of coarse features must not see finer ones either.
            seen = volume if self.finest is None else radial_filter(volume, known)
            return rest + self._on_box(seen, transfer * known, box)

    def target_fsc(self, context: PriorContext) -> torch.Tensor:
        """Filter W, (n//2+1,): the network was trained towards W times the truth."""
        return sphere_transfer(context.fsc_inside, self.cutoff)

    def known(self, context: PriorContext) -> torch.Tensor:
        """Which shells, (n//2+1,), the network may change: those that its pixels hold, and none finer than `finest`."""
        n, box = context.n, self._box(context)
        last = n // 2 if box >= n else box // 2 - 1
        if self.finest is not None:
            last = min(last, int(n * context.pixel_size / self.finest))
        return torch.arange(n // 2 + 1, device=context.fsc.device) <= last

    def _box(self, context: PriorContext) -> int:
        """Voxels of the grid on which the network works; the box keeps its width in Å."""
        n, pixel_size = context.n, context.pixel_size
        low, high = self.pixel_sizes or (0.0, float("inf"))
        if (1 - _TOLERANCE) * low <= pixel_size <= (1 + _TOLERANCE) * high:
            return n
        box = max(2 * round(n * pixel_size / min(max(pixel_size, low), high) / 2), 4)
        if not self._told:
            self._told = True
            message = (
                f"the denoiser was trained with pixels of {low:g} to {high:g} Å, the map has pixels of "
                f"{pixel_size:g} Å: it is resampled to {n * pixel_size / box:.3g} Å"
            )
            if box < n:
                message += f", and the network changes nothing finer than {2 * n * pixel_size / box:.3g} Å"
            warnings.warn(message, InputWarning, stacklevel=3)
        return box

    def _on_box(self, volume: torch.Tensor, transfer: torch.Tensor, box: int) -> torch.Tensor:
        """Apply the network on a grid of `box` voxels: its shells are the map's, as the box is as wide."""
        n = len(volume)
        if box == n:
            return self._applied(volume, transfer)
        there, back = (fourier_crop, fourier_pad) if box < n else (fourier_pad, fourier_crop)
        shells = transfer[: box // 2 + 1] if box < n else torch.cat([transfer, transfer.new_zeros(box // 2 - n // 2)])
        found = self._applied(centred_irfft(there(centred_rfft(volume), n, box), box), shells)
        return centred_irfft(back(centred_rfft(found), box, n), n)

    def _applied(self, volume: torch.Tensor, transfer: torch.Tensor) -> torch.Tensor:
        call = partial(_in_tiles, self.tile) if len(volume) > self.tile else None
        return apply_denoising(self._network(volume), volume[None], transfer, call, self.precision)[0]


def _in_tiles(
    tile: int, network: torch.nn.Module, maps: torch.Tensor, description: torch.Tensor | None
) -> torch.Tensor:
    """What a network makes of overlapping tiles of its input, which was scaled and described as a whole.

    What a tile's inner edges may have a say in is left out, if it leaves enough of the tile; tiles begin where the grid
    can be halved as in the whole box.
    """
    reach, period = getattr(network, "reach", None), getattr(network, "period", 1)
    margin = tile // 4 if reach is None or reach > tile // 3 else reach
    result = torch.zeros_like(maps[:, 0])
    for place, weight in tiles(maps.shape[-1], tile, 2 * margin + _RISE, maps, margin, period):
        z, y, x = place
        result[:, z, y, x] += weight * called(network, maps[..., z, y, x].contiguous(), description)
    return result
