"""Half-spectrum conventions against NumPy's full transforms."""

import numpy as np
import pytest
import torch

from cryoinv.spaces import spectrum as sp

SIZES = [(n, d) for n in (7, 8) for d in (1, 2, 3)]


def real(n, ndim, *batch, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((*batch, *(n,) * ndim)))


@pytest.mark.parametrize(("n", "ndim"), SIZES)
def test_centred_transform_matches_numpy(n, ndim):
    x = real(n, ndim, 2)
    axes = tuple(range(1, ndim + 1))
    expected = np.fft.rfftn(np.fft.ifftshift(x.numpy(), axes), axes=axes, norm="ortho")
    assert np.allclose(sp.centred_rfft(x, ndim).numpy(), expected, atol=1e-13)
    assert torch.allclose(sp.centred_irfft(sp.centred_rfft(x, ndim), n, ndim), x, atol=1e-13)


@pytest.mark.parametrize(("n", "ndim"), SIZES)
def test_weights_reproduce_full_inner_product(n, ndim):
    x, y = real(n, ndim), real(n, ndim, seed=1)
    X, Y = sp.centred_rfft(x, ndim), sp.centred_rfft(y, ndim)
    half = (sp.hermitian_weights(n) * (X * Y.conj()).real).sum()
    assert torch.allclose(half, (x * y).sum())


@pytest.mark.parametrize(("n", "ndim"), SIZES)
def test_symmetrise_is_the_projection_onto_real_arrays(n, ndim):
    shape = (2, *(n,) * (ndim - 1), n // 2 + 1)
    X = torch.complex(torch.randn(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64))
    before = X.clone()
    P = sp.symmetrise(X, n, ndim)
    assert torch.equal(X, before)
    assert torch.allclose(P, sp.centred_rfft(sp.centred_irfft(X, n, ndim), ndim), atol=1e-13)
    assert torch.allclose(sp.symmetrise(P, n, ndim), P)


@pytest.mark.parametrize(("n", "ndim"), SIZES)
def test_shells_and_frequencies_match_numpy(n, ndim):
    k = [np.fft.fftfreq(n, 1 / n)] * (ndim - 1) + [np.arange(n // 2 + 1)]
    radius = np.sqrt(sum(a**2 for a in np.meshgrid(*k, indexing="ij")))
    assert np.array_equal(sp.shell_indices(n, ndim).numpy(), np.floor(radius + 0.5).astype(int))
    assert sp.shell_indices(n, ndim) is sp.shell_indices(n, ndim, torch.device("cpu"))


@pytest.mark.parametrize(("n", "ndim"), SIZES)
def test_radial_mean_equals_full_spectrum_mean(n, ndim):
    x = real(n, ndim, 3)
    power = sp.centred_rfft(x, ndim).abs() ** 2
    axes = tuple(range(1, ndim + 1))
    full = np.abs(np.fft.fftn(x.numpy(), axes=axes, norm="ortho")) ** 2
    k = np.meshgrid(*[np.fft.fftfreq(n, 1 / n)] * ndim, indexing="ij")
    shell = np.floor(np.sqrt(sum(a**2 for a in k)) + 0.5)
    expected = np.stack([full[:, shell == s].mean(axis=1) for s in range(n // 2 + 1)], axis=1)
    assert np.allclose(sp.radial_mean(power, n, ndim).numpy(), expected)


def test_radial_expand_inverts_radial_mean():
    profile = torch.arange(10.0).reshape(2, 5)
    assert torch.allclose(sp.radial_mean(sp.radial_expand(profile, 8, 3), 8, 3), profile)
    corner = sp.radial_expand(profile, 8, 3, outside=-1.0)[:, 4, 4, 4]
    assert torch.equal(corner, torch.full((2,), -1.0))


@pytest.mark.parametrize("n", [6, 7])
@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_pad_interpolates_and_crop_undoes_it(n, size, ndim):
    x = real(n, ndim)
    X = sp.centred_rfft(x, ndim)
    big = sp.fourier_pad(X, n, size, ndim)
    assert torch.allclose(sp.symmetrise(big, size, ndim), big)
    assert torch.allclose(sp.fourier_crop(big, size, n, ndim), X, atol=1e-14)


@pytest.mark.parametrize(("n", "size"), [(6, 12), (7, 21), (4, 8)])
def test_pad_keeps_the_samples(n, size):
    x = real(n, 3)
    fine = sp.centred_irfft(sp.fourier_pad(sp.centred_rfft(x), n, size), size) * (size / n) ** 1.5
    step, start = size // n, size // 2 - (n // 2) * (size // n)
    assert torch.allclose(fine[start::step, start::step, start::step], x, atol=1e-12)


@pytest.mark.parametrize(("n", "size"), [(9, 6), (8, 6), (9, 7), (8, 7), (8, 8)])
def test_crop_of_a_real_array_is_real(n, size):
    cropped = sp.fourier_crop(sp.centred_rfft(real(n, 3)), n, size)
    assert torch.allclose(sp.symmetrise(cropped, size), cropped, atol=1e-14)


def test_wrong_direction_is_refused():
    with pytest.raises(ValueError, match="larger box 8"):
        sp.fourier_crop(torch.ones(4, 3), 4, 8, 2)
    with pytest.raises(ValueError, match="smaller box 2"):
        sp.fourier_pad(torch.ones(4, 3), 4, 2, 2)
