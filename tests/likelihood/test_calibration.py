"""The posterior says what it means: credible sets hold the truth as often as they claim, on a grid of poses."""

import numpy as np
import pytest
import torch

from cryoinv.geometry import SO3Grid
from cryoinv.likelihood import ExhaustiveSearch, FourierImages, MarginalLikelihood
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators.interpolation import TrilinearInterpolation
from cryoinv.operators.mask import soft_sphere
from cryoinv.operators.pixels import FourierDisc
from cryoinv.spaces.spectrum import centred_rfft

from .problems import ArrayParticles, random_volume

N, COUNT = 24, 500


@pytest.fixture(scope="module")
def model():
    """Images from the model itself at grid poses, SNR about 0.04, and where each came from."""
    volume = random_volume(N, seed=4).float()
    interpolation = TrilinearInterpolation(N)
    search = ExhaustiveSearch(SO3Grid(1), 2.0, 1.0)
    disc = FourierDisc(N)
    rng = np.random.default_rng(7)
    orientation, translation = rng.integers(len(search.rotations), size=COUNT), rng.integers(13, size=COUNT)
    rotations = torch.as_tensor(search.rotations[orientation])
    slices = interpolation.slices(interpolation.prepare(volume), rotations, disc.pixels)
    angle = -2 * np.pi / N * torch.as_tensor(search.translations[translation]) @ disc.pixels.double().T
    slices = slices * torch.polar(torch.ones_like(angle), angle).to(slices.dtype)
    clean = torch.fft.fftshift(
        torch.fft.irfft2(disc.place(slices), s=(N, N), norm="ortho"), dim=(-2, -1)
    ).numpy()
    scale = np.sqrt(0.04 / clean.var((1, 2)).mean())
    noise = rng.normal(size=clean.shape)
    images = (scale * clean + noise).astype(np.float32)
    return volume * float(scale), search, images, noise, orientation, translation


def levels(model, sigma2):
    """Mass of the poses likelier than the truth (a uniform number if calibrated), p(truth), and sum p^2."""
    volume, search, images, _, orientation, translation = model
    noise = RadialGaussianNoise(sigma2)
    likelihood = MarginalLikelihood(
        FourierImages(ArrayParticles(images)), noise, search, TrilinearInterpolation(N)
    )
    above, true, square = [], [], []
    for block in np.array_split(np.arange(COUNT), 4):
        table = likelihood.posterior(volume, block).double().flatten(1)
        index = torch.as_tensor(translation[block] * len(search.rotations) + orientation[block])
        mass = table.gather(1, index[:, None])
        above += (torch.where(table > mass, table, 0).sum(1) + mass[:, 0] * torch.rand(len(block))).tolist()
        true += mass[:, 0].tolist()
        square += (table**2).sum(1).tolist()
    return np.array(above), np.array(true), np.array(square)


def white():
    return torch.ones(1, N // 2 + 1)


def assert_calibrated(above):
    for share in (0.1, 0.5, 0.9):
        error = np.sqrt(share * (1 - share) / COUNT)
        assert abs((above <= share).mean() - share) <= 3 * error, share


def test_credible_sets_hold_the_truth_as_often_as_they_say(model):
    torch.manual_seed(0)
    above, true, square = levels(model, white())
    assert_calibrated(above)
    assert abs(true.mean() - square.mean()) <= 3 * np.std(true - square) / np.sqrt(COUNT)


def test_counting_hermitian_mates_twice_is_not_calibrated(model):
    above, true, square = levels(model, white() / 2)
    with pytest.raises(AssertionError):
        assert_calibrated(above)
    assert square.mean() > true.mean() + 3 * np.std(true - square) / np.sqrt(COUNT)


def test_noise_power_of_masked_images_is_not_calibrated(model):
    mask = soft_sphere(N, N / 2 - 5, 5.0, ndim=2).numpy()
    masked = centred_rfft(torch.as_tensor(model[3] * mask), ndim=2)
    power = float((masked.abs() ** 2).mean())
    assert power < 0.6  # about the masked share of the image: the true power is 1
    above, true, square = levels(model, power * white())
    with pytest.raises(AssertionError):
        assert_calibrated(above)
    assert square.mean() > true.mean() + 3 * np.std(true - square) / np.sqrt(COUNT)
