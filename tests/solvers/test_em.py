"""EM with a fixed Gaussian prior: monotone ascent of the log-posterior, and where it comes to rest."""

import numpy as np
import pytest
import torch

from cryoinv.denoisers import LowPass
from cryoinv.geometry import PointGroup, SO3Grid
from cryoinv.likelihood import ExhaustiveSearch, FourierImages, MarginalLikelihood
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators.interpolation import NufftInterpolation, TrilinearInterpolation
from cryoinv.priors import RED, GaussianPrior, PriorContext
from cryoinv.solvers import REDUpdate, expectation_maximisation

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


def test_em_climbs_to_rest():
    """The log-posterior never falls and its exact gradient vanishes at the end, to rounding.

    The lumped weight is the exact one, and with it the M-step, where slices need no interpolation: at the
    rotations of a cube they meet the grid. Elsewhere EM need not climb.
    """
    images, _ = simulate(random_volume(N), 60, 0.05, seed=3, shifts=np.tile([[1.0, 0.0], [0.0, -1.0]], (30, 1)))
    fourier = FourierImages(ArrayParticles(images), dtype=torch.float64)
    noise = RadialGaussianNoise.white(0.05, N // 2 + 1)
    search = ExhaustiveSearch(PointGroup("O").matrices, max_shift_pixels=1.0)
    likelihood = MarginalLikelihood(fourier, noise, search, NufftInterpolation(N, 1e-13))
    volumes = [random_volume(N, seed=1) * 0.5]
    expectation_maximisation(likelihood, volumes[0], GaussianPrior(), context, 30, callback=volumes.append)
    # Transforms are orthonormal, so the prior is that of white volumes of the power given by `context`.
    values = np.array([likelihood.value(v) - 0.5 * float((v**2).sum()) / 0.5 for v in volumes])
    assert (np.diff(values) >= -1e-12 * abs(values[0])).all()
    assert (np.diff(values)[:5] > 1e-3).all()
    score = -volumes[-1] / 0.5
    assert float((likelihood.exact_gradient(volumes[-1]) + score).norm()) < 1e-6 * float(score.norm())


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


def test_a_prior_that_starts_from_the_previous_map_is_handed_it(likelihood):
    """Eq. 16: the denoiser sees the map the E-step was taken at, not the newest B/K."""
    seen = []

    class Watched(LowPass):
        def denoise(self, volume, context):
            seen.append(volume)
            return super().denoise(volume, context)

    start = random_volume(N, seed=2)
    for source in ("previous", "newest"):
        expectation_maximisation(likelihood, start, RED(Watched(), input=source), context, 1, REDUpdate())
    torch.testing.assert_close(seen[0], start, rtol=1e-9, atol=1e-9)
    assert float((seen[1] - start).norm()) > 0.1 * float(start.norm())


@pytest.mark.parametrize(("variance", "lowest"), [(0.5, 1.0), (0.05, 100.0)])
def test_nufft_does_not_run_away_where_slices_leave_gaps(variance, lowest):
    """Sharp posteriors put all images on few slices; between them the lumped K vanishes, and B does not.

    With K as it was inserted the log-posterior went to -4e7 and -4e10. EM need not climb even so.
    """
    images, _ = simulate(random_volume(N), 60, variance, seed=3)
    fourier = FourierImages(ArrayParticles(images), dtype=torch.float64)
    noise = RadialGaussianNoise.white(variance, N // 2 + 1)
    likelihood = MarginalLikelihood(fourier, noise, ExhaustiveSearch(SO3Grid(1)), NufftInterpolation(N, 1e-12))
    volumes = [random_volume(N, seed=1) * 0.5]
    expectation_maximisation(likelihood, volumes[0], GaussianPrior(), context, 8, callback=volumes.append)
    values = np.array([likelihood.value(v) - 0.5 * float((v**2).sum()) / 0.5 for v in volumes])
    assert values.min() >= lowest * values[0]
    assert max(float(v.norm()) for v in volumes) < 4 * float(random_volume(N).norm())
