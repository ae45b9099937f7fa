"""A small denoising network around a Wiener-filtered map."""

from __future__ import annotations

import torch
from torch import nn

from .base import DenoisingNetwork

__all__ = ["GatedResidualNetwork"]


class GatedResidualNetwork(DenoisingNetwork):
    r"""Compact residual network that gates the Wiener map and adds to it, :math:`y = v\,\sigma(g + 2) + r`, v = Wx/s.

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
    torch.Size([1, 9, 9, 9])
    """

    name = "gated-residual"
    version = 2

    def __init__(self, width: int = 16, depth: int = 4):
        super().__init__(width=width, depth=depth)
        self.first = nn.Conv3d(2, width, 3, padding=1)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(depth))
        self.last = nn.Conv3d(width, 2, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Denoised maps (batch, n, n, n) of noisy and filtered ones (batch, 2, n, n, n)."""
        features = self.first(maps)
        for block in self.blocks:
            features = features + block(features)
        gate, residual = self.last(features).unbind(1)
        return maps[:, 1] * torch.sigmoid(gate + 2) + residual


class _Block(nn.Sequential):
    def __init__(self, width: int):
        super().__init__(
            nn.GroupNorm(1, width),
            nn.SiLU(),
            nn.Conv3d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv3d(width, width, 3, padding=1),
        )
