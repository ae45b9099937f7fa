"""Confidence in a denoiser: the paper's rule, its script's, tables and functions."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cryoinv.denoisers import PriorContext
from cryoinv.errors import InputError
from cryoinv.priors import ConfidenceWeightedRED, GaussianPrior, paper_confidence, prior_from
from cryoinv.solvers import ClosedForm, REDUpdate

from .denoising import SCHEMES, Counted, context, statistics


def weight(prior, resolution, n=32, pixel_size=1.5):
    return prior.confidence(PriorContext.nominal(n, pixel_size, resolution))


@pytest.mark.parametrize(("resolution", "expected"), [(30, 0), (10, 0), (9.8, 2 / 55), (7.25, 0.5), (4.5, 1), (3, 1)])
def test_paper_rule(resolution, expected):
    assert weight(ConfidenceWeightedRED(), resolution) == pytest.approx(expected)


def test_the_papers_example():
    assert round(weight(ConfidenceWeightedRED(), 9.8), 3) == 0.036
    assert paper_confidence(math.inf) == 0


@given(st.floats(0.1, 100), st.floats(0.1, 100))
def test_paper_rule_falls_with_angstroms(one, other):
    first, second = (paper_confidence(d) for d in sorted((one, other)))
    assert 1 >= first >= second >= 0


def test_the_scripts_rule_does_not_look_at_the_half_maps():
    script = ConfidenceWeightedRED(rule="script")
    assert weight(script, 9.8) == weight(script, 20.0) == weight(script, 4.0) == 1
    assert weight(script, 9.8, n=48, pixel_size=3.0) == pytest.approx(1.8 - 0.18 * 6.25)
    assert weight(script, 200.0, n=16) == 0  # no FSC from the first shell on


def test_table_by_shell():
    table = torch.linspace(1, 0, 5)
    s, c = statistics(SCHEMES["nufft-even"]), context(8)
    damping = s.expand(1 / c.tau2)
    f = s.from_volume(torch.tanh(s.to_volume(s.unregularised())))
    expected = (s.data + s.expand(table.double()) * damping * f) / (s.curvature() + damping)
    for rule in (table, table.tolist()):
        x = REDUpdate()(s, ConfidenceWeightedRED(Counted(), rule).bind(s, c))
        torch.testing.assert_close(x, expected, rtol=1e-6, atol=1e-6)
    with pytest.raises(InputError, match=r"shape \(5,\), expected a number or 17 shells"):
        ConfidenceWeightedRED(rule=table).bind(statistics(SCHEMES["nufft-even"]), context(32))


def test_table_by_resolution_is_linear_in_angstroms():
    """Shells of box 32 at 1.5 Å are at 48 / k Å."""
    for rule in ("20:1;8:0", {20.0: 1.0, 8.0: 0.0}, [(8, 0), (20, 1)]):
        found = weight(ConfidenceWeightedRED(rule=rule), 5.0)
        expected = [1, 1, 1, (48 / 3 - 8) / 12, (48 / 4 - 8) / 12, (48 / 5 - 8) / 12, 0]
        torch.testing.assert_close(found[:7], torch.tensor(expected, dtype=torch.float64))
        assert not found[7:].any()


def test_any_function_of_the_context():
    prior = ConfidenceWeightedRED(rule=lambda c: c.fsc.clamp(0, 1))
    assert torch.equal(weight(prior, 8.0), PriorContext.nominal(32, 1.5, 8.0).fsc)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_confidence_it_is_the_gaussian_prior_bit_for_bit(dtype):
    s, c = statistics(SCHEMES["pad2-even"], dtype=dtype), context(8, resolution=12.0)
    expected = ClosedForm()(s, GaussianPrior().bind(s, c))
    assert torch.equal(REDUpdate()(s, ConfidenceWeightedRED(Counted()).bind(s, c)), expected)


@pytest.mark.parametrize("found", [1.5, -0.1, math.nan, torch.full((5,), 2.0)])
def test_a_function_that_leaves_the_range_is_refused_at_run_time(found):
    prior = ConfidenceWeightedRED(rule=lambda c: found)
    with pytest.raises(InputError, match=r"ConfidenceWeightedRED\(.*gives λ = .*within \[0, 1\]"):
        prior.bind(statistics(SCHEMES["nufft-even"]), context(8))


def test_a_function_that_returns_no_number_is_refused_at_run_time():
    with pytest.raises(InputError, match="λ of type str"):
        ConfidenceWeightedRED(rule=lambda c: "high").bind(statistics(SCHEMES["nufft-even"]), context(8))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rule": "papr"}, "did you mean 'paper'"),
        ({"rule": [0.5, 1.5]}, r"λ = 1.5, expected a number within \[0, 1\]"),
        ({"rule": "20:1;8:-1"}, r"λ = -1"),
        ({"rule": "20:1;8"}, "expected Å:λ;Å:λ"),
        ({"rule": [(0.0, 1.0)]}, "positive numbers"),
        ({"rule": [(8.0, 1.0), (8.0, 0.0)]}, "each once"),
        ({"rule": torch.ones(2, 3)}, "shape"),
        ({"rule": object()}, "a object, expected a name, function or table"),
        ({"coarse": 4.0}, "coarse is 4"),
        ({"fine": 0.0}, "positive"),
        ({"rule": "script", "coarse": 12.0}, "belong to the rule 'paper'"),
    ],
)
def test_rules_that_do_not_suit_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        ConfidenceWeightedRED(**options)


def test_specifications():
    assert repr(prior_from("cw-red,coarse=12,fine=6")) == "ConfidenceWeightedRED(coarse=12, fine=6)"
    assert weight(prior_from("cw-red,rule=20:1;8:0"), 5.0)[0] == 1
    assert weight(prior_from("cw-red,rule=script"), 9.8) == 1
