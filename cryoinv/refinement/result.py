"""What a refinement returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from cryoinv.geometry import Poses
from cryoinv.likelihood import PosteriorSummary
from cryoinv.metrics import Resolution
from cryoinv.noise import RadialGaussianNoise

if TYPE_CHECKING:
    from .gold_standard import HalfMaps

__all__ = ["RefinementObserver", "RefinementResult"]


class RefinementObserver:
    """Is told how a refinement goes; does nothing. Subclass it to show progress or to store iterates."""

    def stage(self, name: str, particles: int) -> None:
        """Begin a pass over `particles` particles."""

    def advance(self, particles: int) -> None:
        """Count so many more particles of the pass as done."""

    def half_maps(self, iteration: int, maps: HalfMaps) -> None:
        """Take the unregularised half-maps of an iteration, from 1; its record follows, unless the iteration fails."""

    def iteration(self, record: dict) -> None:
        """Take an iteration's record, a row of ``iterations.jsonl``."""


@dataclass
class RefinementResult:
    """Maps, correlations and poses of a finished refinement.

    Parameters
    ----------
    map : torch.Tensor, shape (n, n, n)
        Final map of all particles under the prior, not masked.
    half_maps : tuple of torch.Tensor, shape (n, n, n)
        Unregularised, unmasked maps of the halves.
    fsc, fsc_masked : torch.Tensor, shape (n//2+1,)
        Their FSC, whole and inside the particle's sphere.
    resolution, resolution_masked : Resolution
        Where these fall below 0.143.
    poses : Poses
        Best pose of every particle.
    halves : numpy.ndarray, shape (m,)
        Half-set, 1 or 2, of every particle.
    posterior : PosteriorSummary
        Of the last E-step.
    noise : RadialGaussianNoise
        Last noise powers.
    pixel_size : float
        Å per pixel.
    particle_diameter : float
        Å, of the sphere used.
    history : list of dict
        One record an iteration.
    converged : bool
        Whether the stopping rule was met before the most iterations allowed.
    wall_seconds : float
        Time spent, earlier legs of a resumed run included.
    warnings : list of str
        What the user should know.
    """

    map: torch.Tensor
    half_maps: tuple[torch.Tensor, torch.Tensor]
    fsc: torch.Tensor
    fsc_masked: torch.Tensor
    resolution: Resolution
    resolution_masked: Resolution
    poses: Poses
    halves: np.ndarray
    posterior: PosteriorSummary
    noise: RadialGaussianNoise
    pixel_size: float
    particle_diameter: float
    history: list[dict]
    converged: bool
    wall_seconds: float
    warnings: list[str] = field(default_factory=list)
