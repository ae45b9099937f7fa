"""The resolution rule, case by case."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cryoinv.errors import InputError
from cryoinv.metrics import resolution_at


def test_first_crossing_is_interpolated():
    curve = np.array([1, 0.9, 0.8, 0.4, 0.7, 0.9, 0.0])
    found = resolution_at(curve, 0.5, n=12, pixel_size=1.5)
    assert found.shell == pytest.approx(2.75)
    assert found.angstrom == pytest.approx(12 * 1.5 / 2.75)
    assert not found.reached_nyquist
    assert resolution_at(torch.from_numpy(curve), 0.5, 12, 1.5) == found


@pytest.mark.parametrize("n", [8, 9])
def test_never_crossed_is_the_nyquist(n):
    found = resolution_at(np.full(n // 2 + 1, 0.6), 0.5, n, pixel_size=3.0)
    assert found.reached_nyquist
    assert found.angstrom == pytest.approx(6.0)
    assert found.shell == n / 2


def test_touching_the_threshold_is_not_crossing_it():
    assert resolution_at(np.full(5, 0.5), 0.5, 8, 1.0).reached_nyquist


def test_nothing_resolved_is_the_largest_scale_not_nyquist():
    found = resolution_at(np.array([1.0, 0.1, 0.0, 0.1, 0.9, 0.9]), 0.5, n=10, pixel_size=2.0)
    assert found.angstrom == 20.0
    assert found.shell == 1.0
    assert not found.reached_nyquist


@pytest.mark.parametrize("below", [1, 2])
def test_a_weak_beginning_in_the_first_shells_is_forgiven(below):
    curve = np.array([0.0, 0.9, 0.9, 0.9, 0.9, 0.4, 0.0])
    curve[1 : 1 + below] = 0.3
    assert resolution_at(curve, 0.5, 12, 1.0).shell == pytest.approx(4.8)


def test_shell_zero_is_ignored():
    curve = np.array([-1.0, 0.9, 0.9, 0.1])
    assert resolution_at(curve, 0.5, 6, 1.0) == resolution_at(np.abs(curve), 0.5, 6, 1.0)


@given(st.floats(1.0, 14.9), st.floats(0.3, 10.0), st.sampled_from([0.143, 0.5]))
def test_straight_line_crosses_where_it_should(shell, pixel_size, threshold):
    curve = np.clip(threshold + 0.05 * (shell - np.arange(17)), -1, 1)
    found = resolution_at(curve, threshold, 32, pixel_size)
    assert found.shell == pytest.approx(shell, abs=1e-6)
    assert found.angstrom == pytest.approx(32 * pixel_size / shell)


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_resolves_nothing_fine(seed):
    """Independent noise: 0.143 may be exceeded by chance only in the lowest shells."""
    from cryoinv.metrics import fourier_shell_correlation

    a, b = np.random.default_rng(seed).standard_normal((2, 24, 24, 24))
    found = resolution_at(fourier_shell_correlation(a, b), 0.143, 24, 1.0)
    assert found.shell < 5


def test_malformed_curves_are_refused():
    with pytest.raises(InputError, match=r"box 8 has 5 shells, found shape \(4,\)"):
        resolution_at(np.ones(4), 0.5, 8, 1.0)
    with pytest.raises(InputError, match="not finite at shell 2"):
        resolution_at(np.array([1, 1, np.nan, 0, 0]), 0.5, 8, 1.0)
    with pytest.raises(InputError, match="positive, found 0"):
        resolution_at(np.ones(5), 0.5, 8, 0.0)
    with pytest.raises(InputError):
        resolution_at(np.ones(1), 0.5, 1, 1.0)


def test_text():
    assert str(resolution_at(np.array([1, 1, 0, 0]), 0.5, 6, 1.0)) == "4.00 Å"
