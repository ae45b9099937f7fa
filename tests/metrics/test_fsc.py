"""FSC and gain against a loop over the full spectrum, and closed forms."""

import numpy as np
import pytest
import torch

from cryoinv.errors import InputError
from cryoinv.metrics import fourier_shell_correlation, fsc_from_spectra, shell_gain
from cryoinv.spaces.spectrum import centred_rfft


def brute_force(a, b):
    """Cross power and both powers of every shell, summed one coefficient at a time over the full spectrum."""
    n = len(a)
    A, B = np.fft.fftn(a), np.fft.fftn(b)
    k = np.fft.fftfreq(n, 1 / n)
    sums = np.zeros((3, n // 2 + 1))
    for index in np.ndindex(a.shape):
        s = int(np.floor(np.sqrt(sum(k[i] ** 2 for i in index)) + 0.5))
        if s <= n // 2:
            sums[0, s] += (A[index] * np.conj(B[index])).real
            sums[1, s] += abs(A[index]) ** 2
            sums[2, s] += abs(B[index]) ** 2
    return sums


@pytest.mark.parametrize("n", [8, 9])
@pytest.mark.parametrize("ndim", [2, 3])
def test_against_full_spectrum_loop(n, ndim):
    rng = np.random.default_rng(n)
    a, b = rng.standard_normal((2,) + (n,) * ndim)
    b += a
    cross, power_a, power_b = brute_force(a, b)
    np.testing.assert_allclose(
        fourier_shell_correlation(a, b), cross / np.sqrt(power_a * power_b), atol=1e-12
    )
    np.testing.assert_allclose(shell_gain(b, a), cross / power_a, atol=1e-12)


def test_torch_and_spectra_agree_with_numpy():
    a, b = np.random.default_rng(0).standard_normal((2, 8, 8, 8)).astype(np.float32)
    expected = fourier_shell_correlation(a, b)
    found = fourier_shell_correlation(torch.from_numpy(a), torch.from_numpy(b))
    assert isinstance(expected, np.ndarray) and isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    spectra = (centred_rfft(torch.from_numpy(x)) for x in (a, b))
    np.testing.assert_allclose(fsc_from_spectra(*spectra, 8).numpy(), expected, atol=1e-5)


def test_symmetric_and_blind_to_scale_and_common_shift():
    a, b = np.random.default_rng(1).standard_normal((2, 9, 9, 9))
    fsc = fourier_shell_correlation(a, b)
    np.testing.assert_allclose(fourier_shell_correlation(b, a), fsc)
    np.testing.assert_allclose(fourier_shell_correlation(1e-20 * a, 1e20 * b), fsc, atol=1e-12)
    moved = [np.roll(x, (1, 2, 3), (0, 1, 2)) for x in (a, b)]
    np.testing.assert_allclose(fourier_shell_correlation(*moved), fsc, atol=1e-12)


def test_expected_value_is_snr_over_snr_plus_one():
    rng = np.random.default_rng(2)
    signal, e1, e2 = rng.standard_normal((3, 32, 32, 32))
    fsc = fourier_shell_correlation(signal + e1, signal + e2)
    assert fsc[8:].mean() == pytest.approx(0.5, abs=0.02)


def test_empty_shells_count_as_zero():
    flat = np.ones((6, 6, 6))
    np.testing.assert_allclose(fourier_shell_correlation(flat, flat), [1, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(shell_gain(2 * flat, flat)[0], 2)
    assert (fourier_shell_correlation(flat * 0, flat) == 0).all()


def test_big_endian_and_flipped_arrays():
    a = np.random.default_rng(3).standard_normal((5, 5, 5)).astype(">f4")[::-1]
    np.testing.assert_allclose(fourier_shell_correlation(a, a), 1)


def test_shapes_are_named():
    with pytest.raises(InputError, match=r"\(4, 4, 4\) and \(6, 6, 6\)"):
        fourier_shell_correlation(np.ones((4, 4, 4)), np.ones((6, 6, 6)))
    with pytest.raises(InputError, match="cubic"):
        shell_gain(np.ones((4, 4, 6)), np.ones((4, 4, 6)))
