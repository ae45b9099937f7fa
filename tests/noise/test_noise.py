"""Noise powers: density of independent coefficients, estimation, refusal of what is not a power."""

import numpy as np
import pytest
import torch

from cryoinv.errors import InputError
from cryoinv.likelihood import FourierImages, initial_noise
from cryoinv.noise import RadialGaussianNoise, ResidualPower
from cryoinv.operators.pixels import FourierDisc

from ..likelihood.problems import ArrayParticles


def test_log_density_is_that_of_the_independent_gaussians():
    """White noise of unit variance: the disc's coefficients are independent normals, one real at DC, two elsewhere."""
    from scipy.stats import norm

    disc = FourierDisc(9)
    noise = RadialGaussianNoise.white(1.7, 5)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(len(disc), 2)) * np.sqrt(1.7 / 2)
    values[0] = rng.normal() * np.sqrt(1.7), 0
    expected = norm.logpdf(values[1:], scale=np.sqrt(1.7 / 2)).sum() + norm.logpdf(
        values[0, 0], scale=np.sqrt(1.7)
    )
    energy = -0.5 * (disc.weights.numpy() * (values**2).sum(1) / 1.7).sum()
    np.testing.assert_allclose(energy + noise.log_normalisation(0, disc.shells, disc.weights), expected)


@pytest.mark.parametrize("n", [8, 9])
def test_transform_of_white_noise_has_the_power_the_weights_say(n):
    images = FourierImages(
        ArrayParticles(np.random.default_rng(0).normal(size=(4000, n, n))), dtype=torch.float64
    )
    noise = initial_noise(images)
    filled = noise.sigma2[0, : (n - 1) // 2 + 1]
    np.testing.assert_allclose(filled, 1, atol=0.08)


def test_residuals_add_and_fill_empty_shells_from_below():
    first, second = ResidualPower.zeros(1, 4), ResidualPower.zeros(1, 4)
    shells, weights = torch.tensor([0, 1, 1]), torch.tensor([1.0, 2.0, 2.0])
    first.add(0, torch.tensor([4.0, 2.0, 6.0]), shells, weights, 2)
    second.add(0, torch.tensor([2.0, 4.0, 4.0]), shells, weights, 1)
    np.testing.assert_allclose((first + second).mean()[0], [2.0, 16 / 6, 16 / 6, 16 / 6])


def test_initial_noise_keeps_groups_apart():
    rng = np.random.default_rng(1)
    images = rng.normal(size=(600, 8, 8))
    images[300:] *= 3
    groups = np.repeat([0, 1], 300)
    noise = initial_noise(FourierImages(ArrayParticles(images, groups=groups), dtype=torch.float64))
    np.testing.assert_allclose(noise.sigma2[:, :4].mean(1), [1, 9], rtol=0.1)


def test_initial_noise_of_groups_of_two_is_not_low():
    images = np.random.default_rng(1).normal(size=(400, 8, 8))
    fourier = FourierImages(ArrayParticles(images, groups=np.arange(400) // 2), dtype=torch.float64)
    np.testing.assert_allclose(initial_noise(fourier).sigma2[:, 1:4].mean(), 1, atol=0.05)


def test_a_group_without_particles_has_the_power_of_the_others():
    """A selection of particles keeps the optics table, and may leave a group in it empty."""
    images = np.random.default_rng(1).normal(size=(200, 8, 8))
    groups = np.repeat([1, 3], 100)
    noise = initial_noise(FourierImages(ArrayParticles(images, groups=groups), dtype=torch.float64))
    assert noise.sigma2.shape[0] == 4
    np.testing.assert_allclose(noise.sigma2[[0, 2]].numpy(), noise.sigma2[[1, 3]].mean(0).expand(2, -1), rtol=1e-6)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_a_power_that_is_none_is_refused_by_group_and_shell(bad):
    sigma2 = torch.ones(2, 5)
    sigma2[1, 3] = bad
    with pytest.raises(InputError, match="optics group 2, shell 3"):
        RadialGaussianNoise(sigma2)
