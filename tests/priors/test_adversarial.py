"""The adversarial regulariser: its functional and gradient, its factor, and that it helps where it should."""

import math

import numpy as np
import pytest
import torch

from cryoinv.denoisers import LowPass
from cryoinv.errors import InputError
from cryoinv.likelihood import SufficientStatistics
from cryoinv.networks import ConvolutionalCritic, write_network
from cryoinv.operators.interpolation import NufftInterpolation, TrilinearInterpolation
from cryoinv.priors import AdversarialRegulariser, GaussianPrior, PriorContext, critic_input, prior_from
from cryoinv.solvers import FixedPoint
from cryoinv.spaces.spectrum import centred_rfft, hermitian_weights
from cryoinv.testing import assert_gradient

SCHEMES = [TrilinearInterpolation(8, 2), TrilinearInterpolation(9, 1), NufftInterpolation(9)]
IDS = ["pad2-even", "pad1-odd", "nufft-odd"]


def critic(seed=0):
    torch.manual_seed(seed)
    return ConvolutionalCritic(3)


def statistics(scheme, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    box = scheme.box
    data = centred_rfft(torch.randn(box, box, box, generator=generator, dtype=torch.float64))
    weight = 0.1 + torch.rand(box, box, box // 2 + 1, generator=generator, dtype=torch.float64)
    return SufficientStatistics(scheme, data.to(dtype.to_complex()), weight.to(dtype), None, None, 2.0)


def context(n):
    shells = n // 2 + 1
    return PriorContext(n, 2.0, torch.linspace(1, 0, shells), torch.linspace(3, 0.1, shells).double(), 6.0, 20.0)


@pytest.mark.parametrize("gaussian", [True, False])
@pytest.mark.parametrize("scheme", SCHEMES, ids=IDS)
class TestFunctional:
    def test_gradient_is_that_of_the_value(self, scheme, gaussian):
        s = statistics(scheme)
        bound = AdversarialRegulariser(critic(), 5.0, gaussian).bind(s, context(scheme.n))
        assert_gradient(bound, s.space.element(s.data))

    def test_value_is_the_critics_times_the_factor_and_the_gaussians(self, scheme, gaussian):
        s, network = statistics(scheme), critic().double()
        prior = AdversarialRegulariser(network, 2.0, gaussian)
        bound = prior.bind(s, context(scheme.n))
        seen = critic_input(s.to_volume(s.data), context(scheme.n))
        expected = bound.factor * float(network(seen[None]).detach())
        if gaussian:
            expected += 0.5 * float(s.space.weighting.inner(s.data, bound.damping * s.data))
        assert float(bound(s.space.element(s.data))) == pytest.approx(expected, rel=1e-9)

    def test_strength_is_a_factor(self, scheme, gaussian):
        s = statistics(scheme)
        factors = [AdversarialRegulariser(critic(), f, gaussian).bind(s, context(scheme.n)).factor for f in (0, 1, 3)]
        assert factors[0] == 0 and factors[2] == pytest.approx(3 * factors[1])


def test_m_steps_that_need_more_are_refused():
    assert AdversarialRegulariser(critic()).offers() == ["value", "gradient"]
    with pytest.raises(InputError, match="offers value, gradient: correction is lacking"):
        FixedPoint().check(AdversarialRegulariser(critic()))


def test_without_strength_it_is_the_gaussian_prior():
    s, c = statistics(SCHEMES[1]), context(9)
    bound, gaussian = (prior.bind(s, c) for prior in (AdversarialRegulariser(critic(), strength=0), GaussianPrior()))
    x = s.space.element(s.data)
    torch.testing.assert_close(bound.damping, gaussian.precision)
    torch.testing.assert_close(bound.gradient(x).data, gaussian.gradient(x).data)
    assert float(bound(x)) == pytest.approx(float(gaussian(x)))


def test_shells_without_data_are_damped_within_single_precision():
    s, c = statistics(SCHEMES[1], dtype=torch.float32), context(9)
    tau2 = torch.where(torch.arange(5) < 4, c.tau2, 1e-30)
    bound = AdversarialRegulariser(critic()).bind(s, PriorContext(9, 2.0, c.fsc, tau2, 6.0, 20.0))
    largest = float(s.shell_mean(s.curvature()).max())
    assert float(bound.damping.max()) == pytest.approx(1e4 * largest)
    assert math.isfinite(float(bound(s.space.element(s.data))))


def test_the_factor_balances_the_noise_of_the_data():
    """At strength 1, a slope of one times the factor is the expected length of B - K x in the band (Lunz et al.)."""
    scheme, n = NufftInterpolation(9), 9
    s, c = statistics(scheme), context(n)
    bound = AdversarialRegulariser(critic(), strength=1.0).bind(s, c)
    band = s.expand(torch.arange(n // 2 + 1) <= n * c.pixel_size / c.resolution + 0.5)
    rng, lengths = torch.Generator().manual_seed(1), []
    for _ in range(200):
        white = centred_rfft(torch.randn(n, n, n, generator=rng, dtype=torch.float64))
        lengths.append(float((s.curvature() * band * white.abs() ** 2 * hermitian_weights(n)).sum()))
    x = s.to_volume(s.data / (s.curvature() + bound.damping))
    slope = 1 / (n**1.5 * float(LowPass().denoise(x, c).std()))  # of a critic of slope one, by the voxel
    assert bound.factor * slope == pytest.approx(math.sqrt(np.mean(lengths)), rel=0.01)


def test_the_functional_does_not_depend_on_the_grey_scale():
    """Images c times as bright: B/c, K/c^2; the value stays, the map is c times as bright."""
    s, c, grey = statistics(SCHEMES[0]), context(8), 7.0
    other = SufficientStatistics(s.interpolation, s.data / grey, s.weight / grey**2, None, None, 2.0)
    scaled = PriorContext(8, 2.0, c.fsc, c.tau2 * grey**2, 6.0, 20.0)
    first, second = (AdversarialRegulariser(critic()).bind(*each) for each in ((s, c), (other, scaled)))
    x = s.unregularised()
    assert float(second(other.space.element(grey * x))) == pytest.approx(float(first(s.space.element(x))), rel=1e-9)
    gradients = [bound.gradient(bound.domain.element(each)).data for bound, each in ((first, x), (second, grey * x))]
    torch.testing.assert_close(gradients[1], gradients[0] / grey)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_precision_is_that_of_the_statistics(dtype):
    s = statistics(SCHEMES[0], dtype=dtype)
    bound = AdversarialRegulariser(critic()).bind(s, context(8))
    assert bound.gradient(s.space.element(s.data)).data.dtype == s.data.dtype


class TestInput:
    def test_it_is_in_the_band_at_the_critics_pixel_with_unit_deviation(self):
        volume = torch.randn(16, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        c = PriorContext.nominal(16, 3.0, 12.0)
        whole = critic_input(volume, c)
        assert float(whole.std()) == pytest.approx(1) and whole.shape == volume.shape
        finer = critic_input(volume, c, 2.0)
        assert finer.shape == (24, 24, 24)
        # Finer samples of the same function: every third of one is every second of the other.
        torch.testing.assert_close(finer[::3, ::3, ::3] / finer[12, 12, 12], whole[::2, ::2, ::2] / whole[8, 8, 8])

    def test_scaling_and_high_frequencies_do_not_matter(self):
        volume = torch.randn(15, 15, 15, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        c = PriorContext.nominal(15, 3.0, 15.0)
        checkers = (-1.0) ** sum(torch.meshgrid(*[torch.arange(15)] * 3, indexing="ij"))
        high = centred_rfft(checkers)
        high[:6, :, :6] = high[-6:, :, :6] = 0
        torch.testing.assert_close(critic_input(3 * volume, c), critic_input(volume, c))

    def test_an_empty_map_has_a_finite_value_and_gradient(self):
        s, c = statistics(SCHEMES[0]), context(8)
        bound = AdversarialRegulariser(critic()).bind(s, c)
        assert math.isfinite(float(bound(s.space.zero())))
        empty = SufficientStatistics(s.interpolation, 0 * s.data, 0 * s.weight, None, None, 2.0)
        assert AdversarialRegulariser(critic()).bind(empty, c).factor == 0


class TestConstruction:
    def test_the_shipped_critic_is_the_default(self):
        prior = prior_from("adversarial,strength=0.2")
        assert prior.strength == 0.2 and prior.pixel_size == 3.0
        assert repr(prior).startswith("AdversarialRegulariser(strength=0.2, critic=ConvolutionalCritic<")

    def test_runs_are_told_apart_by_the_weights(self, tmp_path):
        for seed in (0, 1):
            write_network(tmp_path / f"{seed}.safetensors", critic(seed), (2.0, 3.0))
        priors = [prior_from(f"adversarial,critic={tmp_path}/{seed}.safetensors") for seed in (0, 1)]
        assert repr(priors[0]) != repr(priors[1]) and str(tmp_path) not in repr(priors[0])
        assert repr(priors[0]) == repr(AdversarialRegulariser(critic(0))) and priors[0].pixel_size == 2.5

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("strength=-1", "strength is -1"),
            ("strength=nan", "strength is nan"),
            ("pixel_size=0", "pixel_size is 0"),
            ("critic=none.safetensors", "none.safetensors: there is no such"),
            ("stength=1", "did you mean 'strength'"),
        ],
    )
    def test_what_does_not_suit_is_refused(self, spec, message):
        with pytest.raises(InputError, match=message):
            prior_from(f"adversarial,{spec}")

    def test_a_critic_of_the_wrong_shape_is_named(self):
        s = statistics(SCHEMES[0])
        bound = AdversarialRegulariser(torch.nn.Flatten()).bind(s, context(8))
        with pytest.raises(InputError, match=r"critic of Adv.* gives shape \(1, 512\)"):
            bound(s.space.zero())
