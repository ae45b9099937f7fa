"""A U-Net around a Wiener-filtered map: our own denoising architecture."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from .base import DenoisingNetwork
from .blocks import fold_to_depth, pad_to_multiple, unfold_from_depth

__all__ = ["GatedUNet"]


class GatedUNet(DenoisingNetwork):
    r"""U-Net that gates the Wiener map and adds to it, :math:`y = v\,\sigma(g + 2) + r` with :math:`v = Wx/s`.

    Cubes of 2 x 2 x 2 voxels are the channels of the first layer, so that all convolutions work on half the grid.
    Blocks are residual, of two convolutions, without any normalisation: what a voxel becomes depends on its
    surroundings alone, not on the size of the box, and tiles that overlap by enough give what the whole box gives.
    Averages lead down, nearest neighbours up, and every level is added to the one above. The last layer is zero at
    first: an untrained network gates evenly and adds nothing.

    Parameters
    ----------
    width : int
        Channels of the first level; every level below has twice as many.
    depth : int
        Levels, the first among them.
    blocks : int
        Residual blocks of a level, on the way down and again on the way up.

    References
    ----------
    O. Ronneberger, P. Fischer, T. Brox, MICCAI 9351 (2015) 234-241; W. Shi et al., CVPR (2016) 1874-1883, on cubes as
    channels; B. Lim et al., CVPR Workshops (2017) 1132-1140, on residual blocks without normalisation.

    Examples
    --------
    >>> maps = torch.randn(1, 2, 9, 9, 9, generator=torch.manual_seed(0))
    >>> untrained = GatedUNet(width=4, depth=2)(maps)
    >>> torch.allclose(untrained, torch.sigmoid(torch.tensor(2.0)) * maps[:, 1])
    True
    """

    name = "gated-unet"

    def __init__(self, width: int = 32, depth: int = 3, blocks: int = 1):
        super().__init__(width=width, depth=depth, blocks=blocks)
        widths = [width * 2**level for level in range(depth)]
        self.first = nn.Conv3d(16, width, 3, padding=1)
        self.down = nn.ModuleList(_level(each, blocks) for each in widths)
        self.widen = nn.ModuleList(nn.Conv3d(a, 2 * a, 1) for a in widths[:-1])
        self.narrow = nn.ModuleList(nn.Conv3d(2 * a, a, 1) for a in widths[:-1])
        self.up = nn.ModuleList(_level(each, blocks) for each in widths[:-1])
        self.last = nn.Conv3d(width, 16, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    @property
    def reach(self) -> int:
        """Those of all convolutions, and one less than the widest cube, in which a voxel may be at either end."""
        depth, blocks = self.sizes["depth"], self.sizes["blocks"]
        levels = sum(2 * blocks * 2**level * (2 if level < depth - 1 else 1) for level in range(depth))
        return 2 * (2 + levels) + self.period - 1

    @property
    def period(self) -> int:
        """Width of the widest cube that becomes one cell."""
        return 2 ** self.sizes["depth"]

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Denoised maps (batch, n, n, n) of noisy and filtered ones (batch, 2, n, n, n)."""
        padded, inner = pad_to_multiple(maps, self.period)
        features, kept = self.first(fold_to_depth(padded)), []
        for level, blocks in enumerate(self.down):
            features = blocks(features)
            if level < len(self.widen):
                kept.append(features)
                features = self.widen[level](functional.avg_pool3d(features, 2))
        for level in reversed(range(len(self.up))):
            above = functional.interpolate(self.narrow[level](features), scale_factor=2, mode="nearest")
            features = self.up[level](kept[level] + above)
        gate, residual = unfold_from_depth(self.last(functional.silu(features)), 2)[inner].unbind(1)
        return maps[:, 1] * torch.sigmoid(gate + 2) + residual


def _level(width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(width) for _ in range(blocks)))


class _Block(nn.Module):
    """Residual block that adds no more than a constant at first."""

    def __init__(self, width: int):
        super().__init__()
        self.one, self.two = (nn.Conv3d(width, width, 3, padding=1) for _ in range(2))
        nn.init.zeros_(self.two.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.two(functional.silu(self.one(functional.silu(x))))
