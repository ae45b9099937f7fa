"""The shipped critic on a real structure at known poses: the map it leads to against those without it."""

import itertools

import numpy as np
import pytest
import torch

from cryoinv.io import ParticleStack
from cryoinv.likelihood import FourierImages, known_pose_statistics
from cryoinv.metrics import fourier_shell_correlation
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators.interpolation import interpolation_scheme
from cryoinv.priors import AdversarialRegulariser, GaussianPrior, PriorContext
from cryoinv.refinement.gold_standard import resolution_of, tau2_from_fsc
from cryoinv.simulation import demo_structure, potential_map, simulate_particles
from cryoinv.solvers import ClosedForm

N, PIXEL = 32, 5.0


@pytest.fixture(scope="module")
def problem():
    """Statistics of one half, what the halves tell together, and the truth."""
    simulated = simulate_particles(potential_map(demo_structure(), N, PIXEL), PIXEL, 300, snr=0.05, seed=1)
    images = FourierImages(ParticleStack.from_arrays(simulated.images(np.arange(300)), PIXEL))
    noise = RadialGaussianNoise.white(1.0, shells=N // 2 + 1)
    halves = [
        known_pose_statistics(images, noise, simulated.poses, interpolation_scheme(N), np.arange(half, 300, 2))
        for half in (0, 1)
    ]
    fsc = fourier_shell_correlation(*[half.to_volume(half.unregularised()) for half in halves])
    resolution = float(resolution_of(fsc, N, PIXEL).angstrom)
    context = PriorContext(N, PIXEL, fsc, tau2_from_fsc(fsc, halves[0]), resolution, 60.0)
    return halves[0], context, torch.as_tensor(simulated.volume)


def minimised(statistics, bound, iterations, step):
    """Iterates of forward steps of the prior and backward steps of the data, in the metric of the Gaussian part."""
    B, K = statistics.data, statistics.curvature()
    M = (bound.damping + K.mean()) / step
    x, iterates = statistics.unregularised(), []
    for _ in range(iterations):
        x = (B + M * x - bound.gradient(statistics.space.element(x)).data) / (K + M)
        iterates.append(x)
    return iterates


def objective(statistics, bound, x):
    inner = statistics.space.weighting.inner
    data = 0.5 * inner(x, statistics.curvature() * x) - inner(statistics.data, x)
    return float(data) + float(bound(statistics.space.element(x)))


@pytest.mark.slow
def test_the_map_is_nearer_the_truth_and_the_iteration_settles(problem):
    statistics, context, truth = problem
    bound = AdversarialRegulariser().bind(statistics, context)
    iterates = minimised(statistics, bound, 20, 0.25)

    def error(x):
        return float((statistics.to_volume(x) - truth).norm() / truth.norm())

    gaussian = ClosedForm()(statistics, GaussianPrior().bind(statistics, context))
    errors = [error(x) for x in (statistics.unregularised(), gaussian, iterates[-1])]
    assert errors[2] < errors[1] < errors[0]
    values = [objective(statistics, bound, x) for x in iterates]
    assert all(later <= earlier + 1e-3 * abs(earlier) for earlier, later in itertools.pairwise(values))
    assert float((iterates[-1] - iterates[-2]).norm()) < 0.02 * float(iterates[-1].norm())


def test_the_shipped_critic_puts_the_truth_below_noisier_maps(problem):
    statistics, context, truth = problem
    prior = AdversarialRegulariser()
    gaussian = statistics.to_volume(ClosedForm()(statistics, GaussianPrior().bind(statistics, context)))
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    noisy = [truth + share * truth.std() * noise for share in (0.0, 1.0, 2.0)]
    values = [float(prior.value(volume, context)) for volume in (*noisy, gaussian)]
    assert values[0] < values[1] < values[2] and values[0] < values[3]
