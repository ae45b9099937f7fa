"""What holds for the FSC of any two maps."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cryoinv.metrics import fourier_shell_correlation


@given(st.integers(8, 17), st.sampled_from([2, 3]), st.integers(0, 2**31), st.floats(0, 1), st.floats(1e-6, 1e6))
def test_bounds_symmetry_and_scale(n, ndim, seed, common, scale):
    rng = np.random.default_rng(seed)
    signal, a, b = rng.standard_normal((3,) + (n,) * ndim)
    a, b = common * signal + (1 - common) * a, common * signal + (1 - common) * b
    curve = fourier_shell_correlation(a, b)
    assert curve.shape == (n // 2 + 1,) and np.isfinite(curve).all() and np.abs(curve).max() <= 1 + 1e-12
    np.testing.assert_allclose(fourier_shell_correlation(b, a), curve, atol=1e-12)
    np.testing.assert_allclose(fourier_shell_correlation(a, scale * b), curve, atol=1e-10)
    np.testing.assert_allclose(fourier_shell_correlation(a, -b), -curve, atol=1e-12)
    np.testing.assert_allclose(fourier_shell_correlation(a, a), 1, atol=1e-12)


@given(st.integers(8, 17), st.integers(0, 2**31))
def test_maps_without_power_correlate_with_nothing(n, seed):
    a = np.random.default_rng(seed).standard_normal((n, n, n))
    assert not fourier_shell_correlation(a, np.zeros_like(a)).any()
    constant = fourier_shell_correlation(a, np.full_like(a, 3.0))
    assert np.isfinite(constant).all() and np.abs(constant).max() <= 1 + 1e-12
