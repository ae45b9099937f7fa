"""How much of the reference comes back as data: against closed forms and the change of the maps."""

import numpy as np
import pytest
import torch

from cryoinv.geometry import PointGroup, SO3Grid
from cryoinv.io import ParticleStack
from cryoinv.likelihood import ExhaustiveSearch, FourierImages, MarginalLikelihood, Oversampling
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators import low_pass, soft_sphere
from cryoinv.operators.interpolation import interpolation_scheme
from cryoinv.refinement.retention import measured_retention, probe_noise, probe_particles, response
from cryoinv.simulation import demo_structure, potential_map, simulate_particles
from cryoinv.spaces import centred_rfft, radial_mean

N, PIXEL, WINDOW = 16, 8.0, 6.0
SPHERE = soft_sphere(N, 0.4 * N).float()


@pytest.fixture(scope="module")
def truth():
    return torch.as_tensor(potential_map(demo_structure(), N, PIXEL)).float()


def volume_of(data):
    return torch.as_tensor(np.array(data.volume)).float()


def likelihood_of(images, variance, order=1, symmetry="C1", oversampling=None):
    """Marginal likelihood of images without shifts under white noise of a variance a pixel."""
    transformed = FourierImages(ParticleStack.from_arrays(np.asarray(images, np.float32), PIXEL), torch.device("cpu"))
    noise = RadialGaussianNoise.white(variance, N // 2 + 1)
    scheme = interpolation_scheme(N, "trilinear", 2, "separable")
    group = PointGroup(symmetry)
    search = ExhaustiveSearch(SO3Grid(order, group), oversampling=oversampling)
    return MarginalLikelihood(transformed, noise, search, scheme, WINDOW, group)


def retention(likelihood, reference, seed=0):
    rng = np.random.default_rng(seed)
    sigma2 = likelihood.noise.sigma2[0]
    noise = [probe_noise(reference, SPHERE, sigma2, WINDOW, rng) for _ in range(2)]
    every = np.arange(len(likelihood.images))
    return measured_retention(likelihood, [reference] * 2, [every[::2], every[1::2]], noise, WINDOW)


def noise_images(count, variance=1.0):
    return np.random.default_rng(5).standard_normal((count, N, N)) * variance**0.5


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_of_images_of_noise_all_that_they_are_aligned_to_comes_back(truth, factor):
    """To first order in r, B(r) = sum_g P_g^* y y^* P_g r / sigma^4: K r where the noise is what the model says."""
    likelihood = likelihood_of(noise_images(200, factor), 1.0)
    faint = truth * 0.02 / float(truth.std())
    found = retention(likelihood, faint)
    assert found.shape == (N // 2 + 1,) and found.dtype == torch.float64
    torch.testing.assert_close(found[2:], torch.full_like(found[2:], factor), atol=0.12, rtol=0)


@pytest.mark.parametrize("symmetry", ["C4", "D2"])
def test_symmetry_mates_are_one_image(truth, symmetry):
    axis = torch.arange(N) - N // 2
    ball = torch.exp(-(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) / 20.0)  # has every symmetry
    found = retention(likelihood_of(noise_images(200), 1.0, symmetry=symmetry), 0.02 * ball / float(ball.std()))
    torch.testing.assert_close(found[2:7], torch.ones(5).double(), atol=0.2, rtol=0)


def test_a_search_of_the_best_poses_only_gives_back_more(truth):
    few = Oversampling(max_orientations=60)
    found = retention(likelihood_of(noise_images(60), 1.0, oversampling=few), truth * 0.02 / float(truth.std()))
    assert float(found[2:7].mean()) > 1.1


def test_where_images_decide_little_comes_back(truth):
    data = simulate_particles(truth.numpy(), PIXEL, 60, 20.0, seed=3)
    likelihood = likelihood_of(data.images(np.arange(60)), 1.0)
    assert float(retention(likelihood, volume_of(data)).abs().max()) < 0.25


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_it_is_the_change_of_the_map_along_the_change_of_the_reference(truth, scale):
    """What E-steps at r + t and r - t differ by, as volumes, projected onto t shell by shell."""
    data = simulate_particles(truth.numpy(), PIXEL, 120, 0.5, seed=3)
    likelihood = likelihood_of(data.images(np.arange(120)), 1.0)
    reference = scale * low_pass(volume_of(data), PIXEL, 40.0)
    t = probe_noise(reference, SPHERE, likelihood.noise.sigma2[0], WINDOW, np.random.default_rng(2))
    found = [likelihood.expectation(reference + sign * t) for sign in (1, -1)]
    up, down, sent = (centred_rfft(each) for each in (*(s.to_volume(s.unregularised()) for s in found), t))
    change = radial_mean(((up - down) / 2 * sent.conj()).real, N) / radial_mean(sent.abs() ** 2, N)
    given, back = response(*found, t)
    torch.testing.assert_close((back / given)[1:6], change[1:6].double(), atol=0.15 if scale == 1 else 0.3, rtol=0)
    assert 0.2 < float(change[1:6].mean()) < 0.95 or scale < 1


class TestNoise:
    def reference(self, truth):
        return low_pass(truth, PIXEL, 40.0)

    def test_it_is_as_strong_as_the_error_of_a_map(self, truth):
        sigma2 = torch.linspace(1.0, 3.0, N // 2 + 1)
        reference = self.reference(truth)
        found = probe_noise(reference, torch.ones(N, N, N), sigma2, WINDOW, np.random.default_rng(0), 0.01)
        power, signal = (radial_mean(centred_rfft(each).abs() ** 2, N) for each in (found, reference))
        shells = torch.arange(N // 2 + 1.0)
        level = (power / (shells * sigma2))[1:7]
        torch.testing.assert_close(level, level.mean().expand(6), rtol=1e-3, atol=0)
        assert float(power[0]) < 1e-9 and float(power[7:].max()) < 1e-6 * float(power[1:7].min())
        seen = lambda p: float((shells * p / sigma2)[1:7].sum())  # noqa: E731
        assert seen(power) == pytest.approx(0.01 * seen(signal), rel=1e-3)

    def test_it_is_where_the_mask_is_and_the_same_for_the_same_seed(self, truth):
        draw = lambda seed: probe_noise(  # noqa: E731
            self.reference(truth), SPHERE, torch.ones(N // 2 + 1), WINDOW, np.random.default_rng(seed)
        )
        assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))
        outside, inside = (float(draw(1)[where].abs().mean()) for where in (SPHERE == 0, SPHERE > 0.5))
        assert outside < 0.4 * inside

    def test_a_reference_of_nothing_gives_and_gets_nothing(self):
        likelihood = likelihood_of(noise_images(10), 1.0)
        assert torch.equal(retention(likelihood, torch.zeros(N, N, N)), torch.zeros(N // 2 + 1).double())


def test_the_same_particles_are_asked_whoever_holds_them():
    halves = np.array([1, 2] * 100 + [1] * 7)
    first, second = probe_particles(halves, 30, seed=4)
    assert len(first) == len(second) == 30 and (halves[first] == 1).all() and (halves[second] == 2).all()
    assert all(map(np.array_equal, probe_particles(halves, 30, seed=4), (first, second)))
    first, second = probe_particles(halves, 500)
    assert len(first) == 107 and len(second) == 100 and len(np.unique(first)) == 107
