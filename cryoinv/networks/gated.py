"""A small denoising network around a Wiener-filtered map."""

from __future__ import annotations

import torch
from torch import nn

from .base import Network

__all__ = ["GatedResidualNetwork"]


class GatedResidualNetwork(Network):
    """Compact residual convolutional network that gives a gate and a residual for every voxel.

    The last layer is zero at first: an untrained network gates evenly and adds nothing.

    Parameters
    ----------
    width : int
        Channels.
    depth : int
        Residual blocks of two convolutions each.

    Examples
    --------
    >>> GatedResidualNetwork(width=4, depth=1)(torch.zeros(1, 2, 9, 9, 9)).shape
    torch.Size([1, 2, 9, 9, 9])
    """

    name = "gated-residual"
    kind = "denoiser"
    normalisation = "x/s over max(1, its standard deviation) and Wx/s, with s the standard deviation of Wx"

    def __init__(self, width: int = 16, depth: int = 4):
        super().__init__(width=width, depth=depth)
        self.first = nn.Conv3d(2, width, 3, padding=1)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(depth))
        self.last = nn.Conv3d(width, 2, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Gate and residual, (batch, 2, n, n, n), of the map and its Wiener-filtered form, (batch, 2, n, n, n)."""
        features = self.first(maps)
        for block in self.blocks:
            features = features + block(features)
        return self.last(features)


class _Block(nn.Sequential):
    def __init__(self, width: int):
        super().__init__(
            nn.GroupNorm(1, width),
            nn.SiLU(),
            nn.Conv3d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv3d(width, width, 3, padding=1),
        )
