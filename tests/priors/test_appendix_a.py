"""Appendix A on a Gaussian mixture: score, MMSE denoiser and kernel density estimate agree with noise of covariance ν.

Eq. 15, which has τ in the place of ν, is the paper's heuristic: by how much it departs is tested too.
"""

import numpy as np
import pytest
import torch

from cryoinv.denoisers import GaussianMixture, PriorContext, Wiener
from cryoinv.errors import InputError
from cryoinv.likelihood import SufficientStatistics
from cryoinv.operators.interpolation import NufftInterpolation
from cryoinv.priors import RED, ScoreMatchingPrior, prior_from
from cryoinv.solvers import FixedPoint
from cryoinv.spaces import centred_irfft, centred_rfft, radial_expand

from .denoising import SCHEMES, Counted, context, statistics


def mixture(n, kde=False, nu=None, seed=0):
    rng = np.random.default_rng(seed)
    means = torch.as_tensor(rng.normal(size=(4, n, n, n)) * 0.15)
    nu = torch.as_tensor(0.3 + rng.random(n // 2 + 1)) if nu is None else nu
    signal = 0.0 if kde else torch.as_tensor(0.5 + 0.02 * rng.random((4, n // 2 + 1)))
    y = means[:2].mean(0) + 0.2 * torch.as_tensor(rng.normal(size=(n, n, n)))
    return GaussianMixture(means, nu, signal, torch.as_tensor(rng.random(4))), nu, y


def score(density, y):
    """Gradient of the log-density of volumes, by automatic differentiation."""
    y = y.clone().requires_grad_()
    return torch.autograd.grad(density.log_density(y), y)[0]


@pytest.mark.parametrize("n", [6, 7])
@pytest.mark.parametrize("kde", [True, False], ids=["kde", "mixture"])
def test_score_and_mmse_denoiser_agree_with_the_noise_covariance(n, kde):
    r"""Eq. 36: grad log P_KDE(y) = nu^-1 (f(y) - y), to rounding."""
    density, nu, y = mixture(n, kde)
    assert 0.01 < float(density.responsibilities(y).max()) < 0.99
    f = density.denoise(y, PriorContext.nominal(n, 2.0, 8.0))
    expected = centred_irfft(centred_rfft(f - y) / radial_expand(nu, n), n)
    found = score(density, y)
    assert float((found - expected).norm() / expected.norm()) < 1e-13


@pytest.mark.parametrize("n", [6, 7])
def test_the_same_in_the_weighted_half_spectrum(n):
    """The Riesz gradient there is nu^-1 (F f - F y): what priors on the statistics' space return."""
    density, nu, y = mixture(n)
    s, c = statistics(NufftInterpolation(n)), PriorContext.nominal(n, 2.0, 8.0)
    bound = ScoreMatchingPrior(density, nu).bind(s, c)
    spectrum = centred_rfft(y).requires_grad_()
    (euclidean,) = torch.autograd.grad(density.log_density(centred_irfft(spectrum, n)), spectrum)
    riesz = s.space.riesz(euclidean)
    gradient = bound.gradient(s.space.element(spectrum.detach())).data
    assert float((riesz + gradient).norm() / gradient.norm()) < 1e-13


def test_with_nu_the_solution_is_stationary():
    """The fixed point under the score-matching prior maximises data term plus log-density of the mixture."""
    n = 6
    density, nu, _ = mixture(n)
    s, c = statistics(NufftInterpolation(n)), PriorContext.nominal(n, 2.0, 8.0)
    x = FixedPoint(iterations=400, tolerance=1e-14)(s, ScoreMatchingPrior(density, nu).bind(s, c))
    volume = s.to_volume(x).requires_grad_()
    X = centred_rfft(volume)
    weights = s.space.riesz_inv(torch.ones_like(s.weight))
    data_term = (weights * (s.data.conj() * X).real).sum() - 0.5 * (weights * s.curvature() * X.abs() ** 2).sum()
    (total,) = torch.autograd.grad(data_term + density.log_density(volume), volume)
    assert float(total.norm()) < 1e-9 * float(score(density, volume.detach()).norm())


@pytest.mark.parametrize("fsc", [0.05, 0.2, 0.5, 0.8, 0.95])
def test_equation_15_is_off_by_a_factor(fsc):
    """With τ² = ν FSC / (1 - FSC), eq. 12, the score of eq. 15 is (1 - FSC) / FSC times the true one."""
    n = 6
    nu = torch.full((n // 2 + 1,), 0.4, dtype=torch.float64)
    density, _, y = mixture(n, nu=nu)
    tau2 = nu * fsc / (1 - fsc)
    c = PriorContext(n, 2.0, torch.full_like(nu, fsc), tau2, 8.0, 5.0)
    s = statistics(NufftInterpolation(n))
    point = s.space.element(centred_rfft(y))
    heuristic, right = (p.bind(s, c).gradient(point).data for p in (RED(density), ScoreMatchingPrior(density, nu)))
    torch.testing.assert_close(heuristic, (1 - fsc) / fsc * right)
    error = float((heuristic - right).norm() / right.norm())
    assert error == pytest.approx(abs(1 - 2 * fsc) / fsc, abs=1e-12)
    assert (error < 1e-12) == (fsc == 0.5)


@pytest.mark.parametrize("fsc", [0.1, 0.5, 0.9])
def test_amplitudes_where_the_m_step_comes_to_rest(fsc):
    """With the Wiener filter of noise 1/K: MAP has gain FSC on B/K, score matching and eq. 16 have others."""
    n = 8
    scheme = NufftInterpolation(n)
    white = statistics(scheme)
    s = SufficientStatistics(scheme, white.data, torch.full_like(white.weight, 2.5), None, None, 2.0)
    nu = 1 / s.shell_mean(s.curvature())
    curve = torch.full_like(nu, fsc)
    c = PriorContext(n, 2.0, curve, nu * fsc / (1 - fsc), 8.0, 5.0)
    solve = FixedPoint(iterations=3000, tolerance=1e-14)
    inside = radial_expand(torch.ones_like(nu), n, outside=0.0) > 0  # a filter leaves nothing in the corners
    x_tilde = (s.data / s.curvature())[inside]
    matched = solve(s, ScoreMatchingPrior(Wiener(), nu).bind(s, c))[inside]
    torch.testing.assert_close(matched, x_tilde / (2 - fsc), rtol=1e-8, atol=1e-8)
    red = solve(s, RED(Wiener()).bind(s, c))[inside]
    torch.testing.assert_close(red, x_tilde * fsc / (fsc + (1 - fsc) ** 2), rtol=1e-8, atol=1e-8)


class TestNoiseOfTheData:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
    def test_it_is_one_over_the_shell_means_of_the_weight(self, scheme, dtype):
        s, c = statistics(scheme, dtype=dtype), context(scheme.n)
        bound = ScoreMatchingPrior(Counted()).bind(s, c)
        torch.testing.assert_close(bound.damping, s.expand(s.shell_mean(s.weight)).to(dtype))
        x = s.from_volume(torch.tanh(s.to_volume(s.data)))
        torch.testing.assert_close(bound.correction(s.data), bound.damping * x)

    def test_a_number_is_for_all_shells(self):
        s, c = statistics(SCHEMES["pad2-even"]), context(8)
        assert (ScoreMatchingPrior(Counted(), 0.25).bind(s, c).damping == 4).all()

    def test_specifications(self):
        assert ScoreMatchingPrior().offers() == ["gradient", "correction"]
        assert repr(prior_from("score-matching,nu=0.5")) == "ScoreMatchingPrior(nu=0.5)"
        assert repr(prior_from("score-matching,nu=data,denoiser=wiener")) == "ScoreMatchingPrior(denoiser=Wiener())"

    @pytest.mark.parametrize("nu", [0.0, -1.0, float("nan"), float("inf"), "datta", torch.ones(2, 2)])
    def test_noise_that_does_not_suit_is_refused(self, nu):
        with pytest.raises(InputError, match="nu is"):
            ScoreMatchingPrior(nu=nu)

    def test_noise_of_another_box_is_refused(self):
        with pytest.raises(InputError, match="nu has 3 shells, expected 5 for box 8"):
            ScoreMatchingPrior(nu=torch.ones(3)).bind(statistics(SCHEMES["nufft-even"]), context(8))
