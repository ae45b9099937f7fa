"""Pairs of a true map and coloured Gaussian noise, the paper's simplest model of what a refinement leaves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cryoinv.networks.apply import filtered
from cryoinv.operators import low_pass
from cryoinv.spaces.spectrum import centred_rfft, radial_mean

from .pairs import Pairs, windowed
from .truth import TruthMaker, told_radius

__all__ = ["GaussianPairs"]

_BLUR = 12.0  # Å, of the particle's envelope


@dataclass
class GaussianPairs:
    r"""Both halves of a map in noise, :math:`\tilde x_h = x + F^{-1} N^{1/2} F (m\,\epsilon_h)`, ε white.

    N is a power of the frequency, as strong as lets the FSC fall to 1/7 at a resolution whose inverse is uniform. The
    soft modulation m is 1 in the particle and lower in the solvent. Half-maps of our own refinements (39 iterations of
    eight runs on held-out structures) had exponents from -2.3 to 0.4, their median -0.1, and 0.2 to 0.7 times the noise
    amplitude in the solvent: images are spread over all poses that the posterior allows, which averages fine noise
    away.

    Parameters
    ----------
    truth : TruthMaker
        What noise is added to.
    resolutions : tuple of float
        Finest and coarsest resolution in Å.
    exponents : tuple of float
        Smallest and largest power of the frequency that N is.
    solvent : tuple of float
        Smallest and largest m in the solvent.

    References
    ----------
    D. Kimanius et al. (2020), section 3.1.
    """

    truth: TruthMaker
    resolutions: tuple[float, float] = (5.0, 26.0)
    exponents: tuple[float, float] = (-1.5, 0.4)
    solvent: tuple[float, float] = (0.2, 0.8)

    def __call__(self, rng: np.random.Generator) -> Pairs:
        """Both halves of one data set."""
        volume, structure = self.truth(rng)
        n, pixel_size = self.truth.n, self.truth.pixel_size
        fine, coarse = self.resolutions
        shell = min(max(n * pixel_size * rng.uniform(1 / coarse, 1 / fine), 1.0), n // 2 - 1.0)
        power = radial_mean(centred_rfft(volume).abs() ** 2, n)
        colour = torch.arange(n // 2 + 1, device=volume.device).clamp(min=1) ** rng.uniform(*self.exponents)
        low = int(shell)
        level = 6 * power[low : low + 2].mean() / colour[low : low + 2].mean()
        modulation = self._modulation(volume, rng.uniform(*self.solvent))
        generator = torch.Generator(volume.device).manual_seed(int(rng.integers(2**62)))
        halves = []
        for _ in range(2):
            white = torch.randn(volume.shape, generator=generator, device=volume.device)
            halves.append(volume + filtered((level * colour).sqrt().to(volume), white * modulation))
        pairs = Pairs.of_halves(torch.stack(halves), volume, pixel_size, structure.name, told_radius(structure, rng))
        return windowed(pairs, rng)

    def _modulation(self, volume: torch.Tensor, solvent: float) -> torch.Tensor:
        """From 1 in the particle to `solvent` outside, its mean square 1."""
        smooth = low_pass(volume, self.truth.pixel_size, max(_BLUR, 2 * self.truth.pixel_size))
        envelope = (smooth / (0.2 * smooth.max())).clamp(0, 1)
        modulation = solvent + (1 - solvent) * envelope
        return modulation / modulation.square().mean().sqrt()
