"""Resampling into the truth's frame: closed forms, exact cases, odd and even boxes."""

import numpy as np
import pytest
import torch

from cryoinv.errors import InputError
from cryoinv.geometry import matrix_from_euler, random_rotations
from cryoinv.metrics import fourier_shell_correlation, map_in_true_frame


def gaussian(n, centre):
    axis = np.arange(n) - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2) / 4)


@pytest.mark.parametrize("n", [24, 25])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_point_moves_where_it_should(n, mirrored):
    """V_true(x) = V_est(M G^T x): a Gaussian of the estimate at c goes to G M c."""
    G, c = random_rotations(1, np.random.default_rng(n))[0], np.array([3.0, -1.5, 2.0])
    target = G @ (c * [1, 1, -1 if mirrored else 1])
    np.testing.assert_allclose(map_in_true_frame(gaussian(n, c), G, mirrored), gaussian(n, target), atol=1e-4)


@pytest.mark.parametrize("n", [8, 9])
def test_mirror_is_exact_and_its_own_inverse(n):
    volume = np.random.default_rng(0).standard_normal((n, n, n)).astype(np.float32)
    once = map_in_true_frame(volume, np.eye(3), mirrored=True)
    assert (map_in_true_frame(once, np.eye(3), mirrored=True) == volume).all()
    assert (once[n // 2] == volume[n // 2]).all()
    assert (once[n // 2 + 1] == volume[n // 2 - 1]).all()
    assert once.dtype == np.float32


@pytest.mark.parametrize("n", [15, 16])
def test_quarter_turn_permutes_voxels(n):
    """Rz(90) takes (x, y) to (y, -x) on the common voxels; beyond the edge there is 0."""
    volume = np.random.default_rng(1).standard_normal((n, n, n))
    turned = map_in_true_frame(volume, matrix_from_euler([90, 0, 0]))
    h = (n - 1) // 2
    inner = slice(n // 2 - h, n // 2 + h + 1)
    if n % 2:  # an even box has a Nyquist plane, whose sign of frequency is not defined
        np.testing.assert_allclose(turned, np.rot90(volume, 1, axes=(1, 2)), atol=1e-6)
    else:
        smooth = gaussian(n, (2, 1, -1))
        found = map_in_true_frame(smooth, matrix_from_euler([90, 0, 0]))[inner, inner, inner]
        np.testing.assert_allclose(found, np.rot90(smooth[inner, inner, inner], 1, axes=(1, 2)), atol=1e-6)


def test_there_and_back_keeps_the_fsc_at_one():
    rng = np.random.default_rng(2)
    volume = gaussian(32, (4, 2, -3)) + 0.5 * gaussian(32, (-3, 1, 2)) + 0.7 * gaussian(32, (0, -4, 1))
    G = random_rotations(1, rng)[0]
    back = map_in_true_frame(map_in_true_frame(volume, G), G.T)
    assert fourier_shell_correlation(back, volume)[:11].min() > 0.9999


def test_torch_in_torch_out_and_input_unchanged():
    volume = torch.from_numpy(gaussian(12, (1, 0, 2))).float()
    copy = volume.clone()
    found = map_in_true_frame(volume, matrix_from_euler([10, 20, 30]), mirrored=True)
    assert isinstance(found, torch.Tensor) and found.dtype == torch.float32
    assert (volume == copy).all()
    same = map_in_true_frame(volume.numpy(), np.eye(3))
    assert not np.shares_memory(same, volume.numpy())


def test_refusals():
    with pytest.raises(InputError, match="cubic"):
        map_in_true_frame(np.zeros((4, 4, 6)), np.eye(3))
    for bad in (np.diag([1.0, 1.0, -1.0]), np.eye(2), 2 * np.eye(3)):
        with pytest.raises(InputError, match="rotation matrix"):
            map_in_true_frame(np.zeros((4, 4, 4)), bad)
