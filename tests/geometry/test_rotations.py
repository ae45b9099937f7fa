"""Rotation conventions against explicit matrices and scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from cryoinv.errors import InputError
from cryoinv.geometry import (
    euler_from_matrix,
    exp_rotation,
    matrix_from_euler,
    matrix_from_quaternion,
    quaternion_from_matrix,
    random_rotations,
    rotation_distance,
)

angle = st.floats(-720, 720, allow_nan=False)


def relion_matrix(rot, tilt, psi):
    """RELION's entries written out, term by term."""
    ca, cb, cg = np.cos(np.deg2rad([rot, tilt, psi]))
    sa, sb, sg = np.sin(np.deg2rad([rot, tilt, psi]))
    return np.array(
        [
            [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb],
            [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb],
            [sb * ca, sb * sa, cb],
        ]
    )


@settings(max_examples=100, deadline=None)
@given(angle, angle, angle)
def test_euler_matrix_is_relions_and_comes_back(rot, tilt, psi):
    A = matrix_from_euler([rot, tilt, psi])
    np.testing.assert_allclose(A, relion_matrix(rot, tilt, psi), atol=1e-12)
    back = euler_from_matrix(A)
    assert 0 <= back[1] <= 180
    np.testing.assert_allclose(matrix_from_euler(back), A, atol=1e-12)


@pytest.mark.parametrize("tilt", [0, 1e-13, 1e-9, 1e-5, 180 - 1e-9, 180])
def test_euler_angles_at_the_poles(tilt):
    A = matrix_from_euler([50.0, tilt, 25.0])
    back = euler_from_matrix(A)
    np.testing.assert_allclose(matrix_from_euler(back), A, atol=1e-12)
    if tilt in (0, 180):
        assert back[0] == 0


def test_active_left_multiplication():
    """An axis along the viewing direction (rot, tilt) lands on image z."""
    rot, tilt = np.deg2rad([35.0, 70.0])
    direction = [np.sin(tilt) * np.cos(rot), np.sin(tilt) * np.sin(rot), np.cos(tilt)]
    image = matrix_from_euler([35, 70, 123]) @ direction
    np.testing.assert_allclose(image, [0, 0, 1], atol=1e-12)


def test_quaternions_against_the_textbook_formula():
    rng = np.random.default_rng(0)
    R = random_rotations(50, rng).reshape(5, 10, 3, 3)
    q = quaternion_from_matrix(R)
    assert q.shape == (5, 10, 4)
    assert (q[..., 0] >= 0).all()
    w, v = q[..., :1], q[..., 1:]
    x = rng.standard_normal(3)
    turned = x + 2 * np.cross(v, np.cross(v, x) + w * x)
    np.testing.assert_allclose(turned, R @ x, atol=1e-12)
    np.testing.assert_allclose(matrix_from_quaternion(-3 * q), R, atol=1e-12)


def test_exp_is_the_matrix_exponential():
    v = np.random.default_rng(1).standard_normal((4, 3))
    for vector, R in zip(v, exp_rotation(v), strict=True):
        x, y, z = vector
        np.testing.assert_allclose(R, expm([[0, -z, y], [z, 0, -x], [-y, x, 0]]), atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 180), st.integers(0, 2**32 - 1))
def test_distance_is_the_rotation_angle(degrees, seed):
    """Exact for tiny and for half turns alike, symmetric, and unchanged by a common rotation."""
    rng = np.random.default_rng(seed)
    a, g = random_rotations(2, rng)
    axis = rng.standard_normal(3)
    b = a @ exp_rotation(np.deg2rad(degrees) * axis / np.linalg.norm(axis))
    assert rotation_distance(a, b) == pytest.approx(degrees, abs=5e-6)
    assert rotation_distance(b, a) == rotation_distance(a, b)
    assert rotation_distance(g @ a, g @ b) == pytest.approx(degrees, abs=5e-6)


def test_distance_broadcasts_and_keeps_small_angles():
    a = random_rotations(6, np.random.default_rng(2)).reshape(2, 1, 3, 3, 3)
    assert rotation_distance(a, a[:, :, :1]).shape == (2, 1, 3)
    tiny = exp_rotation([0, 0, 1e-9])
    assert rotation_distance(np.eye(3), tiny) == pytest.approx(np.rad2deg(1e-9), rel=1e-6)


def test_random_rotations_are_uniform():
    """Angle density (1 - cos t)/pi; the image of a vector is uniform on the sphere (Archimedes)."""
    from scipy.stats import kstest

    R = random_rotations(4000, np.random.default_rng(3))
    np.testing.assert_allclose(R @ R.transpose(0, 2, 1), np.broadcast_to(np.eye(3), R.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(R), 1)
    t = Rotation.from_matrix(R).magnitude()
    assert kstest(t, lambda x: (x - np.sin(x)) / np.pi).pvalue > 1e-3
    for row in R[:, 2].T:
        assert kstest(row, "uniform", args=(-1, 2)).pvalue > 1e-3
    again = random_rotations(4000, np.random.default_rng(3))
    assert (again == R).all()


@pytest.mark.parametrize(
    "function, argument",
    [
        (matrix_from_euler, [1, 2]),
        (matrix_from_quaternion, [1, 2, 3]),
        (exp_rotation, [[1, 2]]),
        (euler_from_matrix, np.eye(4)),
    ],
)
def test_wrong_shapes_are_named(function, argument):
    with pytest.raises(InputError, match="found shape"):
        function(argument)
