"""The MMSE denoiser of a mixture against dense Gaussians in real space and against random draws."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from cryoinv.denoisers import GaussianMixture, PriorContext
from cryoinv.errors import InputError
from cryoinv.spaces import centred_irfft, centred_rfft, radial_expand

CONTEXT = {n: PriorContext.nominal(n, 2.0, 8.0) for n in (3, 4, 5)}


def problem(n, signal=True, seed=0):
    rng = np.random.default_rng(seed)
    means = torch.as_tensor(rng.normal(size=(3, n, n, n)) * 0.2)
    noise = torch.as_tensor(0.5 + rng.random(n // 2 + 1))
    powers = torch.as_tensor(0.5 + 0.2 * rng.random((3, n // 2 + 1))) if signal else torch.zeros(3, n // 2 + 1).double()
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    y = means[:2].mean(0) + 0.4 * torch.as_tensor(rng.normal(size=(n, n, n)))
    return means, noise, powers, weights, y


def covariance(power, n):
    """Matrix on voxels of a filter with a power by shell: nothing of half-spectra is left in it."""
    filtered = [
        centred_irfft(radial_expand(power, n) * centred_rfft(unit.reshape(n, n, n)), n).reshape(-1)
        for unit in torch.eye(n**3, dtype=torch.float64)
    ]
    return torch.stack(filtered).numpy()


@pytest.mark.parametrize("n", [3, 4])
@pytest.mark.parametrize("signal", [True, False], ids=["mixture", "kde"])
def test_density_and_mean_are_those_of_dense_gaussians(n, signal):
    means, noise, powers, weights, y = problem(n, signal)
    mixture = GaussianMixture(means, noise, powers, weights)
    flat, N = y.reshape(-1).numpy(), covariance(noise, n)
    joint, expected = [], []
    for mean, power, weight in zip(means.reshape(3, -1).numpy(), powers, weights, strict=True):
        S = covariance(power, n)
        joint.append(float(weight.log()) + multivariate_normal(mean, (S + N + (S + N).T) / 2).logpdf(flat))
        expected.append(mean + S @ np.linalg.solve(S + N, flat - mean))
    assert float(mixture.log_density(y)) == pytest.approx(logsumexp(joint), rel=1e-10)
    shares = np.exp(joint - logsumexp(joint))
    assert shares.max() < 0.999  # else only one component was tested
    np.testing.assert_allclose(mixture.responsibilities(y), shares, rtol=1e-9)
    found = mixture.denoise(y, CONTEXT[n]).reshape(-1)
    np.testing.assert_allclose(found, shares @ np.array(expected), rtol=1e-9, atol=1e-12)


def test_it_is_the_mean_of_the_clean_volumes_that_explain_the_noisy_one():
    """Importance sampling: draws of x from the prior, weighted by the likelihood of y, know no formula for E[x | y]."""
    n, draws = 3, 50_000
    means, noise, powers, weights, y = problem(n)
    rng = np.random.default_rng(1)
    component = rng.choice(3, draws, p=weights.numpy())
    white = torch.as_tensor(rng.normal(size=(draws, n, n, n)))
    roots = radial_expand(powers, n).sqrt()[torch.as_tensor(component)]
    x = means[torch.as_tensor(component)] + centred_irfft(roots * centred_rfft(white), n)
    error = centred_irfft(centred_rfft(y - x) / radial_expand(noise, n).sqrt(), n)
    shares = torch.softmax(-0.5 * (error**2).sum((1, 2, 3)), 0)
    estimate = (shares[:, None, None, None] * x).sum(0)
    found = GaussianMixture(means, noise, powers, weights).denoise(y, CONTEXT[n])
    uncertainty = ((shares**2)[:, None, None, None] * (x - estimate) ** 2).sum(0).sqrt()
    assert float(((found - estimate) / uncertainty).abs().max()) < 4.5


@pytest.mark.parametrize("n", [4, 5])
def test_one_component_is_the_wiener_filter(n):
    _, noise, powers, _, y = problem(n)
    found = GaussianMixture(torch.zeros(1, n, n, n), noise, powers[0]).denoise(y, CONTEXT[n])
    gain = radial_expand(powers[0] / (powers[0] + noise), n)
    torch.testing.assert_close(found, centred_irfft(gain * centred_rfft(y), n))


def test_far_from_all_components_nothing_underflows():
    means, noise, powers, weights, y = problem(4)
    mixture = GaussianMixture(means, noise, powers, weights)
    assert torch.isfinite(mixture.denoise(1e4 * y, CONTEXT[4])).all()
    assert torch.isfinite(mixture.log_density(1e4 * y))


def test_single_precision_comes_back_as_such():
    means, noise, powers, weights, y = problem(5)
    mixture = GaussianMixture(means.float(), noise.float(), powers.float(), weights.float())
    found = mixture.denoise(y.float(), CONTEXT[5])
    assert found.dtype == torch.float32
    expected = GaussianMixture(means, noise, powers, weights).denoise(y, CONTEXT[5])
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((torch.zeros(2, 4, 4, 5), 1.0), "the means have shape"),
        ((torch.zeros(4, 4, 4), 1.0), "the means have shape"),
        ((torch.zeros(2, 4, 4, 4), torch.ones(4)), r"noise power has shape \(4,\)"),
        ((torch.zeros(2, 4, 4, 4), 0.0), "positive"),
        ((torch.zeros(2, 4, 4, 4), 1.0, -1.0), "negative"),
        ((torch.zeros(2, 4, 4, 4), 1.0, 1.0, torch.ones(3)), "weights"),
        ((torch.zeros(2, 4, 4, 4), 1.0, 1.0, torch.zeros(2)), "weights"),
    ],
)
def test_arguments_that_do_not_suit_are_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        GaussianMixture(*arguments)


def test_a_volume_of_another_box_is_refused():
    with pytest.raises(InputError, match="the mixture's have"):
        GaussianMixture(torch.zeros(2, 4, 4, 4), 1.0).denoise(torch.zeros(5, 5, 5), CONTEXT[5])
