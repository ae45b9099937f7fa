"""Weights that estimates divide by, against direct sums over coefficients."""

import numpy as np
import pytest
import torch

from cryoinv.geometry import Poses
from cryoinv.likelihood import FourierImages, known_pose_statistics
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators.interpolation import NufftInterpolation, TrilinearInterpolation
from cryoinv.operators.lumping import neighbours_mean
from cryoinv.spaces.spectrum import symmetrise

from .problems import ArrayParticles, random_volume, simulate


def statistics(scheme, count, seed=0):
    n = scheme.n
    images, rotations = simulate(random_volume(n), count, 0.0, seed)
    fourier = FourierImages(ArrayParticles(images), dtype=torch.float64)
    return known_pose_statistics(fourier, RadialGaussianNoise.white(1.0, n // 2 + 1), Poses(rotations), scheme)


@pytest.mark.parametrize("n", [6, 7])
def test_mean_of_neighbours_is_the_direct_sum(n):
    rng = np.random.default_rng(0)
    half = symmetrise(torch.as_tensor(rng.random((n, n, n // 2 + 1))), n, 3)
    full = torch.fft.fftn(torch.fft.irfftn(half, s=(n,) * 3)).real.numpy()
    offset = np.minimum(1, 1 / np.maximum(n * np.abs(np.sin(np.pi * np.arange(n) / n)), 1e-300))
    kernel = offset[:, None, None] * offset[:, None] * offset
    expected = np.zeros((n, n, n))
    for j in np.ndindex(n, n, n):
        expected += full[j] * np.roll(kernel, j, (0, 1, 2)) / kernel.sum()
    np.testing.assert_allclose(neighbours_mean(half, n), expected[:, :, : n // 2 + 1], rtol=1e-10)


def test_trilinear_weights_are_taken_as_they_are():
    found = statistics(TrilinearInterpolation(8), 5)
    assert found.curvature() is found.weight


def test_nufft_weights_have_no_gaps_and_are_hardly_changed_by_that_where_there_are_none():
    few, many = (statistics(NufftInterpolation(8, 1e-12), count) for count in (2, 2000))
    highest = float(few.from_volume(random_volume(8)).abs().max())
    assert float((few.data / few.weight.clamp(min=1e-6)).abs().max()) > 1e3 * highest
    assert float((few.data / few.curvature()).abs().max()) < 3 * highest
    measured = many.shell_mean(many.weight)[1:4]
    torch.testing.assert_close(many.shell_mean(many.curvature())[1:4], measured, rtol=0.05, atol=0)
