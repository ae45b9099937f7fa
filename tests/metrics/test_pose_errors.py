"""Pose errors, global frame and hand, against simulated errors and an independent real-space projector."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from cryoinv.errors import InputError
from cryoinv.geometry import (
    PointGroup,
    Poses,
    exp_rotation,
    matrix_from_euler,
    random_rotations,
    rotation_distance,
)
from cryoinv.metrics import find_frame, map_in_true_frame, mirror_rotations, pose_errors


def blobs(n, to_object=None):
    """Asymmetric sum of Gaussians as a closed form, V(A x) for a matrix A, axes (z, y, x), origin n//2."""
    to_object = np.eye(3) if to_object is None else to_object
    axis = np.arange(n) - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    points = np.stack([x, y, z], -1) @ to_object.T
    centres = np.array([[3, 1, 0.5], [-2, 3, 1], [0, -3.5, 2], [1, 0.5, -4]])
    return sum(
        w * np.exp(-np.sum((points - c) ** 2, -1) / 6)
        for w, c in zip([1, 0.7, 1.3, 0.9], centres, strict=True)
    )


def project(volume, R):
    """Sum over image z of V(R^T x), by spline interpolation in real space."""
    n = len(volume)
    axis = np.arange(n) - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    source = R.T @ np.stack([x, y, z]).reshape(3, -1) + n // 2
    return map_coordinates(volume, source[::-1], order=5).reshape(volume.shape).sum(0)


def perturbed(true, degrees, good, rng):
    """Poses off by a Gaussian rotation in the image frame; the rest are random."""
    estimated = exp_rotation(np.deg2rad(degrees) * rng.standard_normal((len(true), 3))) @ true
    bad = rng.random(len(true)) > good
    estimated[bad] = random_rotations(int(bad.sum()), rng)
    return estimated


@pytest.mark.parametrize("n", [24, 25])
def test_mirror_image_seen_from_MRM_is_the_map_seen_from_R(n):
    M = np.diag([1.0, 1.0, -1.0])
    R = random_rotations(3, np.random.default_rng(0))
    for a, b in zip(R, mirror_rotations(R), strict=True):
        np.testing.assert_allclose(project(blobs(n, M), b), project(blobs(n), a), atol=2e-3)
        assert np.linalg.det(b) == pytest.approx(1)


@pytest.mark.parametrize("mirrored", [False, True])
def test_frame_relates_maps_as_it_relates_poses(mirrored):
    """V_est(x) = V_true(G M x) gives the true images at the estimated poses, and is brought back."""
    n, rng = 24, np.random.default_rng(1)
    G, true = random_rotations(1, rng)[0], random_rotations(40, rng)
    estimated = mirror_rotations(true @ G) if mirrored else true @ G
    V_true, V_est = blobs(n), blobs(n, G @ np.diag([1.0, 1.0, -1.0]) if mirrored else G)
    for i in range(3):
        np.testing.assert_allclose(project(V_est, estimated[i]), project(V_true, true[i]), atol=2e-3)
    frame = find_frame(estimated, true)
    assert frame.mirrored == mirrored
    np.testing.assert_allclose(frame.rotation, G, atol=1e-9)
    assert frame.angle_degrees == pytest.approx(rotation_distance(G, np.eye(3)))
    np.testing.assert_allclose(map_in_true_frame(V_est, frame.rotation, frame.mirrored), V_true, atol=2e-3)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("good, degrees, accuracy", [(1.0, 1.5, 0.1), (0.7, 1.5, 0.1), (0.1, 3.0, 0.5)])
def test_frame_is_accurate_and_robust(good, degrees, accuracy, mirrored):
    rng = np.random.default_rng(2)
    true, G = random_rotations(3000, rng), random_rotations(1, rng)[0]
    estimated = perturbed(true, degrees, good, rng) @ G
    shifts = rng.standard_normal((3000, 2))
    if mirrored:
        estimated = mirror_rotations(estimated)
    errors = pose_errors(Poses(estimated, shifts + np.array([0.3, -0.4])), Poses(true, shifts))
    assert errors.mirrored == mirrored
    assert rotation_distance(errors.global_rotation, G) < accuracy
    # Gaussian rotation vectors: the angle is Maxwell distributed, median 1.538 sigma
    right = np.sort(errors.angle_degrees)[: int(0.9 * good * 3000)]
    if good == 1.0:
        assert errors.median_angle == pytest.approx(1.538 * degrees, rel=0.05)
        assert errors.p90_angle == pytest.approx(2.500 * degrees, rel=0.05)
    assert right.max() < 4 * degrees
    np.testing.assert_allclose(errors.shift_angstrom, 0.5)


@pytest.mark.parametrize("name", ["C4", "D3", "O"])
def test_symmetric_particles(name):
    """Each pose may be any equivalent of the true one; the frame is found up to the group."""
    rng, group = np.random.default_rng(3), PointGroup(name)
    true, G = random_rotations(1000, rng), random_rotations(1, rng)[0]
    estimated = perturbed(true, 1.0, 0.8, rng) @ group.matrices[rng.integers(group.order, size=1000)] @ G
    errors = pose_errors(Poses(mirror_rotations(estimated)), Poses(true), name)
    assert errors.mirrored
    assert rotation_distance(errors.global_rotation, group.matrices @ G).min() < 0.2
    assert errors.global_angle == pytest.approx(
        rotation_distance(group.matrices @ G, np.eye(3)).min(), abs=0.2
    )
    assert np.percentile(errors.angle_degrees, 75) < 4


@pytest.mark.parametrize(
    "count, good, degrees", [(1, 1, 5), (2, 1, 5), (5, 1, 10), (400, 1, 5), (400, 0.3, 5), (300, 0, 1)]
)
def test_no_improvement_is_made_up(count, good, degrees):
    """In one frame, or with no agreement at all, exactly the identity and the true hand are reported."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        true = random_rotations(count, rng)
        estimated = perturbed(true, degrees, good, rng)
        errors = pose_errors(Poses(estimated), Poses(true))
        assert not errors.mirrored
        assert (errors.global_rotation == np.eye(3)).all()
        np.testing.assert_allclose(errors.angle_degrees, rotation_distance(estimated, true))


def test_small_rotation_is_found_when_the_data_tell_it():
    rng = np.random.default_rng(4)
    true, G = random_rotations(2000, rng), exp_rotation(np.deg2rad([0.4, 0, 0.3]))
    errors = pose_errors(Poses(perturbed(true, 2.0, 1, rng) @ G), Poses(true))
    assert rotation_distance(errors.global_rotation, G) < 0.15


def test_views_that_tell_no_hand_stay_unmirrored():
    """Rotations about z alone are their own mirror images."""
    rng = np.random.default_rng(5)
    true = matrix_from_euler(np.stack([360 * rng.random(200), np.zeros(200), np.zeros(200)], -1))
    assert not pose_errors(Poses(perturbed(true, 2.0, 1, rng)), Poses(true)).mirrored


def test_without_alignment():
    true = random_rotations(20, np.random.default_rng(6))
    turned = true @ matrix_from_euler([25, 0, 0])
    errors = pose_errors(Poses(turned), Poses(true), align=False)
    np.testing.assert_allclose(errors.angle_degrees, 25)
    assert pose_errors(Poses(turned), Poses(true), "C4", align=False).median_angle == pytest.approx(25)
    halved = pose_errors(Poses(true @ matrix_from_euler([80, 0, 0])), Poses(true), "C4", align=False)
    assert halved.median_angle == pytest.approx(10)
    assert "median 25.00°" in str(errors)


def test_the_callers_random_state_is_untouched():
    true = Poses(random_rotations(10, np.random.default_rng(7)))
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    pose_errors(true, true)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_counts_must_agree():
    poses = Poses(random_rotations(3, np.random.default_rng(8)))
    with pytest.raises(InputError, match="found 3 and 2"):
        pose_errors(poses, poses[:2])
    with pytest.raises(InputError, match="found 0 and 0"):
        pose_errors(poses[:0], poses[:0])
    with pytest.raises(InputError, match="must both be"):
        find_frame(poses.rotations, poses.rotations[:2])
