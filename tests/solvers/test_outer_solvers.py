"""EM and the mini-batch gradient solvers: one likelihood, one prior, one fixed point at equal curvature."""

import functools
from functools import partial

import numpy as np
import torch

from cryoinv.geometry import SO3Grid
from cryoinv.likelihood import ExhaustiveSearch, FourierImages, MarginalLikelihood
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators.interpolation import NufftInterpolation, TrilinearInterpolation
from cryoinv.priors import GaussianPrior, PriorContext
from cryoinv.solvers import (
    SGD,
    Adam,
    ClosedForm,
    KGradient,
    batches_of,
    expectation_maximisation,
)

from ..likelihood.problems import ArrayParticles, random_volume, simulate

N, PARTICLES = 8, 24
SHELLS = N // 2 + 1
TAU2 = torch.linspace(0.3, 0.05, SHELLS, dtype=torch.float64)


def problem(scheme, variance, count=PARTICLES):
    images, _ = simulate(random_volume(N), count, variance, seed=3)
    fourier = FourierImages(ArrayParticles(images), dtype=torch.float64)
    noise = RadialGaussianNoise.white(variance, SHELLS)
    return MarginalLikelihood(fourier, noise, ExhaustiveSearch(SO3Grid(0)), scheme)


PROBLEMS = {
    "trilinear": partial(problem, TrilinearInterpolation(N), 0.5),
    "nufft": partial(problem, NufftInterpolation(N, 1e-13), 0.05),
    "many": partial(problem, TrilinearInterpolation(N), 0.5, 96),
}


def context(statistics, iteration):
    return PriorContext(N, 1.0, torch.ones(SHELLS), TAU2, 4.0, 5.0, iteration)


@functools.cache
def em_rest(name):
    """A problem, and the spectrum at which EM rests in it."""
    likelihood = PROBLEMS[name]()
    volume = expectation_maximisation(likelihood, random_volume(N, seed=1), GaussianPrior(), context, 60)
    statistics = likelihood.expectation(volume)
    return likelihood, ClosedForm()(statistics, GaussianPrior().bind(statistics, context(statistics, 1)))


def distance(a, b):
    return float((a - b).norm() / b.norm())


def epochs(solver, likelihood, x, count, first=1, seed=0, prior=None):
    """Map after some epochs from a given x."""
    rng, total = np.random.default_rng(seed), len(likelihood.images)
    prior, curvature = GaussianPrior() if prior is None else prior, None
    for iteration in range(first, first + count):
        statistics, x = solver.epoch(
            likelihood.expectation,
            lambda bound, x: likelihood.interpolation.to_volume(x),
            x,
            batches_of(np.arange(total), solver.batches, rng),
            lambda statistics: prior.bind(statistics, context(statistics, 1)),
            TAU2,
            total,
            iteration,
            curvature,
        )
        curvature = statistics.curvature()
    return x


def away_from(likelihood, x, part):
    """Another map at some distance, in the same basin."""
    noise = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(0))
    scheme = likelihood.interpolation
    return scheme.from_volume(scheme.to_volume(x + part * x.norm() / noise.norm() * noise))


FULL = [SGD(1, 0.5, 1, 0), Adam(0.1, batches=1, decay=0), KGradient(1, 1, 0), KGradient(0.3, 1, 0.5)]

if __name__ == "__main__":
    import time
    for name in PROBLEMS:
        l, rest = em_rest(name)
        away = away_from(l, rest, .2)
        print(name, distance(away, rest), distance(epochs(KGradient(1,1,0),l,rest,1),rest))
        for s in [SGD(1,.5,1,0), Adam(.1,batches=1,decay=0), Adam(.1,batches=1,decay=.5)]:
            t=time.time()
            print(s, distance(epochs(s, l, rest, 3), rest), [f'{distance(epochs(s,l,away,k),rest):.1e}' for k in (10,30,100)], time.time()-t, flush=True)
        for s in [SGD(batches=4), Adam(batches=4), KGradient(.3,batches=4),SGD(1,batches=4,decay=1), Adam(.1,batches=4,decay=1), KGradient(.3,batches=4,decay=1)]:
            t=time.time()
            print(s, distance(epochs(s, l, rest, 3), rest), [f'{distance(epochs(s,l,away,k),rest):.1e}' for k in (5,20)], time.time()-t, flush=True)
