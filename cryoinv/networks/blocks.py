"""Changes of grid that networks share."""

from __future__ import annotations

from types import EllipsisType

import torch
from torch.nn import functional

__all__ = ["fold_to_depth", "pad_to_multiple", "unfold_from_depth"]


def pad_to_multiple(maps: torch.Tensor, multiple: int) -> tuple[torch.Tensor, tuple[EllipsisType | slice, ...]]:
    """Maps with zeros behind the last voxels, to a box that `multiple` divides, and where the maps are in them.

    Parameters
    ----------
    maps : torch.Tensor, shape (batch, channels, n, n, n)
        Boxes may differ in their sides.
    multiple : int
        What shall divide every side.

    Examples
    --------
    >>> padded, inner = pad_to_multiple(torch.ones(1, 2, 5, 5, 8), 4)
    >>> padded.shape, padded[inner].shape
    (torch.Size([1, 2, 8, 8, 8]), torch.Size([1, 2, 5, 5, 8]))
    """
    sides = maps.shape[-3:]
    lacking = [-side % multiple for side in reversed(sides)]
    padded = functional.pad(maps, [each for lack in lacking for each in (0, lack)]) if any(lacking) else maps
    return padded, (..., *(slice(0, side) for side in sides))


def fold_to_depth(maps: torch.Tensor) -> torch.Tensor:
    """Cubes of 2 x 2 x 2 voxels as channels: (batch, c, 2a, 2b, 2d) to (batch, 8c, a, b, d).

    Examples
    --------
    >>> maps = torch.randn(1, 2, 4, 4, 6)
    >>> fold_to_depth(maps).shape, torch.equal(unfold_from_depth(fold_to_depth(maps), 2), maps)
    (torch.Size([1, 16, 2, 2, 3]), True)
    """
    batch, channels, *sides = maps.shape
    z, y, x = (side // 2 for side in sides)
    cubes = maps.reshape(batch, channels, z, 2, y, 2, x, 2).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return cubes.reshape(batch, 8 * channels, z, y, x)


def unfold_from_depth(features: torch.Tensor, channels: int) -> torch.Tensor:
    """Undo `fold_to_depth`: (batch, 8c, a, b, d) to (batch, c, 2a, 2b, 2d)."""
    batch, _, z, y, x = features.shape
    cubes = features.reshape(batch, channels, 2, 2, 2, z, y, x).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return cubes.reshape(batch, channels, 2 * z, 2 * y, 2 * x)
