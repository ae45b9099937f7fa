"""RED against the Gaussian prior it falls back onto, its equations written out, and its fixed point."""

import math
from dataclasses import replace

import pytest
import torch

from cryoinv.denoisers import LowPass, Wiener
from cryoinv.errors import CryoinvError, InputError
from cryoinv.priors import RED, GaussianPrior, prior_from
from cryoinv.solvers import ClosedForm, FixedPoint, REDUpdate, m_step_for
from cryoinv.spaces import radial_expand

from .denoising import SCHEMES, Counted, context, statistics

every_scheme = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)


@every_scheme
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "prior",
    [
        RED(Counted(), weight=0.0),
        RED(Counted(), weight=0.0, amplitude="undamped"),
        RED(Counted(), weight=0.0, amplitude="mix"),
        RED(Counted(), amplitude="mix", a=1.0, b=0.0),
    ],
    ids=["plain", "undamped", "mix", "a=1,b=0"],
)
def test_without_weight_it_is_the_gaussian_prior_bit_for_bit(scheme, dtype, prior):
    s, c = statistics(scheme, dtype=dtype), context(scheme.n)
    expected = ClosedForm()(s, GaussianPrior().bind(s, c))
    assert expected.dtype == s.data.dtype
    for m_step in (REDUpdate(), FixedPoint(iterations=4)):
        assert torch.equal(m_step(s, prior.bind(s, c)), expected)
    assert prior.denoiser.calls == 0


@every_scheme
def test_where_nothing_is_trusted_it_is_the_gaussian_prior_bit_for_bit(scheme):
    s = statistics(scheme)
    c = context(scheme.n, trust=torch.zeros(scheme.n // 2 + 1))
    expected = ClosedForm()(s, GaussianPrior(tau2_fudge=2.0).bind(s, c))
    assert torch.equal(REDUpdate()(s, RED(Counted(), tau2_fudge=2.0).bind(s, c)), expected)


@every_scheme
class TestUpdate:
    def parts(self, scheme):
        s, c = statistics(scheme), context(scheme.n)
        denoised = s.from_volume(torch.tanh(s.to_volume(s.unregularised())))
        return s, c, s.expand(1 / c.tau2), denoised

    def test_equation_17(self, scheme):
        s, c, damping, f = self.parts(scheme)
        denoiser = Counted()
        x = REDUpdate()(s, RED(denoiser, weight=0.3).bind(s, c))
        torch.testing.assert_close(x, (s.data + 0.3 * damping * f) / (s.curvature() + damping))
        assert denoiser.calls == 1

    def test_equation_16_denoises_the_previous_map(self, scheme):
        s, c, damping, _ = self.parts(scheme)
        previous = statistics(scheme, seed=1).data
        f = s.from_volume(torch.tanh(s.to_volume(previous)))
        x = REDUpdate()(s, RED(Counted(), input="previous").bind(s, c), previous=previous)
        torch.testing.assert_close(x, (s.data + damping * f) / (s.curvature() + damping))

    def test_undamped_divides_by_the_fsc(self, scheme):
        s, c, damping, f = self.parts(scheme)
        fsc = c.fsc.clone()
        fsc[0] = fsc[1]  # the zeroth shell is one coefficient
        x = REDUpdate()(s, RED(Counted(), amplitude="undamped", floor=0.3).bind(s, c))
        expected = (s.data + damping * f / s.expand(fsc.clamp(min=0.3))) / (s.curvature() + damping)
        torch.testing.assert_close(x, expected)

    def test_mix_of_map_and_denoised_map(self, scheme):
        s, c, damping, f = self.parts(scheme)
        x_map = s.data / (s.curvature() + damping)
        x = REDUpdate()(s, RED(Counted(), amplitude="mix", a=0.4, b=0.7).bind(s, c))
        torch.testing.assert_close(x, 0.4 * x_map + 0.7 * f)
        half = REDUpdate()(s, RED(Counted(), weight=0.5, amplitude="mix", a=0.4, b=0.7).bind(s, c))
        torch.testing.assert_close(half, 0.5 * x_map + 0.5 * (0.4 * x_map + 0.7 * f))

    def test_trust_multiplies_the_weight(self, scheme):
        s, c, damping, f = self.parts(scheme)
        trust = torch.linspace(0, 1, scheme.n // 2 + 1)
        x = REDUpdate()(s, RED(Counted(), weight=0.6).bind(s, replace(c, trust=trust)))
        expected = (s.data + 0.6 * s.expand(trust) * damping * f) / (s.curvature() + damping)
        torch.testing.assert_close(x, expected, rtol=1e-7, atol=1e-7)

    def test_gradient_vanishes_with_the_data_term_at_a_fixed_point(self, scheme):
        """B - K x = D x - c(x), whatever the denoiser."""
        s, c, _, _ = self.parts(scheme)
        bound = RED(Counted(), weight=0.5).bind(s, c)
        x = FixedPoint(iterations=300, tolerance=1e-14)(s, bound)
        gradient = bound.gradient(s.space.element(x)).data
        torch.testing.assert_close(gradient, s.data - s.curvature() * x, rtol=1e-9, atol=1e-9)

    def test_denoised_is_that_of_the_newest_map(self, scheme):
        s, c, _, _ = self.parts(scheme)
        expected = torch.tanh(s.to_volume(s.unregularised()))
        for source in ("newest", "previous"):
            torch.testing.assert_close(RED(Counted(), input=source, guard=True).bind(s, c).denoised(), expected)


@pytest.mark.parametrize("scheme", [SCHEMES["nufft-even"], SCHEMES["nufft-odd"]], ids=["even", "odd"])
@pytest.mark.parametrize("weight", [0.4, 1.0])
def test_a_linear_symmetric_denoiser_leads_to_its_fixed_point(scheme, weight):
    """x = B / (K + D - λ D W) where f multiplies by W; without padding all of it is diagonal."""
    s, c = statistics(scheme), context(scheme.n)
    filtered = radial_expand(Wiener().transfer(c), scheme.n, outside=0.0)
    damping = s.expand(1 / c.tau2)
    expected = s.data / (s.curvature() + damping - weight * damping * filtered)
    x = FixedPoint(iterations=2000, tolerance=1e-12)(s, RED(Wiener(), weight).bind(s, c))
    assert float((x - expected).norm() / expected.norm()) < 1e-6


@pytest.mark.parametrize("fsc", [0.1, 0.25, 0.4, 0.6, 0.8, 0.9, 1.0])
def test_calibrated_gains(fsc):
    """The stated table, at the middle of its bins."""
    expected = {0.1: (1, 0), 0.25: (0, 4), 0.4: (0, 2.6), 0.6: (0, 1.85), 0.8: (0, 1.4), 0.9: (0, 1.14), 1.0: (0, 1)}
    a, b = RED(amplitude="mix").amplitude.gains(torch.full((5,), fsc))
    assert torch.equal(a, torch.full((5,), float(expected[fsc][0]), dtype=torch.float64))
    torch.testing.assert_close(b, torch.full((5,), float(expected[fsc][1]), dtype=torch.float64))


def test_a_table_holds_below_the_end_of_its_bins():
    table = RED(amplitude="mix", a=0.0, b=[(0.5, 3.0), (0.9, 2.0)]).amplitude
    curve = torch.tensor([0.9, 0.4, 0.5, 0.89, 0.9, 1.0, -0.2])
    assert table.gains(curve)[1].tolist() == [3, 3, 2, 2, 2, 2, 3]


def test_red_is_taken_by_its_update():
    assert RED().offers() == ["gradient", "correction"]
    assert isinstance(m_step_for(RED()), REDUpdate)
    s, c = statistics(SCHEMES["nufft-odd"]), context(9)
    with pytest.raises(CryoinvError, match="no value"):
        RED().bind(s, c)(s.space.zero())
    with pytest.raises(InputError, match="precision is lacking"):
        ClosedForm().check(RED())


def test_specifications():
    prior = prior_from("red,denoiser=(lowpass,resolution=12),weight=0.5,amplitude=undamped,guard=true")
    assert repr(prior.denoiser) == "LowPass(resolution=12)" and prior.guarded
    assert prior_from("red", denoiser=LowPass(9.0)).denoiser.resolution == 9.0
    assert repr(prior_from("red,amplitude=mix,a=1,b=0")) == "RED(amplitude='mix', a=1, b=0)"
    with pytest.raises(InputError, match="did you mean 'weight'"):
        prior_from("red,wieght=1")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weight": 1.5}, "1.5, expected a number within"),
        ({"weight": -0.1}, "within"),
        ({"weight": math.nan}, "within"),
        ({"weight": "all"}, "within"),
        ({"input": "newst"}, "did you mean 'newest'"),
        ({"amplitude": "undampd"}, "did you mean 'undamped'"),
        ({"floor": 0.5}, "floor belongs to the amplitude 'undamped'"),
        ({"a": 0.0}, "a belongs to the amplitude 'mix'"),
        ({"b": 0.0, "amplitude": "undamped"}, "b belongs to the amplitude 'mix'"),
        ({"amplitude": "undamped", "floor": 0.0}, "floor"),
        ({"amplitude": "mix", "b": [(0.5, 1.0), (0.4, 1.0)]}, "ascending"),
        ({"amplitude": "mix", "a": math.inf}, "finite"),
        ({"amplitude": "mix", "a": "one"}, "a is 'one'"),
        ({"tau2_fudge": 0.0}, "tau2_fudge"),
        ({"denoiser": torch.nn.Identity()}, "Identity, expected a Denoiser"),
    ],
)
def test_options_that_do_not_suit_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        RED(**options)


def test_a_denoiser_that_returns_nonsense_is_named():
    class Broken(Counted):
        def denoise(self, volume, context):
            return volume / 0

    s = statistics(SCHEMES["nufft-odd"])
    with pytest.raises(InputError, match=r"Broken\(\) returned values that are not finite"):
        REDUpdate()(s, RED(Broken()).bind(s, context(9)))


def test_no_graph_is_kept_of_a_network():
    class Network(Counted):
        def __init__(self):
            self.gain = torch.ones((), dtype=torch.float64, requires_grad=True)

        def denoise(self, volume, context):
            return self.gain * volume

    s = statistics(SCHEMES["pad2-even"])
    assert not REDUpdate()(s, RED(Network()).bind(s, context(8))).requires_grad


def test_runs_with_another_denoiser_of_the_package_are_told_apart(monkeypatch):
    """What it prints is the same, as the denoiser is none that was asked for."""
    monkeypatch.setattr("cryoinv.priors.red.load_denoiser", Wiener)
    first = RED()
    monkeypatch.setattr("cryoinv.priors.red.load_denoiser", lambda: LowPass(9.0))
    second = RED()
    assert repr(first) == repr(second) and first.identity() != second.identity()
