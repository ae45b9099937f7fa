"""All M-steps find the closed form's solution of a Gaussian prior; which prior each of them takes."""

import functools

import numpy as np
import pytest
import torch

from cryoinv.errors import InputError
from cryoinv.geometry import Poses
from cryoinv.likelihood import FourierImages, known_pose_statistics
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators.interpolation import NufftInterpolation, TrilinearInterpolation
from cryoinv.priors import BoundPrior, GaussianPrior, Prior, PriorContext, VolumePrior
from cryoinv.solvers import (
    ADMM,
    LBFGS,
    ClosedForm,
    FixedPoint,
    GradientDescent,
    ProximalGradient,
    REDUpdate,
    m_step_for,
    m_step_from,
)

from ..likelihood.problems import ArrayParticles, random_volume, simulate

SCHEMES = {
    "pad2-even": TrilinearInterpolation(16),
    "pad1-odd": TrilinearInterpolation(17, 1),
    "nufft-even": NufftInterpolation(16),
}


class Hidden(Prior):
    """A Gaussian prior that shows only part of what it has."""

    def __init__(self, *names):
        for name in names:
            setattr(self, f"has_{name}", True)
        self.names = names

    def bind(self, statistics, context):
        return _Hidden(self, GaussianPrior().bind(statistics, context))


class _Hidden(BoundPrior):
    def __init__(self, prior, whole):
        super().__init__(whole.domain)
        self.whole, self.names = whole, prior.names
        self.damping = whole.precision if "correction" in self.names else None

    def offers(self, name):
        return name in self.names

    def _call(self, x):
        assert "value" in self.names
        return self.whole(x)

    @property
    def gradient(self):
        assert "gradient" in self.names
        return self.whole.gradient

    def proximal(self, step):
        assert "proximal" in self.names
        return self.whole.proximal(step)


@functools.cache
def made(name, dtype=torch.float64, count=150):
    """Statistics of images at random known poses; K falls from the origin and is zero outside the images' disc."""
    scheme = SCHEMES[name]
    n = scheme.n
    images, rotations = simulate(random_volume(n), count, 0.2, seed=1)
    fourier = FourierImages(ArrayParticles(images), dtype=dtype)
    noise = RadialGaussianNoise.white(0.2, n // 2 + 1)
    return known_pose_statistics(fourier, noise, Poses(rotations), scheme)


def context(n, low=1e2, high=1e-3, dead=0):
    """Signal power that falls over five orders of magnitude; the last shells may have none."""
    tau2 = torch.logspace(np.log10(low), np.log10(high), n // 2 + 1, dtype=torch.float64)
    if dead:
        tau2[-dead:] = 1e-30
    return PriorContext(n, 1.0, torch.ones(n // 2 + 1), tau2, 4.0, n / 2)


def error(found, expected):
    return float(torch.linalg.vector_norm(found - expected) / torch.linalg.vector_norm(expected))


# Every M-step with what it is shown of the prior; K spans five orders of magnitude, and so does the signal power.
WAYS = [
    (("proximal",), ADMM(2000, tolerance=1e-8)),
    (("proximal",), ADMM(2000, rho=1e-3, adaptive=True, tolerance=1e-8)),
    (("proximal",), ADMM(2000, rho=1e3, adaptive=True, tolerance=1e-8)),
    (("proximal",), ProximalGradient(3000, tolerance=1e-10)),
    (("gradient", "value"), ProximalGradient(3000, tolerance=1e-9)),
    (("gradient", "correction"), ProximalGradient(3000, tolerance=1e-10)),
    (("gradient", "correction"), ProximalGradient(3000, accelerated=False, tolerance=1e-10)),
    (("gradient", "value"), GradientDescent(2000, tolerance=1e-10)),
    (("gradient", "correction"), GradientDescent(2000, tolerance=1e-10)),
    (("gradient", "value"), LBFGS(500, tolerance=1e-10)),
    (("gradient", "value", "correction"), LBFGS(500, tolerance=1e-10)),
]


@pytest.mark.parametrize(("shown", "step"), WAYS, ids=repr)
@pytest.mark.parametrize("name", SCHEMES)
def test_they_find_the_closed_form(name, shown, step):
    statistics, told = made(name), []
    known = context(statistics.n)
    expected = ClosedForm()(statistics, GaussianPrior().bind(statistics, known))
    found = step(statistics, Hidden(*shown).bind(statistics, known), told.append)
    assert error(found, expected) < 1e-6
    assert torch.equal(told[-1], found) and len(told) < step.iterations


def test_ista_needs_more_iterations_than_fista():
    statistics, plain, fast = made("pad1-odd"), [], []
    bound = Hidden("proximal").bind(statistics, context(17))
    slow = m_step_from("ista,iterations=2000,tolerance=1e-10")(statistics, bound, plain.append)
    quick = m_step_from("fista,iterations=2000,tolerance=1e-10")(statistics, bound, fast.append)
    assert error(slow, quick) < 1e-6 and 2 * len(fast) < len(plain) < 2000


@pytest.mark.parametrize("name", SCHEMES)
def test_closed_form_fixed_point_and_red_agree_bit_for_bit_on_a_gaussian(name):
    statistics = made(name)
    bound = GaussianPrior().bind(statistics, context(statistics.n, dead=1))
    expected = ClosedForm()(statistics, bound)
    assert torch.equal(FixedPoint()(statistics, bound), expected)
    assert torch.equal(REDUpdate()(statistics, bound), expected)


SINGLE = [
    (("proximal",), ADMM(200)),
    (("proximal",), ADMM(200, rho=1e3, adaptive=True)),
    (("proximal",), ProximalGradient(300, tolerance=1e-5)),
    (("gradient", "value", "correction"), ProximalGradient(200)),
    (("gradient", "value"), ProximalGradient(50)),
    (("gradient", "value", "correction"), GradientDescent(200)),
    (("gradient", "value"), GradientDescent(50)),
    (("gradient", "value", "correction"), LBFGS(100)),
    (("gradient", "value"), LBFGS(50)),
]


@pytest.mark.parametrize(("shown", "step"), SINGLE, ids=repr)
def test_shells_without_signal_or_data_do_no_harm_in_single_precision(shown, step):
    """tau^-2 is 1e30 in the last shells and K zero beyond the images' disc; 1e30 |x|^2 overflows in a value.

    Where D is not known to the solver there is no agreement to ask for: the value is that of these shells alone.
    """
    statistics = made("pad2-even", torch.float32)
    known = context(statistics.n, dead=2)
    expected = ClosedForm()(statistics, GaussianPrior().bind(statistics, known))
    found = step(statistics, Hidden(*shown).bind(statistics, known))
    assert found.dtype == torch.complex64 and bool(torch.isfinite(torch.view_as_real(found)).all())
    if shown != ("gradient", "value"):
        assert error(found, expected) < 2e-3


@pytest.mark.parametrize("step", [ADMM(), ProximalGradient(), GradientDescent(), LBFGS()], ids=repr)
def test_nothing_measured_gives_the_prior_mean(step):
    statistics = made("pad1-odd").scaled(0.0)
    bound = GaussianPrior().bind(statistics, context(statistics.n))
    found = step(statistics, bound)
    assert float(torch.linalg.vector_norm(found)) == 0


def admm_simple(statistics, bound, rho, iterations):
    """The readable twin of `ADMM`, on elements, as ODL keeps one of its linearised ADMM; unscaled duals."""
    space = statistics.space
    data, curvature = space.element(statistics.data), statistics.curvature()
    z, multiplier = space.element(statistics.unregularised()), space.zero()
    for _ in range(iterations):
        x = space.element((data - multiplier + rho * z).data / (curvature + rho))
        z = bound.proximal(1 / rho)(x + (1 / rho) * multiplier)
        multiplier = multiplier + rho * (x - z)
    return z.data


def test_admm_equals_its_readable_twin():
    statistics = made("pad2-even")
    bound = GaussianPrior().bind(statistics, context(16))
    curvature = statistics.curvature()
    rho = 0.5 * float(curvature[curvature > 0].mean())
    expected = admm_simple(statistics, bound, rho, 7)
    assert error(ADMM(7, rho=0.5, tolerance=0)(statistics, bound), expected) < 1e-13


def test_adaptive_rho_pays_where_the_start_is_far_off():
    statistics = made("pad2-even")
    bound = Hidden("proximal").bind(statistics, context(16))
    expected = ClosedForm()(statistics, GaussianPrior().bind(statistics, context(16)))
    for rho in (1e-3, 1e3):
        fixed = error(ADMM(200, rho, tolerance=0)(statistics, bound), expected)
        adapted = error(ADMM(200, rho, True, tolerance=0)(statistics, bound), expected)
        assert adapted < 1e-8 < 1e-3 < fixed


class Huber(VolumePrior):
    """Quadratic below `knee`, linear above: a value, a gradient and a proximal map in closed form."""

    has_value = has_gradient = has_proximal = True

    def __init__(self, weight=3000.0, knee=0.05, hide=""):
        self.weight, self.knee = weight, knee
        if hide:
            setattr(self, f"has_{hide}", False)

    def value(self, volume, context):
        size = volume.abs()
        return self.weight * torch.where(size < self.knee, volume**2 / (2 * self.knee), size - self.knee / 2).sum()

    def proximal_map(self, volume, step, context):
        s = step * self.weight
        inside = volume / (1 + s / self.knee)
        return torch.where(volume.abs() <= self.knee + s, inside, volume - s * volume.sign())


def test_they_agree_on_a_prior_that_is_not_gaussian():
    """It is weighed so that it matters, and the minimiser is checked by its gradient."""
    statistics = made("nufft-even")
    known, results = context(16), []
    bound = Huber().bind(statistics, known)
    for prior, step in [
        (Huber(), ADMM(3000, tolerance=1e-10)),
        (Huber(), ProximalGradient(3000, tolerance=1e-11)),
        (Huber(hide="proximal"), ProximalGradient(3000, tolerance=1e-8)),
        (Huber(hide="proximal"), GradientDescent(3000, tolerance=1e-8)),
        (Huber(hide="proximal"), LBFGS(500, tolerance=1e-8)),
    ]:
        results.append(step(statistics, prior.bind(statistics, known)))
        gradient = statistics.curvature() * results[-1] - statistics.data
        gradient += bound.gradient(statistics.space.element(results[-1])).data
        assert error(results[-1], results[0]) < 1e-5  # a value tells its minimiser to the root of rounding
        assert float(gradient.norm()) < 1e-5 * float(statistics.data.norm())
    gaussian = ClosedForm()(statistics, GaussianPrior().bind(statistics, known))
    assert error(results[0], gaussian) > 0.05


@pytest.mark.parametrize(
    ("shown", "kind"),
    [
        (("precision", "proximal", "gradient", "value", "correction"), ClosedForm),
        (("gradient", "correction"), REDUpdate),
        (("proximal",), ADMM),
        (("gradient",), ProximalGradient),
        (("gradient", "value"), ProximalGradient),
    ],
)
def test_the_m_step_that_suits_a_prior(shown, kind):
    assert type(m_step_for(Hidden(*shown))) is kind


def test_a_prior_that_offers_none_of_the_alternatives_is_refused_by_name():
    with pytest.raises(InputError, match=r"ProximalGradient needs a prior with proximal or gradient; .* is lacking"):
        ProximalGradient().check(Hidden("value"))
    with pytest.raises(InputError, match=r"LBFGS needs a prior with value, gradient; .*: value is lacking"):
        LBFGS().check(Hidden("gradient"))
    with pytest.raises(InputError, match="no M-step takes .* proximal or gradient"):
        m_step_for(Hidden("value"))


@pytest.mark.parametrize(
    "spec",
    [
        "admm,iterations=0",
        "admm,rho=-1",
        "admm,tolerance=nan",
        "ista,step=2",
        "fista,iterations=0",
        "gradient,step=0",
        "l-bfgs,history=0",
    ],
)
def test_parameters_out_of_range_are_refused(spec):
    with pytest.raises(InputError, match="expected"):
        m_step_from(spec)


def test_names():
    assert repr(m_step_from("ista")) == "ProximalGradient(accelerated=False)"
    assert repr(m_step_from("admm,adaptive=true")) == "ADMM(adaptive=True)"
    assert isinstance(m_step_from("l-bfgs"), LBFGS) and isinstance(m_step_from("gradient"), GradientDescent)
