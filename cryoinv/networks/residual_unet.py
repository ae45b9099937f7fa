"""The U-Net of Kimanius et al. (2020)."""

from __future__ import annotations

import itertools

import torch
from torch import nn

from .base import DenoisingNetwork
from .blocks import pad_to_multiple

__all__ = ["ResidualUNet"]


class ResidualUNet(DenoisingNetwork):
    r"""U-Net that learns what to take off the noisy map, :math:`y = x - h(x)`, as the paper has it.

    Stages of two blocks of batch normalisation, ReLU and convolution; max-pooling leads down, transposed convolutions
    up, and every stage is joined to the one above as further channels. It sees the noisy map alone, not the filtered
    one, and its output is in units of the noisy map.

    The paper states neither widths nor kernels: they are ours. Batch normalisation uses the averages of training.

    Parameters
    ----------
    width : int
        Channels of the first stage; every stage below has twice as many, at most eight times `width`.
    depth : int
        Times that the grid is halved.

    References
    ----------
    D. Kimanius et al. (2020), section 3.1. O. Ronneberger, P. Fischer, T. Brox, MICCAI 9351 (2015) 234-241. K. Zhang et
    al., IEEE Trans. Image Process. 26 (2017) 3142-3155, on residual learning.

    Examples
    --------
    >>> ResidualUNet(width=2, depth=2).eval()(torch.zeros(1, 2, 9, 9, 9)).shape
    torch.Size([1, 9, 9, 9])
    """

    name = "residual-unet"
    unit = "noisy"

    def __init__(self, width: int = 16, depth: int = 5):
        super().__init__(width=width, depth=depth)
        widths = [width * min(2**level, 8) for level in range(depth + 1)]
        self.down = nn.ModuleList(_stage(a, b) for a, b in zip([1, *widths], widths, strict=False))
        self.rise = nn.ModuleList(
            nn.ConvTranspose3d(low, high, 2, stride=2) for high, low in itertools.pairwise(widths)
        )
        self.up = nn.ModuleList(_stage(2 * each, each) for each in widths[:-1])
        self.last = nn.Conv3d(width, 1, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    @property
    def reach(self) -> int:
        """Those of all convolutions, and one less than the widest cube, in which a voxel may be at either end."""
        levels = sum(2 * 2**level * (2 if level < self.sizes["depth"] else 1) for level in range(len(self.down)))
        return levels + self.period - 1

    @property
    def period(self) -> int:
        """Width of the widest cube that becomes one cell."""
        return 2 ** self.sizes["depth"]

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Denoised maps (batch, n, n, n) of noisy and filtered ones (batch, 2, n, n, n)."""
        features, inner = pad_to_multiple(maps[:, :1], self.period)
        kept: list[torch.Tensor] = []
        for level, stage in enumerate(self.down):
            features = stage(features if level == 0 else nn.functional.max_pool3d(features, 2))
            kept.append(features)
        for level in reversed(range(len(self.up))):
            features = self.up[level](torch.cat([kept[level], self.rise[level](features)], 1))
        return maps[:, 0] - self.last(features)[inner][:, 0]


def _stage(channels: int, width: int) -> nn.Sequential:
    """Two blocks; the first map has one channel, which is not to be normalised: it is by its scale already."""
    layers: list[nn.Module] = []
    for inside in (channels, width):
        layers += [nn.BatchNorm3d(inside), nn.ReLU()] if inside > 1 else []
        layers += [nn.Conv3d(inside, width, 3, padding=1)]
    return nn.Sequential(*layers)
