"""A U-Net around a Wiener-filtered map: our own denoising architecture."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from .apply import DESCRIBED_AT
from .base import DenoisingNetwork
from .blocks import fold_to_depth, pad_to_multiple, unfold_from_depth

__all__ = ["GatedUNet"]

_BANDS = 3
_TOLD = 64  # numbers that a description becomes


class GatedUNet(DenoisingNetwork):
    r"""U-Net that amplifies the Wiener map band by band and adds to it, :math:`y = \sum_b v_b (1 + g_b) + r`.

    The bands :math:`v_b` are those of the Wiener filter's :math:`W^8`, :math:`W^2 - W^8` and :math:`W - W^2`, what is
    well known, half known and hardly known of a map; they sum to Wx/s. The amplification g of every voxel and band lets
    the network filter anew by place; with one that does not depend on the place it corrects what wrong poses took away.

    Cubes of 2 x 2 x 2 voxels are the channels of the first layer, so that all convolutions work on half the grid.
    Blocks are residual, of two convolutions, without any normalisation: what a voxel becomes depends on its
    surroundings and on the description of the whole map alone, not on the size of the box, and tiles that overlap by
    enough give what the whole box gives. The description, W and the map's power by frequency, scales and shifts the
    channels inside every block. Averages lead down, nearest neighbours up, and every level is added to the one above.
    The last layer is zero at first: an untrained network is the Wiener filter.

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
    channels; B. Lim et al., CVPR Workshops (2017) 1132-1140, on residual blocks without normalisation; E. Perez et al.,
    AAAI (2018) 3942-3951, on scales and shifts by a description.

    Examples
    --------
    >>> from cryoinv.networks import apply_denoising
    >>> noisy = torch.randn(1, 9, 9, 9, generator=torch.manual_seed(0))
    >>> untrained = apply_denoising(GatedUNet(width=4, depth=2), noisy, torch.ones(5))
    >>> wiener = apply_denoising(lambda maps: maps[:, 1], noisy, torch.ones(5))
    >>> torch.allclose(untrained, wiener, atol=1e-6)
    True
    """

    name = "gated-unet"
    version = 3
    takes_description = True

    def __init__(self, width: int = 32, depth: int = 3, blocks: int = 1):
        super().__init__(width=width, depth=depth, blocks=blocks)
        widths, channels = [width * 2**level for level in range(depth)], 8 * (1 + _BANDS)
        self.told = nn.Sequential(nn.Linear(2 * DESCRIBED_AT, _TOLD), nn.SiLU(), nn.Linear(_TOLD, _TOLD), nn.SiLU())
        self.first = nn.Conv3d(channels, width, 3, padding=1)
        self.down = nn.ModuleList(_Level(each, blocks) for each in widths)
        self.widen = nn.ModuleList(nn.Conv3d(a, 2 * a, 1) for a in widths[:-1])
        self.narrow = nn.ModuleList(nn.Conv3d(2 * a, a, 1) for a in widths[:-1])
        self.up = nn.ModuleList(_Level(each, blocks) for each in widths[:-1])
        self.last = _nothing_at_first(nn.Conv3d(width, channels, 3, padding=1))
        self.everywhere = _nothing_at_first(nn.Linear(_TOLD, _BANDS))

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

    def filters(self, transfer: torch.Tensor) -> torch.Tensor:
        """Filters of the three bands, as in `DenoisingNetwork`; they sum to W."""
        square, eighth = transfer**2, transfer**8
        return torch.stack([eighth, square - eighth, transfer - square], 1)

    def forward(self, maps: torch.Tensor, description: torch.Tensor) -> torch.Tensor:
        """Denoised maps (batch, n, n, n) of noisy maps and bands (batch, 4, n, n, n) and descriptions (batch, 32)."""
        told = self.told(description)
        padded, inner = pad_to_multiple(maps, self.period)
        features, kept = self.first(fold_to_depth(padded)), []
        for level, blocks in enumerate(self.down):
            features = blocks(features, told)
            if level < len(self.widen):
                kept.append(features)
                features = self.widen[level](functional.avg_pool3d(features, 2))
        for level in reversed(range(len(self.up))):
            above = functional.interpolate(self.narrow[level](features), scale_factor=2, mode="nearest")
            features = self.up[level](kept[level] + above, told)
        found = unfold_from_depth(self.last(functional.silu(features)), 1 + _BANDS)[inner]
        gain = 1 + found[:, :-1] + _everywhere(self.everywhere(told))
        return (maps[:, 1:] * gain).sum(1) + found[:, -1]


class _Level(nn.ModuleList):
    """Blocks of one level."""

    def __init__(self, width: int, blocks: int):
        super().__init__(_Block(width) for _ in range(blocks))

    def forward(self, x: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        for block in self:
            x = block(x, told)
        return x


class _Block(nn.Module):
    """Residual block that adds no more than a constant at first, and is the same for all maps."""

    def __init__(self, width: int):
        super().__init__()
        self.one, self.two = (nn.Conv3d(width, width, 3, padding=1) for _ in range(2))
        nn.init.zeros_(self.two.weight)
        self.told = _nothing_at_first(nn.Linear(_TOLD, 2 * width))

    def forward(self, x: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        scale, shift = _everywhere(self.told(told)).chunk(2, 1)
        inside = self.one(functional.silu(x)) * (1 + scale) + shift
        return x + self.two(functional.silu(inside))


def _everywhere(values: torch.Tensor) -> torch.Tensor:
    """Values (batch, channels) of all voxels alike."""
    return values[:, :, None, None, None]


def _nothing_at_first(layer: nn.Conv3d | nn.Linear) -> nn.Conv3d | nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
