"""Maps that were turned, moved and mirrored as a whole evaluate as if they had not been."""

import json

import numpy as np
import pytest

from cryoinv.errors import InputError
from cryoinv.geometry import PointGroup, Poses, exp_rotation, random_rotations
from cryoinv.io import OpticsGroup, write_particles_star, write_stack, write_volume
from cryoinv.metrics import map_in_true_frame, mirror_rotations
from cryoinv.refinement.evaluation import evaluate_refinement, find_displacement, move

N, PIXEL_SIZE, COUNT = 24, 4.0, 200
TURN = exp_rotation(np.array([0.3, -0.5, 0.2]))
MOVE = np.array([2.0, -1.0, 3.0])


def blobs(rng, symmetry="C1"):
    """A smooth map near the middle of the box, with the given symmetry."""
    axis = np.arange(N) - N // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    volume = np.zeros((N, N, N))
    for centre in rng.uniform(-4, 4, (8, 3)):
        for S in PointGroup(symmetry).matrices:
            a, b, c = S @ centre
            volume += np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / 5)
    return volume.astype(np.float32)


def estimate(truth, poses, rng, turn, shift, mirrored):
    """The map and poses of a refinement that found the truth in a frame of its own, and errors of 2° and 1 Å."""
    noisy = exp_rotation(np.deg2rad(2 / np.sqrt(3)) * rng.standard_normal((COUNT, 3))) @ poses.rotations
    displaced = move(truth, np.asarray(shift) / PIXEL_SIZE)
    # V_est(x) = V_true(G x - d), or of M x where mirrored: the inverse of what `map_in_true_frame` does.
    volume = np.asarray(map_in_true_frame(displaced, turn.T))
    volume = np.asarray(map_in_true_frame(volume, np.eye(3), True)) if mirrored else volume
    rotations = noisy @ turn
    shifts = poses.shifts - (poses.rotations @ shift)[:, :2] + rng.standard_normal((COUNT, 2)) / np.sqrt(2)
    return volume, Poses(mirror_rotations(rotations) if mirrored else rotations, shifts)


def write(folder, truth, poses, volume, estimated, rows, symmetry="C1"):
    (folder / "run").mkdir()
    write_stack(folder / "p.mrcs", np.random.default_rng(0).standard_normal((COUNT, 4, 4)), PIXEL_SIZE)
    for path, name, order, these in (
        (folder / "run" / "particles.star", "../p.mrcs", rows, estimated),
        (folder / "truth.star", "p.mrcs", np.arange(COUNT), poses),
    ):
        names = [f"{i + 1:06d}@{name}" for i in order]
        write_particles_star(
            path, {"rlnImageName": names}, poses=these[order], optics=[OpticsGroup("a", PIXEL_SIZE)], n=4
        )
    write_volume(folder / "run" / "map.mrc", volume, PIXEL_SIZE)
    write_volume(folder / "truth.mrc", truth, PIXEL_SIZE)
    summary = {"particle_diameter_angstrom": 70.0, "symmetry": symmetry}
    (folder / "run" / "summary.json").write_text(json.dumps(summary))
    return folder / "run", folder / "truth.mrc", folder / "truth.star"


@pytest.mark.parametrize("mirrored", [False, True], ids=["same-hand", "mirrored"])
@pytest.mark.parametrize("turn", [np.eye(3), TURN], ids=["unturned", "turned"])
@pytest.mark.parametrize("shift", [np.zeros(3), MOVE], ids=["centred", "moved"])
def test_a_frame_of_its_own_costs_nothing(mirrored, turn, shift, tmp_path):
    rng = np.random.default_rng(1)
    truth = blobs(rng)
    poses = Poses(random_rotations(COUNT, rng), rng.uniform(-6, 6, (COUNT, 2)))
    volume, estimated = estimate(truth, poses, rng, turn, shift, mirrored)
    rows = rng.permutation(COUNT)[: COUNT - 20]
    found = evaluate_refinement(*write(tmp_path, truth, poses, volume, estimated, rows))
    assert found.poses.mirrored == mirrored and len(found.poses.angle_degrees) == COUNT - 20
    assert found.poses.median_angle == pytest.approx(1.8, abs=0.3)
    assert found.poses.median_shift == pytest.approx(0.83, abs=0.15)
    assert np.allclose(found.displacement, shift, atol=0.3)
    assert found.resolution(0.5, masked=True).angstrom < 12 and found.fsc[4] > 0.97
    entries = found.to_dict()
    assert json.loads(json.dumps(entries, allow_nan=False)) == entries
    angle = float(np.rad2deg(np.arccos((np.trace(turn) - 1) / 2)))
    assert entries["map_rotation_degrees"] == pytest.approx(angle, abs=0.5)


def test_equivalent_poses_of_a_symmetric_particle_are_no_error(tmp_path):
    rng = np.random.default_rng(2)
    truth, group = blobs(rng, "D2"), PointGroup("D2").matrices
    poses = Poses(random_rotations(COUNT, rng))
    estimated = Poses(poses.rotations @ group[rng.integers(0, 4, COUNT)])
    paths = write(tmp_path, truth, poses, truth, estimated, np.arange(COUNT), symmetry="D2")
    assert evaluate_refinement(*paths).poses.p90_angle < 0.01
    assert evaluate_refinement(*paths, symmetry="C1").poses.p90_angle > 90


def test_the_sphere_is_the_refinements_or_the_given_one(tmp_path):
    rng = np.random.default_rng(3)
    truth, poses = blobs(rng), Poses(random_rotations(COUNT, rng))
    paths = write(tmp_path, truth, poses, truth + 0.3 * rng.standard_normal(truth.shape), poses, np.arange(COUNT))
    assert evaluate_refinement(*paths).particle_diameter == 70
    assert evaluate_refinement(*paths, particle_diameter=50).particle_diameter == 50
    assert evaluate_refinement(*paths).fsc_masked[6] > evaluate_refinement(*paths).fsc[6]
    (paths[0] / "summary.json").write_text("not JSON")
    with pytest.raises(InputError, match=r"summary\.json"):
        evaluate_refinement(*paths)


def test_chance_is_not_taken_for_a_displacement():
    rng = np.random.default_rng(4)
    nothing = [find_displacement(random_rotations(50, rng), rng.standard_normal((50, 2)), np.zeros((50, 2)))
               for _ in range(20)]  # fmt: skip
    assert not np.any(nothing)
    assert not find_displacement(np.eye(3)[None], np.ones((1, 2)), np.zeros((1, 2))).any()


@pytest.mark.parametrize("mirrored", [False, True], ids=["same-hand", "mirrored"])
def test_flips_of_a_near_symmetric_particle_are_told_apart_from_errors(mirrored, tmp_path):
    rng = np.random.default_rng(6)
    two_fold = blobs(rng, "C2")
    truth = two_fold + 0.05 * blobs(rng)
    poses = Poses(random_rotations(COUNT, rng), rng.uniform(-6, 6, (COUNT, 2)))
    flipped = Poses(poses.rotations @ PointGroup("C2").matrices[(rng.random(COUNT) < 0.4).astype(int)], poses.shifts)
    volume, estimated = estimate(truth, flipped, rng, TURN, np.zeros(3), mirrored)
    found = evaluate_refinement(*write(tmp_path, truth, poses, volume, estimated, np.arange(COUNT))).to_dict()
    assert found["angle_error_p90_degrees"] > 170
    assert found["near_symmetry_order"] == 2
    assert found["angle_error_median_near_symmetry_degrees"] == pytest.approx(1.8, abs=0.3)
    assert found["angle_error_p90_near_symmetry_degrees"] < 4


def test_without_near_symmetry_both_errors_are_the_same(tmp_path):
    rng = np.random.default_rng(7)
    truth, poses = blobs(rng), Poses(random_rotations(COUNT, rng))
    volume, estimated = estimate(truth, poses, rng, np.eye(3), np.zeros(3), False)
    found = evaluate_refinement(*write(tmp_path, truth, poses, volume, estimated, np.arange(COUNT))).to_dict()
    assert found["near_symmetry_order"] == 1
    for name in ("median", "p90"):
        assert found[f"angle_error_{name}_near_symmetry_degrees"] == found[f"angle_error_{name}_degrees"]
