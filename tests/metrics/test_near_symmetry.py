"""Near-symmetry of sums of Gaussians whose symmetry and its flaw are known in closed form."""

import numpy as np
import pytest

from cryoinv.errors import InputError
from cryoinv.geometry import PointGroup, exp_rotation, matrix_from_euler, random_rotations, rotation_distance
from cryoinv.metrics import find_near_symmetry, self_correlation

N, COUNT = 24, 300
FRAME = matrix_from_euler([20.0, 50.0, -10.0])  # the symmetry's axes need not be those of the box
CENTRES = np.array([[5.0, 1.0, 0.5], [3.0, 4.0, -2.0], [1.0, 3.0, 4.0]])


def gaussians(centres, weights):
    axis = np.arange(N) - N // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    points = np.stack([x, y, z], -1)
    return sum(w * np.exp(-np.sum((points - c) ** 2, -1) / 6) for w, c in zip(weights, centres, strict=True))


def nearly(name, flaw=0.15):
    """A map with point group `name` in a frame of its own, but for a few per cent of one subunit; the rotations."""
    group = FRAME @ PointGroup(name).matrices @ FRAME.T
    centres = np.concatenate([CENTRES @ S.T for S in group])
    weights = np.ones(len(centres))
    weights[0] += flaw
    return gaussians(centres, weights), group


def sphere():
    axis = np.arange(N) - N // 2
    squares = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    return (squares <= 10.5**2).astype(float)


def estimates(true, mates, rng, degrees=4.0):
    """The true poses times mates, off by random rotations."""
    return exp_rotation(np.deg2rad(degrees / np.sqrt(3)) * rng.standard_normal((len(true), 3))) @ true @ mates


def strict(estimated, true):
    return rotation_distance(estimated, true)


def test_poses_flipped_about_a_near_two_fold_are_no_error_up_to_it():
    rng = np.random.default_rng(0)
    volume, group = nearly("C2")
    true = random_rotations(COUNT, rng)
    estimated = estimates(true, group[(rng.random(COUNT) < 0.4).astype(int)], rng)
    found = find_near_symmetry(estimated, true, volume, sphere())
    assert found.order == 2
    assert float(rotation_distance(found.rotations[1], group[1])) < 2
    assert np.percentile(strict(estimated, true), 90) > 170
    assert found.p90_angle < 8 and found.median_angle == pytest.approx(3.6, abs=0.6)
    assert (found.angle_degrees <= strict(estimated, true) + 1e-9).all()


def test_flips_of_a_map_without_near_symmetry_are_errors():
    rng = np.random.default_rng(1)
    volume, group = nearly("C2", flaw=5.0)
    true = random_rotations(COUNT, rng)
    estimated = estimates(true, group[(rng.random(COUNT) < 0.4).astype(int)], rng)
    found = find_near_symmetry(estimated, true, volume, sphere())
    assert found.order == 1
    np.testing.assert_array_equal(found.angle_degrees, strict(estimated, true))


@pytest.mark.parametrize(("name", "taken"), [("D2", [0, 1, 2]), ("C3", [0, 1]), ("C4", [0, 1])])
def test_products_of_what_the_poses_tell_are_found_as_well(name, taken):
    rng = np.random.default_rng(2)
    volume, group = nearly(name)
    true = random_rotations(COUNT, rng)
    others = rng.choice(taken[1:], COUNT)
    estimated = estimates(true, group[np.where(rng.random(COUNT) < 0.6, 0, others)], rng)
    found = find_near_symmetry(estimated, true, volume, sphere())
    assert found.order == len(group)
    assert found.p90_angle < 8


def test_the_maps_own_symmetry_is_not_counted():
    rng = np.random.default_rng(3)
    group, two_fold = PointGroup("D2").matrices, PointGroup("C2").matrices
    weights = [1.15 if S[2, 2] > 0 else 1.0 for S in group for _ in CENTRES]  # alike about z alone
    volume = gaussians(np.concatenate([CENTRES @ S.T for S in group]), weights)
    true = random_rotations(COUNT, rng)
    for symmetry, mates, order in (("C2", two_fold, 1), ("C2", group, 2), ("C1", group, 4), ("D2", group, 1)):
        estimated = estimates(true, mates[rng.choice(len(mates), COUNT)], rng)
        found = find_near_symmetry(estimated, true, volume, sphere(), symmetry)
        assert found.order == order, (symmetry, len(mates))
        assert found.p90_angle < 8


def test_poses_wrong_at_random_do_not_make_a_ball_symmetric():
    rng = np.random.default_rng(4)
    true = random_rotations(COUNT, rng)
    estimated = estimates(true, np.eye(3), rng)
    estimated[:100] = random_rotations(100, rng)
    found = find_near_symmetry(estimated, true, gaussians(np.zeros((1, 3)), [1.0]), sphere())
    assert found.order == 1 and found.p90_angle > 60


def test_self_correlation_is_the_overlap_of_gaussians():
    """Blobs of variance 3 at distance d overlap by exp(-d^2 / 12), less what the map's mean has of it."""
    volume, group = nearly("C2", flaw=0.0)
    assert self_correlation(volume, group[1], np.ones_like(volume)) == pytest.approx(1, abs=1e-3)
    lone = gaussians(np.array([[4.0, 0.0, 0.0]]), [1.0])
    for degrees in (30.0, 60.0):
        turned = self_correlation(lone, exp_rotation(np.deg2rad([0, 0, degrees])), np.ones_like(lone))
        distance = 2 * 4.0 * np.sin(np.deg2rad(degrees / 2))
        mean = lone.mean() ** 2 / (lone**2).mean()
        assert turned == pytest.approx((np.exp(-(distance**2) / 12) - mean) / (1 - mean), abs=1e-3)


def test_what_does_not_fit_is_refused():
    poses = random_rotations(5, np.random.default_rng(0))
    with pytest.raises(InputError, match="estimated and true"):
        find_near_symmetry(poses[:4], poses, np.ones((4, 4, 4)), np.ones((4, 4, 4)))
    with pytest.raises(InputError, match="one shape"):
        find_near_symmetry(poses, poses, np.ones((4, 4, 4)), np.ones((5, 5, 5)))
