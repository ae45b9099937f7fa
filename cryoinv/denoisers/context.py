"""What a denoiser or prior may know beside its own half's data: radial quantities only, so no voxel crosses halves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

__all__ = ["CURVES", "PriorContext"]

CURVES = ("fsc", "tau2", "trust", "fsc_masked")
"""Fields that are curves by shell."""


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
    fsc_masked : torch.Tensor, shape (n//2+1,), optional
        Half-map FSC of the unregularised maps inside the particle's sphere; None where nobody measured it.
    """

    n: int
    pixel_size: float
    fsc: torch.Tensor
    tau2: torch.Tensor
    resolution: float
    particle_radius: float
    iteration: int = 1
    trust: torch.Tensor | None = None
    fsc_masked: torch.Tensor | None = None

    @property
    def fsc_inside(self) -> torch.Tensor:
        r"""FSC inside the particle's sphere: as measured, or what `fsc` of the whole box comes to there.

        Noise fills the box, signal only the fraction v of it that is the sphere: F of the box is
        :math:`F / (F + v\,(1 - F))` in the sphere, as a signal-to-noise ratio that is 1/v times as large has it.
        """
        if self.fsc_masked is not None:
            return self.fsc_masked
        filled = min(1.0, 4 / 3 * math.pi * (self.particle_radius / (self.n * self.pixel_size)) ** 3)
        fsc = self.fsc.clamp(0, 1)
        return fsc / (fsc + filled * (1 - fsc)).clamp(min=1e-12)

    def to(self, device: torch.device | str) -> PriorContext:
        """Return the same with all curves on a device."""
        return self.with_curves(lambda curve: curve.to(device))

    def with_curves(self, change: Callable[[torch.Tensor], torch.Tensor], **others: Any) -> PriorContext:
        """Return the same with every curve changed alike.

        Parameters
        ----------
        change : callable
            From a curve, shape (n//2+1,), to what takes its place.
        **others
            Other fields, as they are to be.

        Returns
        -------
        PriorContext
        """
        curves = {name: getattr(self, name) for name in CURVES}
        changed: dict[str, Any] = {name: change(curve) for name, curve in curves.items() if curve is not None}
        return replace(self, **changed, **others)

    @classmethod
    def nominal(
        cls, n: int, pixel_size: float, resolution: float, particle_radius: float | None = None
    ) -> PriorContext:
        r"""Context of a map of stated resolution d that no half-maps tell of: :math:`FSC = 1 / (1 + 6 (d/s)^8)`.

        The FSC at resolution s is 1/2 at 1.25 d and 0.143 at d, for the whole box and in the sphere; τ² is one.

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
        return cls(n, pixel_size, fsc, torch.ones_like(fsc), resolution, radius, fsc_masked=fsc)
