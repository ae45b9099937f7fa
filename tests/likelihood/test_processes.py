"""Statistics of shares of the particles add up to those of all."""

import numpy as np
import pytest
import torch

from cryoinv.geometry import SO3Grid
from cryoinv.likelihood import (
    ExhaustiveSearch,
    FourierImages,
    MarginalLikelihood,
    Oversampling,
    PosteriorSummary,
    initial_noise,
    own_statistics,
    statistics_of_all,
)
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators import NufftInterpolation
from cryoinv.operators.interpolation import TrilinearInterpolation
from cryoinv.parallel import Launch, Processes

from .problems import ArrayParticles, random_volume, simulate

N, COUNT = 12, 9


class Pretended(Processes):
    """Processes whose tensors and arrays are known beforehand, as one of them sees them."""

    def __init__(self, tensors, arrays):
        super().__init__()
        self.place, self.tensors, self.arrays = Launch(0, len(arrays)), tensors, arrays

    def sum(self, tensors):
        return [sum(parts[1:], parts[0].clone()) for parts in zip(*self.tensors, strict=True)]

    def gather(self, arrays):
        return self.arrays


@pytest.fixture(scope="module")
def images():
    return FourierImages(ArrayParticles(simulate(random_volume(N), COUNT, 0.5, seed=1)[0]))


@pytest.mark.parametrize("scheme", [TrilinearInterpolation(N), NufftInterpolation(N)])
def test_shares_add_up_even_where_one_is_empty(images, scheme):
    search = ExhaustiveSearch(SO3Grid(0), 1.0, 1.0, Oversampling())
    noise = RadialGaussianNoise.white(0.5, N // 2 + 1)
    likelihood, volume = MarginalLikelihood(images, noise, search, scheme), random_volume(N)
    whole = likelihood.expectation(volume)
    parts = np.split(np.arange(COUNT), [4, 4])
    shares = [own_statistics(likelihood, volume, part) for part in parts]
    tensors = [[s.data, s.weight, s.residuals.total, s.residuals.count] for s in shares]
    processes = Pretended(tensors, [s.particles.to_arrays() for s in shares])
    found = statistics_of_all(shares[1], processes)
    for name in ("data", "weight"):
        assert getattr(found, name).dtype == getattr(whole, name).dtype
        torch.testing.assert_close(getattr(found, name), getattr(whole, name), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.residuals.mean(), whole.residuals.mean(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.particles.indices, np.arange(COUNT))
    for name, values in whole.particles.to_arrays().items():
        np.testing.assert_allclose(found.particles.to_arrays()[name], values, rtol=1e-3, atol=1e-3)


def test_a_summary_comes_back_from_its_arrays_with_and_without_moments(images):
    noise = RadialGaussianNoise.white(0.5, N // 2 + 1)
    search = ExhaustiveSearch(SO3Grid(0), 0.0, 1.0, Oversampling())
    with_moments = MarginalLikelihood(images, noise, search).expectation(random_volume(N)).particles
    for summary in (with_moments, PosteriorSummary(**{**vars(with_moments), "moments": None})):
        again = PosteriorSummary.from_arrays(summary.to_arrays())
        assert (again.moments is None) is (summary.moments is None)
        for name, values in summary.to_arrays().items():
            np.testing.assert_array_equal(again.to_arrays()[name], values)


def test_images_of_others_are_read_and_not_kept(images):
    some = FourierImages(images.particles, own=np.array([7, 2, 4]))
    for wanted in ([4, 7], [0, 4], [5], []):
        assert torch.equal(some.transforms(np.array(wanted, int)), images.transforms(np.array(wanted, int)))
    assert [len(kept) for kept in some._cache.values()] == [3]


def test_initial_noise_of_shares_is_that_of_all(images):
    class Recorded(Processes):
        def sum(self, tensors):
            self.tensors = [tensor.clone() for tensor in tensors]
            return tensors

    recorded = []
    for share in (np.arange(3), np.arange(3, 9)):
        recorded.append(Recorded())
        initial_noise(images, share, recorded[-1])
    processes = Pretended([r.tensors for r in recorded], [{}, {}])
    found = initial_noise(images, np.arange(3), processes)
    torch.testing.assert_close(found.sigma2, initial_noise(images).sigma2)
