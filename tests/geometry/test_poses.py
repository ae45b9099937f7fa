"""Poses: RELION's columns, selection, refusal of malformed arrays."""

import numpy as np
import pytest

from cryoinv.errors import InputError
from cryoinv.geometry import Poses, matrix_from_euler, random_rotations


def test_relion_columns_come_back():
    rng = np.random.default_rng(0)
    poses = Poses(random_rotations(7, rng), rng.standard_normal((7, 2)))
    c = poses.to_relion()
    again = Poses.from_relion(
        c["rlnAngleRot"], c["rlnAngleTilt"], c["rlnAnglePsi"], c["rlnOriginXAngst"], c["rlnOriginYAngst"]
    )
    np.testing.assert_allclose(again.rotations, poses.rotations, atol=1e-12)
    np.testing.assert_allclose(again.shifts, poses.shifts)
    np.testing.assert_allclose(c["rlnOriginYAngst"], -poses.shifts[:, 1])


def test_from_relion_without_origins_and_with_scalars():
    poses = Poses.from_relion([1.0, 2.0], 30.0, [5.0, 6.0])
    np.testing.assert_allclose(poses.rotations, matrix_from_euler([[1, 30, 5], [2, 30, 6]]))
    assert (poses.shifts == 0).all()


@pytest.mark.parametrize("index", [2, -1, slice(1, 3), [3, 0], np.array([True, False, True, False])], ids=str)
def test_indexing_is_always_poses(index):
    rotations, shifts = random_rotations(4, np.random.default_rng(1)), np.arange(8.0).reshape(4, 2)
    picked = Poses(rotations, shifts)[index]
    assert isinstance(picked, Poses)
    np.testing.assert_array_equal(picked.rotations, rotations[index].reshape(-1, 3, 3))
    np.testing.assert_array_equal(picked.shifts, shifts[index].reshape(-1, 2))
    assert len(picked) == len(picked.shifts)


def test_malformed_poses_are_refused():
    with pytest.raises(InputError, match=r"\(m, 3, 3\), found \(3, 3\)"):
        Poses(np.eye(3))
    with pytest.raises(InputError, match=r"2 poses need shifts of shape \(2, 2\), found \(3, 2\)"):
        Poses(np.stack([np.eye(3)] * 2), np.zeros((3, 2)))
    bad = np.stack([np.eye(3)] * 3)
    bad[1, 0, 0] = np.nan
    with pytest.raises(InputError, match="particle 1"):
        Poses(bad)
