"""Overlapping tiles of a cube, and smooth weights that sum to one at every voxel."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch

__all__ = ["tile_windows", "tiles"]


def tile_windows(n: int, tile: int, overlap: int, like: torch.Tensor) -> list[tuple[int, torch.Tensor]]:
    """First voxel and weights (tile,) of every tile along an axis; the weights sum to one at every voxel.

    They fall off as a squared sine over the overlap. The last tile ends with the axis, whatever its length.

    Parameters
    ----------
    n, tile, overlap : int
        Voxels of the axis, of a tile, and those that neighbours share at least.
    like : torch.Tensor
        Of the type and device that weights shall have.

    Examples
    --------
    >>> [(start, [round(float(w), 3) for w in weights]) for start, weights in tile_windows(6, 4, 2, torch.zeros(1))]
    [(0, [1.0, 1.0, 0.854, 0.146]), (2, [0.146, 0.854, 1.0, 1.0])]
    """
    starts = [*range(0, n - tile, tile - overlap), n - tile]
    position = torch.arange(tile, dtype=torch.float64) + 0.5
    edge = torch.minimum(position, tile - position) / max(overlap, 1)
    bump = torch.sin(torch.pi / 2 * edge.clamp(max=1)) ** 2
    total = torch.zeros(n, dtype=torch.float64)
    for start in starts:
        total[start : start + tile] += bump
    return [(start, (bump / total[start : start + tile]).to(like)) for start in starts]


def tiles(
    n: int, tile: int, overlap: int, like: torch.Tensor
) -> Iterator[tuple[tuple[slice, ...], torch.Tensor]]:
    """Places and weights (tile, tile, tile) of all tiles of a cube; arguments as in `tile_windows`.

    Yields
    ------
    place : tuple of slice
    weights : torch.Tensor
    """
    axis = tile_windows(n, tile, overlap, like)
    for (z, wz), (y, wy), (x, wx) in itertools.product(axis, repeat=3):
        place = tuple(slice(start, start + tile) for start in (z, y, x))
        yield place, wz[:, None, None] * wy[:, None] * wx
