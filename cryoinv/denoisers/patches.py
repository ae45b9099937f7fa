"""A denoiser applied to overlapping tiles: memory and cost of a tile, whatever the box."""

from __future__ import annotations

import torch

from cryoinv.errors import InputError

from .base import Denoiser
from .combined import checked_denoiser
from .context import PriorContext
from .tiles import tiles

__all__ = ["Patchwise"]


class Patchwise(Denoiser):
    r"""Denoise overlapping tiles, :math:`f(x) = \sum_j w_j\, P_j^T g(P_j x)` with smooth :math:`\sum_j P_j^T w_j = 1`.

    :math:`P_j` cuts out tile j. The weights fall off as a squared sine over the overlap and sum to one at every voxel.
    The last tile of an axis ends with the box, so that any box will do; a tile as wide as the box or wider is the box.

    A tile meets a context of its own: the FSC and τ² at the frequencies of its shells, and a sphere about all of it.
    Denoisers that must see the whole box, for a noise level outside the particle or a mask of the solvent, do not suit
    tiles and are refused. A filter on tiles is not quite the filter on the box: shells are wider, and it wraps around.

    On the command line ``patches,denoiser=NAME,tile=32``, with brackets around a name that has options.

    Parameters
    ----------
    denoiser : Denoiser
        g; not one that ``needs_whole_box``.
    tile : int
        Width of a tile in voxels.
    overlap : int, optional
        Voxels that neighbouring tiles share at least, up to half a tile, which is the default.

    Raises
    ------
    InputError
        If the denoiser needs the whole box, the tile is narrower than 4 voxels or the overlap not within [0, tile/2].

    Examples
    --------
    >>> class Clipped(Denoiser):
    ...     def denoise(self, volume, context):
    ...         return volume.clamp(min=0)
    >>> x = torch.randn(20, 20, 20, generator=torch.manual_seed(0))
    >>> torch.allclose(Patchwise(Clipped(), tile=12).denoise(x, PriorContext.nominal(20, 3.0, 12.0)), x.clamp(min=0))
    True
    """

    name = "patches"

    def __init__(self, denoiser: Denoiser, tile: int = 32, overlap: int | None = None):
        if checked_denoiser(denoiser, "a patchwise denoiser").needs_whole_box:
            raise InputError(f"{denoiser!r} needs the whole box, it cannot be applied to tiles")
        overlap = tile // 2 if overlap is None else overlap
        if tile < 4 or not 0 <= overlap <= tile / 2:
            raise InputError(f"tiles of {tile} voxels overlap by {overlap}, expected tiles of at least 4, 0 to half")
        self.denoiser, self.tile, self.overlap = denoiser, tile, overlap
        self.is_linear = denoiser.is_linear

    def denoise(self, volume: torch.Tensor, context: PriorContext) -> torch.Tensor:
        """Denoise tile by tile."""
        if self.tile >= context.n:
            return self.denoiser.denoise(volume, context)
        within = tile_context(context, self.tile)
        result = torch.zeros_like(volume)
        for part, weight in tiles(context.n, self.tile, self.overlap, volume):
            result[part] = result[part] + weight * self.denoiser.denoise(volume[part].contiguous(), within)
        return result


def tile_context(context: PriorContext, tile: int) -> PriorContext:
    """Context of a tile: curves at the frequencies of its shells, and a sphere about all of it.

    Parameters
    ----------
    context : PriorContext
        Of the box.
    tile : int
        Voxels.

    Returns
    -------
    PriorContext
        τ² is the same, as the transforms are orthonormal and the power of a voxel is that of any part of the box.
    """
    position = torch.arange(tile // 2 + 1, dtype=torch.float64) * context.n / tile

    def resampled(curve: torch.Tensor) -> torch.Tensor:
        last = len(curve) - 1
        place = position.to(curve.device).clamp(max=last)
        below = place.floor().long().clamp(max=last - 1)
        return torch.lerp(curve[below], curve[below + 1], (place - below).to(curve.dtype))

    radius = tile * context.pixel_size * 0.75**0.5
    return context.with_curves(resampled, n=tile, particle_radius=radius)
