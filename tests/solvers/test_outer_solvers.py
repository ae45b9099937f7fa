"""EM and the mini-batch gradient solvers: one likelihood, one prior, one fixed point at equal curvature."""

import functools
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cryoinv.denoisers import LowPass
from cryoinv.errors import InputError
from cryoinv.geometry import SO3Grid
from cryoinv.likelihood import ExhaustiveSearch, FourierImages, MarginalLikelihood, own_statistics
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators.interpolation import NufftInterpolation, TrilinearInterpolation
from cryoinv.priors import RED, BoundPrior, GaussianPrior, Prior, PriorContext
from cryoinv.solvers import (
    EM,
    SGD,
    Adam,
    ClosedForm,
    KGradient,
    StopOnPlateau,
    Store,
    batches_of,
    expectation_maximisation,
    solver_from,
    stochastic_gradient,
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


@pytest.mark.parametrize("solver", FULL, ids=repr)
@pytest.mark.parametrize("name", ["trilinear", "nufft"])
def test_gradient_solvers_rest_where_em_rests(name, solver):
    likelihood, rest = em_rest(name)
    assert distance(epochs(solver, likelihood, rest, 4), rest) < 1e-9


@pytest.mark.parametrize(
    ("name", "solver", "count", "within"),
    [
        ("trilinear", KGradient(1, 1, 0), 30, 1e-5),
        ("nufft", KGradient(0.5, 1, 0), 30, 1e-6),
        ("trilinear", Adam(0.1, batches=1, decay=0), 30, 1e-5),
        ("nufft", Adam(0.1, batches=1, decay=0), 12, 1e-6),
        ("nufft", SGD(1, 0.5, 1, 0), 60, 1e-2),
    ],
)
def test_gradient_solvers_come_to_where_em_rests(name, solver, count, within):
    likelihood, rest = em_rest(name)
    away = away_from(likelihood, rest, 0.2)
    assert distance(away, rest) > 0.15
    assert distance(epochs(solver, likelihood, away, count), rest) < within


def test_the_exact_gradient_vanishes_elsewhere():
    """EM's fixed point belongs to the lumped K: with the exact curvature N the map that is reached is another one."""
    likelihood, rest = em_rest("nufft")
    scheme = likelihood.interpolation
    statistics = likelihood.expectation(scheme.to_volume(rest))
    precision = GaussianPrior().bind(statistics, context(statistics, 1)).precision

    def gradient(x, curvature):
        ascent = likelihood.exact_gradient(scheme.to_volume(x), curvature=curvature)
        return scheme.from_volume(ascent) - precision * x

    pull = float((precision * rest).norm())
    assert float(gradient(rest, "diagonal").norm()) < 1e-9 * pull
    assert float(gradient(rest, "exact").norm()) > 0.05 * pull
    x = rest
    for _ in range(120):
        x = x + 0.5 * gradient(x, "exact") / (statistics.curvature() + precision)
    assert float(gradient(x, "exact").norm()) < 0.02 * pull
    assert distance(x, rest) > 0.02


def test_the_noise_of_batches_averages_out():
    likelihood, rest = em_rest("many")
    solver = KGradient(0.3, batches=4, decay=1)
    early = epochs(solver, likelihood, rest, 2)
    late = epochs(solver, likelihood, early, 30, first=3, seed=1)
    assert distance(early, rest) > 0.02
    assert distance(late, rest) < 0.015


@pytest.mark.parametrize("solver", [SGD(batches=4), Adam(batches=4), KGradient(batches=4)], ids=repr)
def test_every_solver_draws_near_with_batches(solver):
    likelihood, rest = em_rest("many")
    away = away_from(likelihood, rest, 0.4)
    assert distance(epochs(solver, likelihood, away, 8), rest) < 0.9 * distance(away, rest)


@pytest.mark.parametrize("name", ["trilinear", "nufft"])
def test_full_kgrad_is_em_bit_for_bit(name):
    likelihood, _ = em_rest(name)
    start = random_volume(N, seed=1)
    em = expectation_maximisation(likelihood, start, GaussianPrior(), context, 4)
    for solver in (KGradient(1, 1, 0), EM()):
        assert torch.equal(stochastic_gradient(likelihood, start, GaussianPrior(), context, 4, solver), em)


def test_em_is_em_for_a_prior_that_starts_from_the_previous_map():
    likelihood, _ = em_rest("trilinear")
    start, prior = random_volume(N, seed=1), RED(LowPass(4.0), input="previous")
    em = expectation_maximisation(likelihood, start, prior, context, 3)
    torch.testing.assert_close(stochastic_gradient(likelihood, start, prior, context, 3, EM()), em)


@pytest.mark.parametrize("solver", [SGD(batches=3), Adam(batches=3), KGradient(batches=3)], ids=repr)
def test_the_seed_decides(solver):
    likelihood, _ = em_rest("trilinear")
    first, again, other = (
        stochastic_gradient(likelihood, random_volume(N, seed=1), GaussianPrior(), context, 3, solver, seed=seed)
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_statistics_are_those_of_all_particles_and_priors_see_them_at_full_size():
    likelihood, rest = em_rest("trilinear")
    bound_to = []

    def bind(statistics):
        bound_to.append(statistics)
        return GaussianPrior().bind(statistics, context(statistics, 1))

    parts = [np.arange(10), np.arange(0), np.arange(10, PARTICLES)]

    def expectation(volume, particles):
        return own_statistics(likelihood, volume, particles)

    x, told = rest, []
    statistics, x = KGradient().epoch(
        expectation, lambda bound, x: likelihood.interpolation.to_volume(x), x, parts, bind, callback=told.append
    )
    assert statistics.particles.indices.tolist() == list(range(PARTICLES)) and (len(told), len(bound_to)) == (2, 4)
    first = likelihood.expectation(likelihood.interpolation.to_volume(rest), parts[0])
    torch.testing.assert_close(bound_to[0].weight, first.weight * PARTICLES / 10)
    torch.testing.assert_close(bound_to[0].data, first.data * PARTICLES / 10)
    assert told[-1] is x


def test_reference_is_told_the_prior_bound_to_all_batches_so_far():
    likelihood, rest = em_rest("trilinear")
    seen, bound = [], []

    def reference(prior, x):
        seen.append(prior)
        return likelihood.interpolation.to_volume(x)

    def bind(statistics):
        bound.append(GaussianPrior().bind(statistics, context(statistics, 1)))
        return bound[-1]

    KGradient().epoch(likelihood.expectation, reference, rest, np.split(np.arange(PARTICLES), 3), bind)
    # Bound to all batches so far, at full size, for the last touch; to the batch alone for its step.
    assert seen == [None, bound[1], bound[3]] and len(bound) == 5


@pytest.mark.parametrize("solver", [EM(), SGD(), Adam(), KGradient()], ids=repr)
def test_the_first_epoch_leaves_the_map_to_an_m_step(solver):
    likelihood, rest = em_rest("trilinear")
    volume = random_volume(N, seed=1)
    statistics, x = solver.epoch(
        likelihood.expectation, lambda bound, x: volume, None, np.split(np.arange(PARTICLES), 3), None
    )
    assert x is None and torch.equal(statistics.data, likelihood.expectation(volume).data)


class Bare(Prior):
    """A Gaussian prior that has a gradient and tells nothing else."""

    has_gradient = True

    def bind(self, statistics, context):
        bound = BoundPrior(statistics.space)
        type_ = type("Bound", (BoundPrior,), {"gradient": GaussianPrior().bind(statistics, context).gradient})
        bound.__class__ = type_
        return bound


@pytest.mark.parametrize("solver", [SGD(batches=2), Adam(batches=2), KGradient(batches=2)], ids=repr)
def test_without_a_precision_the_signal_power_stands_in(solver):
    likelihood, rest = em_rest("trilinear")
    away = away_from(likelihood, rest, 0.2)
    expected = epochs(solver, likelihood, away, 2)
    assert distance(epochs(solver, likelihood, away, 2, prior=Bare()), expected) < 1e-12
    with pytest.raises(InputError, match="tau2 is needed"):
        solver.epoch(
            likelihood.expectation,
            lambda bound, x: likelihood.interpolation.to_volume(x),
            rest,
            [np.arange(PARTICLES)],
            lambda statistics: Bare().bind(statistics, context(statistics, 1)),
        )


@pytest.mark.parametrize("solver", [SGD(batches=2), Adam(batches=2), KGradient(batches=2)], ids=repr)
def test_shells_without_signal_do_not_move_in_single_precision(solver):
    images, _ = simulate(random_volume(N), PARTICLES, 0.5, seed=3)
    fourier = FourierImages(ArrayParticles(images), dtype=torch.float32)
    noise = RadialGaussianNoise.white(0.5, SHELLS)
    likelihood = MarginalLikelihood(fourier, noise, ExhaustiveSearch(SO3Grid(0)), TrilinearInterpolation(N))
    tau2 = TAU2.clone()
    tau2[-2:] = 1e-30

    def dead_context(statistics, iteration):
        return replace(context(statistics, iteration), tau2=tau2)

    volumes = []
    stochastic_gradient(
        likelihood, random_volume(N, seed=1), GaussianPrior(), dead_context, 4, solver, callback=volumes.append
    )
    statistics = likelihood.expectation(volumes[-1])
    power = statistics.shell_mean(statistics.from_volume(volumes[-1]).abs() ** 2)
    assert volumes[-1].dtype == torch.float32 and bool(torch.isfinite(volumes[-1]).all())
    assert float((volumes[-1] - volumes[0]).norm()) > 0
    assert float(power[-2:].max()) < 1e-2 * float(power[1])


def test_a_callback_can_stop_the_epochs():
    likelihood, _ = em_rest("trilinear")
    store = Store()
    stopped = stochastic_gradient(
        likelihood, random_volume(N), GaussianPrior(), context, 9, EM(), callback=store & StopOnPlateau(10.0, 2)
    )
    assert len(store.results) == 3 and torch.equal(store.results[-1], stopped)


def test_a_prior_without_a_gradient_is_refused_by_name():
    class ProximalOnly(Prior):
        has_proximal = True

    with pytest.raises(InputError, match=r"solver Adam needs a prior with gradient; ProximalOnly\(\) offers proximal"):
        Adam().check(ProximalOnly())
    EM().check(ProximalOnly())


@pytest.mark.parametrize(
    "spec",
    ["sgd,step=0", "sgd,batches=0", "sgd,momentum=1", "adam,beta1=1", "adam,epsilon=0", "kgrad,decay=2"],
)
def test_parameters_out_of_range_are_refused(spec):
    with pytest.raises(InputError, match="expected"):
        solver_from(spec)


@given(st.integers(0, 40), st.integers(1, 12), st.integers(0, 5))
def test_batches_are_a_partition(particles, count, seed):
    numbers = 7 * np.arange(particles)
    parts = batches_of(numbers, count, np.random.default_rng(seed))
    sizes = [len(part) for part in parts]
    assert len(parts) == count and max(sizes) - min(sizes) <= 1
    assert np.sort(np.concatenate(parts)).tolist() == numbers.tolist()


class Scaled(GaussianPrior):
    """A Gaussian prior whose last touch halves the map."""

    def bind(self, statistics, context):
        bound = super().bind(statistics, context)
        bound.post_process = lambda volume: 0.5 * volume
        return bound


@pytest.mark.parametrize("solver", [EM(), KGradient(1, 1, 0)], ids=repr)
def test_the_last_touch_of_a_prior_is_what_e_steps_see(solver):
    likelihood, _ = em_rest("trilinear")
    start, whole, store = random_volume(N), GaussianPrior(tau2=TAU2), Store()
    found = stochastic_gradient(likelihood, start, Scaled(tau2=TAU2), context, 2, solver, callback=store)
    assert torch.equal(found, expectation_maximisation(likelihood, start, Scaled(tau2=TAU2), context, 2))
    torch.testing.assert_close(
        found, 0.5 * expectation_maximisation(likelihood, store.results[0], whole, context, 1), rtol=1e-12, atol=1e-12
    )
