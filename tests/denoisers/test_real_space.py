"""Total variation, wavelets and non-local means: closed forms, brute force, noise level."""

from dataclasses import replace

import numpy as np
import pytest
import pywt
import torch

from cryoinv.denoisers import NonLocalMeans, PriorContext, TotalVariation, Wavelet, Wiener
from cryoinv.denoisers.real_space import noise_level
from cryoinv.errors import InputError
from cryoinv.metrics import jacobian_asymmetry, offset_error

from .denoiser_cases import problem

ALL = [TotalVariation, Wavelet, NonLocalMeans]


def noise(n, seed=0):
    return torch.randn(n, n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("n", [24, 25])
def test_noise_level_is_that_outside_the_particle(n):
    context = PriorContext.nominal(n, 3.0, 12.0, particle_radius=0.3 * n * 3.0)
    radius = torch.stack(torch.meshgrid(*[(torch.arange(n) - n // 2.0) ** 2] * 3, indexing="ij")).sum(0).sqrt()
    x = 2 * noise(n) + 5.0
    x[radius <= 0.3 * n] += 100.0
    x[radius > n / 2] *= 50.0  # corners, where reconstruction inflates the noise
    assert noise_level(x, context) == pytest.approx(2.0, rel=0.05)
    filled = replace(context, particle_radius=0.5 * n * 3.0)
    x[radius > n / 2] /= 50.0
    assert noise_level(x, filled) == pytest.approx(2.0, rel=0.05)  # from the corners


def test_noise_level_resists_outliers_and_no_voxel_decides_it():
    context, x = PriorContext.nominal(24, 3.0, 12.0), 2 * noise(24)
    whole = noise_level(x, context)
    soiled = x.clone()
    soiled.view(-1)[::100] += 1000.0
    assert noise_level(soiled, context) == pytest.approx(whole, rel=0.1)
    step = 1e-4  # the norm of the derivative along white noise, which is 1 for the median's one voxel
    changes = [noise_level(x + step * noise(24, seed), context) - whole for seed in range(1, 9)]
    assert np.sqrt(np.mean(np.square(changes))) / step < 0.15


@pytest.mark.parametrize(("make", "bar"), [(TotalVariation, 0.15), (Wavelet, 0.15)])
def test_jacobian_is_nearly_symmetric(make, bar):
    _, noisy, context = problem(16)
    f = make()
    assert jacobian_asymmetry(lambda x: f.denoise(x, context), noisy, automatic=False) < bar


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("n", [16, 17])
def test_strength_zero_and_masked_maps_leave_the_wiener_filter(make, n):
    _, noisy, context = problem(n)
    expected = Wiener().denoise(noisy, context)
    torch.testing.assert_close(make(strength=0.0).denoise(noisy, context), expected)
    small = replace(context, fsc=torch.ones_like(context.fsc))
    masked = torch.zeros_like(noisy)
    masked[n // 2, n // 2, n // 2] = 1.0
    whole = make().denoise(masked, small)
    assert torch.isfinite(whole).all()


@pytest.mark.parametrize("make", ALL)
def test_offset_equivariance_where_the_filter_keeps_the_mean(make):
    _, noisy, context = problem(16)
    context = replace(context, fsc=context.fsc.clone())
    context.fsc[1] = 1.0
    f = make()
    assert offset_error(lambda x: f.denoise(x, context), noisy) < 1e-10


@pytest.mark.parametrize("make", ALL)
def test_more_strength_leaves_less(make):
    _, noisy, context = problem(16, noise=0.3)
    norms = [float(make(strength=s).denoise(noisy, context).std()) for s in (0.0, 0.5, 1.0)]
    assert norms == sorted(norms, reverse=True) and norms[2] < norms[0]


def test_total_variation_of_a_step_is_known():
    """Two halves apart by a step: each moves by weight * area / volume = 2 weight / n towards the other."""
    n, weight = 8, 0.4
    step = np.zeros((n, n, n))
    step[n // 2 :] = 1.0
    found = TotalVariation(iterations=3000).smooth(step, weight)
    expected = np.where(step > 0, 1 - 2 * weight / n, 2 * weight / n)
    assert np.abs(found - expected).max() < 1e-4


def test_total_variation_minimises_its_objective():
    rng = np.random.default_rng(0)
    u, weight = rng.standard_normal((8, 8, 8)), 0.3

    def objective(x):
        steps = [np.diff(x, axis=axis, append=np.take(x, [-1], axis)) for axis in range(3)]
        return 0.5 * ((x - u) ** 2).sum() + weight * np.sqrt(sum(step**2 for step in steps)).sum()

    best = TotalVariation(iterations=2000).smooth(u, weight)
    least = objective(best)
    for _ in range(10):
        assert objective(best + 0.03 * rng.standard_normal(u.shape)) > least
    assert objective(best) <= objective(TotalVariation(iterations=50).smooth(u, weight)) < objective(u)


@pytest.mark.parametrize("n", [8, 9])
def test_one_grid_of_wavelets_is_bayes_shrink(n):
    """One level of Haar: thresholds sigma^2 / sqrt(mean square - sigma^2) written out."""
    rng = np.random.default_rng(1)
    x, sigma = rng.standard_normal((n, n, n)), 0.7
    coarse, details = pywt.wavedecn(x, "haar", level=1)
    for key, band in details.items():
        threshold = sigma**2 / np.sqrt(max((band**2).mean() - sigma**2, np.finfo(float).eps))
        details[key] = np.sign(band) * np.maximum(np.abs(band) - threshold, 0)
    expected = pywt.waverecn([coarse, details], "haar")[:n, :n, :n]
    np.testing.assert_allclose(Wavelet(shifts=0).smooth(x, sigma), expected, atol=1e-12)


def test_shifted_grids_make_even_boxes_equivariant_to_shifts():
    """Haar at one level has two grids an axis: with both, a shift by one voxel is a shift of the result."""
    x = noise(8).numpy()
    one, both = Wavelet(shifts=0), Wavelet(shifts=1)
    errors = [np.abs(f.smooth(np.roll(x, 1, 0), 0.7) - np.roll(f.smooth(x, 0.7), 1, 0)).max() for f in (one, both)]
    assert errors[0] > 0.1 and errors[1] < 1e-12


@pytest.mark.parametrize(("patch", "distance"), [(3, 2), (5, 1)])
def test_non_local_means_of_a_voxel_by_brute_force(patch, distance):
    n, sigma = 13, 0.8
    x = np.random.default_rng(2).standard_normal((n, n, n))
    found = NonLocalMeans(patch=patch, distance=distance).smooth(x, sigma)
    half, c = patch // 2, n // 2

    def around(place):
        return x[tuple(slice(p - half + 1, p + half + 1) for p in place)]

    total = weights = 0.0
    reach = range(-distance, distance + 1)
    for shift in np.array(np.meshgrid(reach, reach, reach)).reshape(3, -1).T:
        there = np.array((c, c, c)) + shift
        apart = max(((around((c, c, c)) - around(there)) ** 2 - 2 * sigma**2).sum(), 0) / patch**3
        weight = np.exp(-apart / (0.8 * sigma) ** 2)
        weight *= weight > np.exp(-5)
        total, weights = total + weight * x[tuple(there)], weights + weight
    assert found[c, c, c] == pytest.approx(total / weights, rel=2e-2)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        *[(lambda make=make: make(strength=-1.0), "strength is -1.0") for make in ALL],
        *[(lambda make=make: make(strength=np.nan), "strength") for make in ALL],
        *[(lambda make=make: make(cutoff=1.5), "cutoff is 1.5") for make in ALL],
        (lambda: TotalVariation(iterations=0), "0 iterations"),
        (lambda: Wavelet(wavelet="bior2.2"), "'bior2.2', expected the name of an orthogonal one"),
        (lambda: Wavelet(wavelet="gauss"), "'gauss'"),
        (lambda: Wavelet(shifts=-1), "shifts is -1"),
        (lambda: NonLocalMeans(patch=4), "patch is 4"),
        (lambda: NonLocalMeans(distance=0), "distance is 0"),
    ],
)
def test_values_out_of_range_are_refused(make, said):
    with pytest.raises(InputError, match=said):
        make()
