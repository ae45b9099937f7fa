"""EM and the mini-batch gradient solvers: one likelihood, one prior, one fixed point at equal curvature."""

import numpy as np
import pytest
import torch

from cryoinv.geometry import SO3Grid
from cryoinv.likelihood import ExhaustiveSearch, FourierImages, MarginalLikelihood
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators.interpolation import NufftInterpolation, TrilinearInterpolation
from cryoinv.priors import GaussianPrior, PriorContext
from cryoinv.solvers import (
    EM,
    SGD,
    Adam,
    ClosedForm,
    KGradient,
    batches_of,
    expectation_maximisation,
    stochastic_gradient,
)

from ..likelihood.problems import ArrayParticles, random_volume, simulate

N, VARIANCE, TAU2 = 10, 0.5, 0.1


@pytest.fixture(scope="module", params=["nufft", "trilinear"])
def likelihood(request):
    images, _ = simulate(random_volume(N), 48, VARIANCE, seed=3)
    fourier = FourierImages(ArrayParticles(images), dtype=torch.float64)
    noise = RadialGaussianNoise.white(VARIANCE, N // 2 + 1)
    scheme = NufftInterpolation(N, 1e-12) if request.param == "nufft" else TrilinearInterpolation(N)
    return MarginalLikelihood(fourier, noise, ExhaustiveSearch(SO3Grid(0)), scheme)


def context(statistics, iteration):
    shells = statistics.n // 2 + 1
    tau2 = torch.full((shells,), TAU2, dtype=torch.float64)
    return PriorContext(statistics.n, 1.0, torch.ones(shells), tau2, 4.0, 5.0, iteration)


def distance(a, b):
    return float((a - b).norm() / b.norm())


@pytest.fixture(scope="module")
def rest(likelihood):
    """Where EM comes to rest: (volume, spectrum)."""
    volume = expectation_maximisation(likelihood, random_volume(N, seed=1), GaussianPrior(), context, 150)
    statistics = likelihood.expectation(volume)
    return ClosedForm()(statistics, GaussianPrior().bind(statistics, context(statistics, 1)))


def epochs(solver, likelihood, x, count, first=1, seed=0):
    """Epochs from a given x, with the prior of `context`."""
    rng, total = np.random.default_rng(seed), len(likelihood.images)
    tau2 = torch.full((N // 2 + 1,), TAU2, dtype=torch.float64)
    for iteration in range(first, first + count):
        _, x = solver.epoch(
            likelihood.expectation,
            lambda prior, x: likelihood.interpolation.to_volume(x),
            x,
            batches_of(np.arange(total), solver.batches, rng),
            lambda statistics: GaussianPrior().bind(statistics, context(statistics, 1)),
            tau2,
            total,
            iteration,
        )
    return x


FULL = [SGD(0.9, 0.5, 1, 0), Adam(0.1, batches=1, decay=0), KGradient(1, 1, 0)]


@pytest.mark.parametrize("solver", FULL, ids=repr)
def test_gradient_solvers_rest_where_em_rests(likelihood, rest, solver):
    assert distance(epochs(solver, likelihood, rest, 3), rest) < 1e-6


def test_full_kgrad_is_em_bit_for_bit(likelihood):
    start = random_volume(N, seed=1)
    em = expectation_maximisation(likelihood, start, GaussianPrior(), context, 4)
    solver = KGradient(1, 1, 0)
    assert torch.equal(stochastic_gradient(likelihood, start, GaussianPrior(), context, 4, solver), em)
    assert torch.equal(stochastic_gradient(likelihood, start, GaussianPrior(), context, 4, EM()), em)
