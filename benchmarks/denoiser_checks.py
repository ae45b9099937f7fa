"""The checks of every denoiser that ships, on a noisy half-map of known truth.

Two half-maps are reconstructed at the true poses from simulated particles with CTF of the structure that ships with the
package, or of one given; the denoisers meet the first, and the FSC of the two. Prints the tables of `doc/denoisers.rst`.

    python benchmarks/denoiser_checks.py [--box 48] [--particles 1000] [--snr 0.05] [--seed 0] [--json]
"""


import numpy as np
import torch

from cryoinv.denoisers import PriorContext
from cryoinv.io import OpticsGroup, ParticleStack
from cryoinv.likelihood import FourierImages, known_pose_statistics
from cryoinv.metrics import fourier_shell_correlation, resolution_at
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators import TrilinearInterpolation
from cryoinv.simulation import CtfDistribution, model_diameter, potential_map, simulate_particles
from cryoinv.spaces import centred_rfft, radial_mean

# What a denoiser made of others is shown with; any other name stands for its defaults.
MADE_OF_OTHERS = {
    "compose": "compose,first=tv,then=lowpass",
    "rotations": "rotations,denoiser=wavelet",
    "patches": "patches,denoiser=wiener,tile=24",
}


def half_maps(model, n, pixel_size, particles, snr, seed=0):
    """Truth and two unregularised half-maps in its grey scale (double precision), and their context."""
    optics = CtfDistribution()
    drawn = simulate_particles(potential_map(model, n, pixel_size), pixel_size, 2 * particles, snr, seed, ctf=optics)
    group = OpticsGroup("1", pixel_size, optics.voltage, optics.spherical_aberration, optics.amplitude_contrast)
    stack = ParticleStack.from_arrays(
        drawn.images(np.arange(len(drawn))), pixel_size, optics=[group], defocus=drawn.defocus
    )
    noise = RadialGaussianNoise.white(1.0, n // 2 + 1)
    halves = [
        known_pose_statistics(
            FourierImages(stack), noise, drawn.poses, TrilinearInterpolation(n, 2), np.arange(half, len(drawn), 2)
        )
        for half in range(2)
    ]
    maps = [half.to_volume(half.unregularised()).double() for half in halves]
    fsc = fourier_shell_correlation(*maps)
    power = radial_mean(centred_rfft(maps[0]).abs() ** 2, n)
    resolution = resolution_at(fsc, 0.143, n, pixel_size).angstrom
    radius = min(model_diameter(model) / 2 + 3 * pixel_size, n * pixel_size / 2)
    context = PriorContext(n, pixel_size, fsc, fsc.clamp(1e-3, 0.999) * power, resolution, radius)
    return torch.from_numpy(drawn.volume).double(), maps, context
