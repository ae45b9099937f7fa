"""How near each iterative M-step comes to the closed form on a Gaussian prior, with the iterations it has by default.

Statistics of simulated particles at their true poses, of the structure that ships with the package, with CTF; the prior
is the Gaussian one of the true map's power. Prints the table of `doc/solvers.rst`.

    python benchmarks/m_steps.py [--box 24] [--pixel-size 6] [--particles 500] [--snr 0.1] [--padding 2]
"""

import argparse

import numpy as np
import torch

from cryoinv.io import OpticsGroup, ParticleStack
from cryoinv.likelihood import FourierImages, known_pose_statistics
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators import TrilinearInterpolation
from cryoinv.priors import BoundPrior, GaussianPrior, PriorContext
from cryoinv.simulation import CtfDistribution, demo_structure, potential_map, simulate_particles
from cryoinv.solvers import M_STEPS, ClosedForm, m_step_from

WITH_OPTIONS = ("admm,adaptive=true", "admm,iterations=100,adaptive=true", "fista,iterations=100")
WITHOUT_D = ("gradient", "gradient,iterations=500", "l-bfgs", "l-bfgs,iterations=500")


class ValueAndGradient(BoundPrior):
    """What solvers see of a prior that is no Gaussian: value and gradient, no precision to go by."""

    def __init__(self, whole):
        super().__init__(whole.domain)
        self.whole = whole

    def _call(self, x):
        return self.whole(x)

    @property
    def gradient(self):
        return self.whole.gradient


def problem(n, pixel_size, particles, snr, padding, dtype):
    """Statistics of all particles and a context with the true map's power."""
    optics = CtfDistribution()
    volume = potential_map(demo_structure(), n, pixel_size)
    drawn = simulate_particles(volume, pixel_size, particles, snr, 0, ctf=optics)
    group = OpticsGroup("1", pixel_size, optics.voltage, optics.spherical_aberration, optics.amplitude_contrast)
    stack = ParticleStack.from_arrays(
        drawn.images(np.arange(particles)), pixel_size, optics=[group], defocus=drawn.defocus
    )
    noise = RadialGaussianNoise.white(1.0, n // 2 + 1)
    scheme = TrilinearInterpolation(n, padding)
    statistics = known_pose_statistics(FourierImages(stack, dtype=dtype), noise, drawn.poses, scheme)
    truth = torch.as_tensor(drawn.volume, dtype=dtype)
    tau2 = statistics.shell_mean(statistics.from_volume(truth).abs() ** 2)
    return statistics, PriorContext(n, pixel_size, torch.ones(n // 2 + 1), tau2, 2 * pixel_size, n * pixel_size / 2)


def measured(spec, statistics, prior, exact):
    """Iterations taken, and distance from the exact map relative to its norm."""
    told = []
    x = m_step_from(spec)(statistics, prior, told.append)
    return len(told), float(torch.linalg.vector_norm(x - exact) / torch.linalg.vector_norm(exact))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--box", type=int, default=24)
    parser.add_argument("--pixel-size", type=float, default=6.0)
    parser.add_argument("--particles", type=int, default=500)
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--padding", type=int, default=2)
    options = parser.parse_args()
    names = [name for name in M_STEPS if name not in ("closed-form", "proximal-gradient")]
    print("| M-step | iterations, single | error, single | iterations, double | error, double |")
    found = {}
    for dtype in (torch.float32, torch.float64):
        statistics, context = problem(
            options.box, options.pixel_size, options.particles, options.snr, options.padding, dtype
        )
        prior = GaussianPrior().bind(statistics, context)
        exact = ClosedForm()(statistics, prior)
        for spec in (*names, *WITH_OPTIONS):
            found.setdefault(spec, []).append(measured(spec, statistics, prior, exact))
        for spec in WITHOUT_D:
            found.setdefault(f"{spec} without D", []).append(measured(spec, statistics, ValueAndGradient(prior), exact))
    for spec, results in found.items():
        print(f"| {spec} | " + " | ".join(f"{count} | {error:.1e}" for count, error in results) + " |")


if __name__ == "__main__":
    main()
