"""What a denoiser or prior may know beside its own half's data: radial quantities only, so no voxel crosses halves."""

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
    trust : torch.Tensor, shape (n//2+1,), optional
        What the inflation guard leaves of the confidence in a denoiser, from 0 to 1 a shell; None where it is off.
    """

    n: int
    pixel_size: float
    fsc: torch.Tensor
    tau2: torch.Tensor
    resolution: float
    particle_radius: float
    iteration: int = 1
    trust: torch.Tensor | None = None

    @classmethod
    def nominal(
        cls, n: int, pixel_size: float, resolution: float, particle_radius: float | None = None
    ) -> PriorContext:
        r"""Context of a map of stated resolution d that no half-maps tell of: :math:`FSC = 1 / (1 + 6 (d/s)^8)`.

        The FSC at resolution s is 1/2 at 1.25 d and 0.143 at d; τ² is one.

        Parameters
        ----------
        n, pixel_size, resolution
            As above.
        particle_radius : float, optional
            Å; four tenths of the box by default.

        Examples
        --------
        >>> context = PriorContext.nominal(32, 3.0, resolution=12.0)
        >>> [round(float(context.fsc[shell]), 2) for shell in (2, 6, 8)]
        [1.0, 0.62, 0.14]
        """
        position = torch.arange(n // 2 + 1, dtype=torch.float64) * resolution / (n * pixel_size)
        fsc = 1 / (1 + 6 * position**8)
        radius = 0.4 * n * pixel_size if particle_radius is None else particle_radius
        return cls(n, pixel_size, fsc, torch.ones_like(fsc), resolution, radius)
