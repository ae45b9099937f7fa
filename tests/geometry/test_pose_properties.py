"""What holds for any rotation, pose and point group."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cryoinv.geometry import (
    PointGroup,
    Poses,
    euler_from_matrix,
    exp_rotation,
    matrix_from_euler,
    matrix_from_quaternion,
    nearest_equivalent,
    quaternion_from_matrix,
    rotation_distance,
    rotation_vectors,
    symmetric_rotation_distance,
)

turns = st.floats(-720, 720)
# The poles, and right beside them, where two angles are one.
tilts = st.one_of(turns, st.sampled_from([0.0, 180.0, -180.0, 1e-9, 1e-5, 180 - 1e-5, 90.0]))
eulers = st.tuples(turns, tilts, turns)
rotations = eulers.map(matrix_from_euler)
groups = st.sampled_from(["C1", "C2", "C7", "D2", "D5", "T", "O", "I"]).map(PointGroup)
components = st.floats(-1, 1)


@given(eulers)
def test_euler_angles_go_to_matrices_and_back(angles):
    matrix = matrix_from_euler(angles)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert abs(np.linalg.det(matrix) - 1) < 1e-12
    rot, tilt, psi = found = euler_from_matrix(matrix)
    assert -180 < rot <= 180 and 0 <= tilt <= 180 and -180 < psi <= 180
    np.testing.assert_allclose(matrix_from_euler(found), matrix, atol=2e-7)


@given(rotations)
def test_quaternions_and_rotation_vectors_go_to_matrices_and_back(matrix):
    quaternion = quaternion_from_matrix(matrix)
    assert abs(np.linalg.norm(quaternion) - 1) < 1e-12 and quaternion[0] >= 0
    for sign in (1, -1, 3):
        np.testing.assert_allclose(matrix_from_quaternion(sign * quaternion), matrix, atol=1e-12)
    vector = rotation_vectors(matrix)
    np.testing.assert_allclose(exp_rotation(vector), matrix, atol=1e-7)
    assert abs(np.degrees(np.linalg.norm(vector)) - rotation_distance(matrix, np.eye(3))) < 1e-5


@given(rotations, rotations, rotations)
def test_the_distance_of_rotations_is_a_metric(a, b, c):
    apart = rotation_distance(a, b)
    assert rotation_distance(a, a) < 1e-5 and 0 <= apart <= 180 + 1e-9
    np.testing.assert_allclose(rotation_distance(b, a), apart, atol=1e-6)
    assert rotation_distance(a, c) <= apart + rotation_distance(b, c) + 1e-6
    # The same whichever way both are turned.
    np.testing.assert_allclose(rotation_distance(c @ a, c @ b), apart, atol=1e-5)
    np.testing.assert_allclose(rotation_distance(a @ c, b @ c), apart, atol=1e-5)


@given(rotations, rotations, groups, st.integers(0, 59))
def test_distances_up_to_symmetry(a, b, group, which):
    mate = group.matrices[which % group.order]
    apart = symmetric_rotation_distance(a, b, group)
    assert apart <= rotation_distance(a, b) + 1e-6
    np.testing.assert_allclose(symmetric_rotation_distance(a @ mate, b, group), apart, atol=1e-5)
    np.testing.assert_allclose(symmetric_rotation_distance(b, a, group), apart, atol=1e-5)
    nearest = nearest_equivalent(a[None], b[None], group)[0]
    np.testing.assert_allclose(rotation_distance(nearest, b), apart, atol=1e-5)
    assert symmetric_rotation_distance(nearest, a, group) < 1e-5


@given(st.lists(st.tuples(eulers, st.floats(-500, 500), st.floats(-500, 500)), min_size=1, max_size=5))
def test_poses_go_to_relion_and_back(given_poses):
    angles, x, y = (np.array(values) for values in zip(*given_poses, strict=True))
    poses = Poses(matrix_from_euler(angles), np.stack([x, y], axis=1))
    columns = poses.to_relion()
    back = Poses.from_relion(*(columns[f"rlnAngle{name}"] for name in ("Rot", "Tilt", "Psi")),
                             columns["rlnOriginXAngst"], columns["rlnOriginYAngst"])  # fmt: skip
    np.testing.assert_allclose(back.rotations, poses.rotations, atol=2e-7)
    np.testing.assert_array_equal(back.shifts, poses.shifts)
