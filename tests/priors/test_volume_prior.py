"""Priors stated on the real map: gradients and proximal maps in the statistics' space, and wrong answers refused."""

import numpy as np
import pytest
import torch

from cryoinv.errors import CryoinvError, InputError
from cryoinv.geometry import Poses, random_rotations
from cryoinv.likelihood import FourierImages, known_pose_statistics
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators.interpolation import NufftInterpolation, TrilinearInterpolation
from cryoinv.priors import PriorContext, VolumePrior
from cryoinv.spaces import VolumeSpace
from cryoinv.testing import random_element

from ..likelihood.problems import ArrayParticles

SCHEMES = {
    "padding 2": lambda n: TrilinearInterpolation(n, 2),
    "radial": lambda n: TrilinearInterpolation(n, 2, "radial"),
    "padding 1": lambda n: TrilinearInterpolation(n, 1),
    "padding 3": lambda n: TrilinearInterpolation(n, 3),
    "nufft": NufftInterpolation,
}


def statistics_of(scheme, n, dtype=torch.float64):
    rng = np.random.default_rng(0)
    images = FourierImages(ArrayParticles(rng.normal(size=(5, n, n))), dtype=dtype)
    noise = RadialGaussianNoise.white(1.0, n // 2 + 1)
    return known_pose_statistics(images, noise, Poses(random_rotations(5, rng)), scheme)


def context_of(n):
    return PriorContext.nominal(n, 2.0, 8.0)


class Smooth(VolumePrior):
    has_value = has_gradient = True

    def value(self, volume, context):
        return (volume**2 + 1).sqrt().sum() + (volume[1:] * volume[:-1]).sum()


class Shrink(VolumePrior):
    has_proximal = True

    def proximal_map(self, volume, step, context):
        return volume / (1 + step)


@pytest.mark.parametrize("n", [6, 7])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_adjoint_of_to_volume(scheme, n):
    statistics = statistics_of(SCHEMES[scheme](n), n)
    x = random_element(statistics.space).data
    v = random_element(VolumeSpace(n, dtype="float64"), 1).data
    left = float((statistics.to_volume(x) * v).sum())
    right = statistics.space.weighting.inner(x, statistics.to_volume_adjoint(v))
    assert left == pytest.approx(right, rel=1e-12)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_gradient_is_that_of_the_value(scheme):
    n = 6
    statistics = statistics_of(SCHEMES[scheme](n), n)
    functional = Smooth().bind(statistics, context_of(n))
    x, d = (random_element(statistics.space, seed) for seed in (0, 1))
    step = 1e-5
    ratio = (functional(x + step * d) - functional(x - step * d)) / (2 * step)
    assert functional.gradient(x).inner(d) == pytest.approx(ratio, rel=1e-7)


def test_the_proximal_map_acts_on_the_volume():
    statistics = statistics_of(SCHEMES["padding 2"](6), 6)
    x = random_element(statistics.space)
    found = Shrink().bind(statistics, context_of(6)).proximal(3.0)(x).data
    torch.testing.assert_close(statistics.to_volume(found), statistics.to_volume(x.data) / 4)


def test_what_a_prior_does_not_have_raises():
    statistics = statistics_of(SCHEMES["padding 1"](6), 6)
    functional = Shrink().bind(statistics, context_of(6))
    with pytest.raises(CryoinvError, match="no value"):
        functional(statistics.space.zero())


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (lambda v: v[1:], r"shape \(5, 6, 6\), expected \(6, 6, 6\)"),
        (lambda v: v * float("nan"), "not finite"),
        (lambda v: 3.0, "returned a float, expected a tensor"),
    ],
)
def test_a_wrong_proximal_map_is_named(found, words):
    class Wrong(VolumePrior):
        has_proximal = True

        def proximal_map(self, volume, step, context):
            return found(volume)

    statistics = statistics_of(SCHEMES["padding 1"](6), 6)
    with pytest.raises(InputError, match=rf"Wrong\(\) returned .*{words}|Wrong\(\) {words}"):
        Wrong().bind(statistics, context_of(6)).proximal(1.0)(statistics.space.one())


def test_a_value_that_is_no_number_is_named():
    class Wrong(VolumePrior):
        has_value = has_gradient = True

        def value(self, volume, context):
            return volume.log().sum()

    statistics = statistics_of(SCHEMES["padding 1"](6), 6)
    functional = Wrong().bind(statistics, context_of(6))
    with pytest.raises(InputError, match=r"value of Wrong\(\)"):
        functional(-1 * statistics.space.one())
