"""Overlapping tiles of a cube, and smooth weights that sum to one at every voxel."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch

__all__ = ["tile_windows", "tiles"]


def tile_windows(
    n: int, tile: int, overlap: int, like: torch.Tensor, margin: int = 0, period: int = 1
) -> list[tuple[int, torch.Tensor]]:
    """First voxel and weights of every tile along an axis; the weights sum to one at every voxel.

    They are zero on the margin and rise as a squared sine over what else is shared, but not at the ends of the axis.
    The last tile ends with the axis; of a period beyond 1 it may be the shorter.

    Parameters
    ----------
    n, tile, overlap : int
        Voxels of the axis, of a tile, and those that neighbours share at least.
    like : torch.Tensor
        Of the type and device that weights shall have.
    margin : int
        Voxels at a tile's end that are not used, where the axis goes on; less than half the overlap if not 0.
    period : int
        What divides the first voxels of tiles, at most ``tile - overlap``.

    Examples
    --------
    >>> [(start, [round(float(w), 3) for w in weights]) for start, weights in tile_windows(6, 4, 2, torch.zeros(1))]
    [(0, [1.0, 1.0, 0.854, 0.146]), (2, [0.146, 0.854, 1.0, 1.0])]
    """
    step = (tile - overlap) // period * period
    last = -(-max(n - tile, 0) // period) * period
    rise = max(overlap - 2 * margin, 1)
    total, bumps = torch.zeros(n, dtype=torch.float64), []
    for start in [*range(0, last, step), last]:
        position = torch.arange(min(tile, n - start), dtype=torch.float64) + 0.5
        left = position if start > 0 else math.inf
        right = len(position) - position if start + tile < n else math.inf
        edge = torch.minimum(torch.as_tensor(left), torch.as_tensor(right)).expand(len(position))
        bump = torch.sin(torch.pi / 2 * ((edge - margin) / rise).clamp(0, 1)) ** 2
        bumps.append((start, bump))
        total[start : start + tile] += bump
    return [(start, (bump / total[start : start + tile]).to(like)) for start, bump in bumps]


def tiles(
    n: int, tile: int, overlap: int, like: torch.Tensor, margin: int = 0, period: int = 1
) -> Iterator[tuple[tuple[slice, ...], torch.Tensor]]:
    """Places and weights of all tiles of a cube; arguments as in `tile_windows`.

    Yields
    ------
    place : tuple of slice
    weights : torch.Tensor
        Of the shape of the place.
    """
    axis = tile_windows(n, tile, overlap, like, margin, period)
    for (z, wz), (y, wy), (x, wx) in itertools.product(axis, repeat=3):
        place = tuple(slice(start, start + len(weights)) for start, weights in ((z, wz), (y, wy), (x, wx)))
        yield place, wz[:, None, None] * wy[:, None] * wx
