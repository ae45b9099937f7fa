"""Wilson statistics where the half-maps tell nothing, measured power where they do."""

import numpy as np
import pytest
import torch

from cryoinv.errors import InputError
from cryoinv.operators.interpolation import TrilinearInterpolation
from cryoinv.priors import GaussianPrior, MaskedQuadratic, PriorContext, WilsonPrior

from .prior_cases import problem

N, PIXEL = 80, 1.5
S = torch.arange(N // 2 + 1, dtype=torch.float64) / (N * PIXEL)


def context(tau2, known, n=N):
    fsc = torch.where(torch.arange(n // 2 + 1) <= known, 0.9, 0.05).double()
    return PriorContext(n, PIXEL, fsc, tau2, 5.0, 50.0)


@pytest.mark.parametrize("b_factor", [0.0, 60.0, 240.0])
def test_level_and_b_factor_of_an_exact_power_law_are_recovered(b_factor):
    tau2 = 3.0 * torch.exp(-b_factor * S**2 / 2)
    told = torch.where(S * N * PIXEL <= 25, tau2, 1e-6)  # nothing beyond the trusted shells is looked at
    prior = WilsonPrior()
    level, found = prior.fit(context(told, 25))
    assert level == pytest.approx(3.0) and found == pytest.approx(b_factor, abs=1e-9)
    torch.testing.assert_close(prior.power(context(told, 25)), tau2)


def test_trusted_shells_keep_their_power_and_the_others_forget_it():
    noisy = torch.exp(torch.randn(N // 2 + 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    power = WilsonPrior().power(context(noisy, 25))
    assert torch.equal(power[:26], noisy[:26])
    other = torch.where(torch.arange(N // 2 + 1) > 25, 7.0, noisy)
    assert torch.equal(WilsonPrior().power(context(other, 25)), power)


def test_it_is_the_gaussian_prior_where_everything_or_nothing_is_trusted():
    statistics, known = problem(TrilinearInterpolation(12, 2))
    for fsc in (torch.ones(7), torch.zeros(7)):
        all_or_none = PriorContext(12, 4.0, fsc, known.tau2, 8.0, 20.0)
        found = WilsonPrior().bind(statistics, all_or_none).precision
        torch.testing.assert_close(found, GaussianPrior().bind(statistics, all_or_none).precision)


def test_shells_with_more_coefficients_and_better_fsc_weigh_more():
    """Against weighted least squares of NumPy, with the variance of log(FSC / (1 - FSC))."""
    generator = torch.Generator().manual_seed(1)
    tau2 = torch.exp(-80 * S**2 / 2 + 0.3 * torch.randn(len(S), generator=generator, dtype=torch.float64))
    fsc = torch.linspace(1, 0, len(S)).double()
    level, b_factor = WilsonPrior(trust=0.4).fit(PriorContext(N, PIXEL, fsc, tau2, 5.0, 50.0))
    used = ((S >= 0.1) & (fsc >= 0.4)).numpy()
    sigma = ((1 + fsc) / (fsc * S)).numpy()[used]
    slope, intercept = np.polyfit((S**2).numpy()[used], tau2.log().numpy()[used], 1, w=1 / sigma)
    assert b_factor == pytest.approx(-2 * slope) and level == pytest.approx(np.exp(intercept))


def test_with_too_few_shells_the_b_factor_is_the_default_and_the_level_that_of_the_last():
    tau2 = torch.exp(-120 * S**2 / 2)
    assert WilsonPrior(default_b_factor=120.0).fit(context(tau2, 8)) == pytest.approx((1.0, 120.0))  # 8 is at 15 Å
    tau2[:6] = 9.0
    assert WilsonPrior(default_b_factor=120.0).fit(context(tau2, 8)) == pytest.approx((1.0, 120.0))


def test_coarser_than_wilson_statistics_the_power_is_the_measured():
    tau2 = torch.where(torch.arange(N // 2 + 1) > 8, 1e-3, 1.0).double()
    power = WilsonPrior(wilson_from=10.0).power(context(tau2, 8))
    assert torch.equal(power[:12], tau2[:12]) and (power[12:] != tau2[12:]).all()


@pytest.mark.parametrize("slope", [-30.0, 3000.0])
def test_the_b_factor_is_held_in_its_bounds(slope):
    level, b_factor = WilsonPrior(largest_b_factor=400.0).fit(context(torch.exp(-slope * S**2 / 2), 25))
    assert b_factor == (0.0 if slope < 0 else 400.0)


def test_a_given_b_factor_is_kept():
    assert WilsonPrior(b_factor=33.0).fit(context(torch.exp(-60 * S**2 / 2), 25))[1] == 33.0


def test_masked_binds_to_a_masked_functional():
    statistics, known = problem(TrilinearInterpolation(12, 2))
    plain, masked = (WilsonPrior(masked=m).bind(statistics, known) for m in (False, True))
    assert isinstance(masked, MaskedQuadratic) and not isinstance(plain, MaskedQuadratic)
    assert torch.equal(plain.precision, masked.precision)


@pytest.mark.parametrize(
    "option", [{"wilson_from": 0.0}, {"b_factor": -1.0}, {"trust": 1.0}, {"largest_b_factor": 9.0}]
)
def test_options_out_of_range_are_refused(option):
    with pytest.raises(InputError, match=next(iter(option))):
        WilsonPrior(**option)
