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


def low_frequency_noise(count, n, rng):
    """White noise of power 1 with ten times that in shells 0 to 2."""
    images = rng.normal(size=(count, n, n))
    k = np.fft.fftfreq(n, 1 / n)
    low = np.hypot(k[:, None], k) < 2.5
    return np.fft.ifft2(np.fft.fft2(images) * np.where(low, np.sqrt(10), 1)).real


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_a_group_of_one_particle_borrows_the_low_shells_of_the_others_at_its_own_level(scale):
    rng = np.random.default_rng(2)
    powers = []
    for _ in range(50):
        images = low_frequency_noise(61, 16, rng)
        images[60] *= scale
        fourier = FourierImages(ArrayParticles(images, groups=np.repeat([0, 1], [60, 1])), dtype=torch.float64)
        powers.append(initial_noise(fourier).sigma2[1, :8] / scale**2)
    relative = torch.stack(powers) / torch.tensor([10.0] * 3 + [1.0] * 5)
    assert float(relative.min()) > 0.4 and float(relative.max()) < 2.5
    np.testing.assert_allclose(relative.mean(0), 1, atol=0.12)


def test_a_single_particle_borrows_from_its_own_higher_shells():
    rng = np.random.default_rng(3)
    for mean in (True, False):
        images = rng.normal(size=(1, 16, 16))
        images -= images.mean() * mean
        sigma2 = initial_noise(FourierImages(ArrayParticles(images), dtype=torch.float64)).sigma2
        assert float(sigma2.min()) > 0.4 and float(sigma2.max()) < 2.5


def test_re_estimated_power_of_a_shell_explained_to_the_last_is_not_zero():
    """Residuals of one particle that its map fits exactly in the lowest shells."""
    few = ResidualPower(torch.tensor([[0.0, 0.0, 40.0, 60.0]]), torch.tensor([[1.0, 8.0, 20.0, 30.0]]))
    assert float(RadialGaussianNoise.from_residuals(few).sigma2.min()) > 0.5


def test_shells_with_enough_coefficients_are_not_touched():
    rng = np.random.default_rng(4)
    total, count = torch.as_tensor(rng.random((3, 6))), torch.full((3, 6), 50.0, dtype=torch.float64)
    found = RadialGaussianNoise.from_residuals(ResidualPower(total, count)).sigma2
    assert torch.equal(found, total / count)


def test_blank_images_are_refused():
    with pytest.raises(InputError, match="optics group 1, shell 0"):
        initial_noise(FourierImages(ArrayParticles(np.zeros((3, 8, 8))), dtype=torch.float64))
