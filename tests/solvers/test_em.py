"""EM with a fixed Gaussian prior: monotone ascent of the log-posterior, and where it comes to rest."""

import numpy as np
import pytest
import torch

from cryoinv.geometry import SO3Grid
from cryoinv.likelihood import ExhaustiveSearch, FourierImages, MarginalLikelihood
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators.interpolation import NufftInterpolation, TrilinearInterpolation
from cryoinv.priors import GaussianPrior, PriorContext
from cryoinv.solvers import expectation_maximisation

from ..likelihood.problems import ArrayParticles, random_volume, simulate

N = 10


@pytest.fixture(scope="module")
def likelihood():
    images, _ = simulate(random_volume(N), 150, 0.05, seed=3)
    fourier = FourierImages(ArrayParticles(images), dtype=torch.float64)
    noise = RadialGaussianNoise.white(0.05, N // 2 + 1)
    return MarginalLikelihood(fourier, noise, ExhaustiveSearch(SO3Grid(1)), TrilinearInterpolation(N))


def context(statistics, iteration):
    shells = statistics.n // 2 + 1
    tau2 = torch.full((shells,), 0.5, dtype=torch.float64)
    return PriorContext(statistics.n, 1.0, torch.ones(shells), tau2, 4.0, 5.0, iteration)


def test_em_climbs(likelihood):
    values = []
    start = random_volume(N, seed=1) * 0.5
    expectation_maximisation(
        likelihood,
        start,
        GaussianPrior(),
        context,
        iterations=5,
        callback=lambda volume: values.append(likelihood.value(volume)),
    )
    assert values[0] > likelihood.value(start)
    assert np.all(np.diff(values) > -1e-3 * abs(values[0]))
    assert values[-1] > values[0]


def test_surrogate_gradient_vanishes_where_em_rests():
    """At EM's fixed point B - K x equals the prior's gradient: the solver and the diagonal surrogate agree."""
    images, _ = simulate(random_volume(N), 30, 0.5, seed=3)
    fourier = FourierImages(ArrayParticles(images), dtype=torch.float64)
    noise = RadialGaussianNoise.white(0.5, N // 2 + 1)
    scheme = NufftInterpolation(N, 1e-12)  # volumes and statistics' space correspond one to one
    likelihood = MarginalLikelihood(fourier, noise, ExhaustiveSearch(SO3Grid(0)), scheme)
    prior = GaussianPrior(tau2=torch.full((N // 2 + 1,), 0.1, dtype=torch.float64))
    volume = expectation_maximisation(likelihood, random_volume(N, seed=1), prior, context, iterations=80)
    surrogate = likelihood.exact_gradient(volume, curvature="diagonal")
    x = scheme.from_volume(volume)
    score = scheme.to_volume(-x / 0.1)
    assert float((surrogate + score).norm()) < 1e-4 * float(score.norm())


def test_reference_is_applied_before_each_e_step(likelihood):
    """Where the reference forgets the volume, the start does not matter."""
    same = random_volume(N, seed=1)
    first, second = (
        expectation_maximisation(
            likelihood, random_volume(N, seed), GaussianPrior(), context, 2, reference=lambda volume: same
        )
        for seed in (2, 3)
    )
    assert torch.equal(first, second) and float(first.norm()) > 0
