"""A small network that tells noisy maps from clean ones."""

from __future__ import annotations

import torch
from torch import nn

from .base import Network

__all__ = ["ConvolutionalCritic"]


class ConvolutionalCritic(Network):
    r"""Critic :math:`\Psi(v) = \mathrm{mean}_r\, \varphi(v)_r`, a convolutional network averaged over the map.

    Each :math:`\varphi_r` sees a cube of 21 voxels. The average makes the critic work in any box, and
    its slope in the root-mean-square norm :math:`\|v\|^2 = \mathrm{mean}_r v_r^2` does not depend on the box either.
    Activations are smooth, so that the gradient is.

    Parameters
    ----------
    width : int
        Channels of the first layer; twice as many follow.

    References
    ----------
    S. Lunz, O. Öktem, C.-B. Schönlieb, "Adversarial regularizers in inverse problems", NeurIPS 31 (2018) 8507-8516.

    Examples
    --------
    >>> critic = ConvolutionalCritic(width=4)
    >>> critic(torch.zeros(3, 17, 17, 17)).shape
    torch.Size([3])
    """

    name = "convolutional-critic"
    kind = "critic"
    normalisation = "band-limited to the resolution, divided by its standard deviation"

    def __init__(self, width: int = 6):
        super().__init__(width=width)
        wide = 2 * width
        self.layers = nn.Sequential(
            nn.Conv3d(1, width, 5, stride=2, padding=2),
            nn.SiLU(),
            nn.Conv3d(width, wide, 3, padding=1),
            nn.SiLU(),
            nn.Conv3d(wide, wide, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv3d(wide, wide, 3, padding=1),
            nn.SiLU(),
            nn.Conv3d(wide, 1, 1),
        )
        for name, weights in self.named_parameters():  # slopes of order one to begin with
            nn.init.kaiming_normal_(weights) if name.endswith("weight") else nn.init.zeros_(weights)

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Value of every volume: from (batch, n, n, n) to (batch,)."""
        return self.layers(volumes[:, None]).mean((1, 2, 3, 4))
