import numpy as np
import pytest
import torch

from cryoinv.errors import InputError
from cryoinv.simulation import band_limit, centre_of_mass, low_pass, potential_map, resample
from cryoinv.simulation.lowpass import frequency_radius

from .analytic import tiny_model


@pytest.mark.parametrize("n", [20, 21])
def test_low_pass_transfer(n):
    impulse = np.zeros((n, n, n))
    impulse[0, 0, 0] = 1.0
    transfer = np.fft.rfftn(low_pass(impulse, 2.0, 10.0))
    radius, cut = frequency_radius(n), n * 2.0 / 10.0
    assert np.allclose(transfer[radius < cut - 1], 1, atol=1e-5)
    assert np.allclose(transfer[radius > cut + 1], 0, atol=1e-5)
    assert np.allclose(transfer[radius == 4].real, 0.5 if n == 20 else 0.654508, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [9, 10])
def test_low_pass_is_the_same_on_tensors_and_arrays(n, dtype):
    volume = np.random.default_rng(0).standard_normal((n, n, n)).astype(dtype)
    array, tensor = low_pass(volume, 2.0, 8.0), low_pass(torch.from_numpy(volume), 2.0, 8.0)
    assert array.dtype == dtype and tensor.dtype == getattr(torch, dtype)
    assert np.allclose(array, tensor.numpy(), atol=1e-6 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("resolution", [3.9, 41.0, np.nan])
def test_low_pass_out_of_range(resolution):
    with pytest.raises(InputError, match="from 40 to 4 Å"):
        low_pass(np.ones((20, 20, 20)), 2.0, resolution)


@pytest.mark.parametrize("n", [8, 9])
def test_band_limit_has_no_mateless_frequencies(n):
    spectrum = np.fft.rfftn(band_limit(np.random.default_rng(0).standard_normal((n, n, n))))
    assert np.abs(spectrum[frequency_radius(n) >= n / 2]).max() < 1e-5


@pytest.mark.parametrize(("n", "pixel_size"), [(32, 2.5), (33, 2.5), (27, 3.1), (48, 2.0), (20, 3.5)])
@pytest.mark.parametrize(("old_n", "old_pixel_size"), [(40, 2.2), (41, 2.2)])
def test_resampled_map_is_the_map_on_that_grid(old_n, old_pixel_size, n, pixel_size):
    model = tiny_model(spread=5.0)
    assert np.abs(centre_of_mass(model)).max() > 1
    resampled = resample(potential_map(model, old_n, old_pixel_size), old_pixel_size, n, pixel_size)
    expected = potential_map(model, n, pixel_size)
    assert np.abs(resampled - expected).max() < 2e-3 * expected.max()
