"""What a prior may know beside its own half's statistics: radial quantities only, so no voxel crosses halves."""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["PriorContext"]


@dataclass(frozen=True)
class PriorContext:
    r"""Radial quantities of one iteration.

    Their tensors are on the device of the statistics; what a prior makes itself goes there too, for instance
    ``torch.arange(n // 2 + 1, device=context.tau2.device)``.

    Parameters
    ----------
    n : int
        Box size.
    pixel_size : float
        Å per pixel.
    fsc : torch.Tensor, shape (n//2+1,)
        Half-map FSC of the unregularised, unmasked maps.
    tau2 : torch.Tensor, shape (n//2+1,)
        Signal power :math:`\tau^2` per image shell in the units of the statistics' space.
    resolution : float
        Å at which the half-map FSC falls below 0.143.
    particle_radius : float
        Radius in Å of the sphere that holds the particle.
    iteration : int
        Number of the iteration, from 1.
    """

    n: int
    pixel_size: float
    fsc: torch.Tensor
    tau2: torch.Tensor
    resolution: float
    particle_radius: float
    iteration: int = 1
