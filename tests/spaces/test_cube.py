"""Rotations of the cube on volumes, against index arithmetic and against projections."""

import itertools

import numpy as np
import pytest
import torch

from cryoinv.errors import InputError
from cryoinv.operators import FourierSlice
from cryoinv.spaces import VolumeSpace, centred_irfft, cube_rotations, rotate_by_cube

size = pytest.mark.parametrize("n", [4, 5])


def volume(n, seed=0):
    return torch.randn(n, n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_they_are_the_24_proper_signed_permutations():
    found = {tuple(map(int, matrix.ravel())) for matrix in cube_rotations()}
    signed = (np.diag(s) @ np.eye(3)[list(p)] for p in itertools.permutations(range(3)) for s in
              itertools.product((1, -1), repeat=3))
    assert found == {tuple(map(int, m.ravel())) for m in signed if np.linalg.det(m) > 0}


@pytest.mark.parametrize("count", [1, 4, 12, 24])
def test_subgroups_are_closed(count):
    group = cube_rotations(count)
    members = {matrix.tobytes() for matrix in group}
    assert len(members) == count and np.array_equal(group[0], np.eye(3))
    assert {(a @ b).tobytes() for a in group for b in group} == members


@size
def test_voxels_go_where_the_matrix_says(n):
    x = volume(n)
    for rotation in cube_rotations():
        y = rotate_by_cube(x, rotation)
        for r in itertools.product(range(n), repeat=3):  # (z, y, x)
            target = (rotation @ (np.array(r)[::-1] - n // 2))[::-1] + n // 2
            assert y[tuple(target % n)] == x[r]


@size
def test_one_after_another_is_their_product(n):
    x = volume(n)
    for a, b in itertools.product(cube_rotations(), repeat=2):
        assert torch.equal(rotate_by_cube(rotate_by_cube(x, a), b), rotate_by_cube(x, b @ a))


def test_a_pose_is_that_of_a_turned_map():
    """Active rotations, x_image = R x_object: projecting at R is turning by R and projecting along z."""
    x = volume(7)
    group = cube_rotations()
    slices = FourierSlice(VolumeSpace(7, dtype="float64"), group.astype(float), "nufft", tolerance=1e-10)
    identity = FourierSlice(VolumeSpace(7, dtype="float64"), np.eye(3)[None], "nufft", tolerance=1e-10)
    for spectrum, rotation in zip(slices.apply(x), group, strict=True):
        expected = identity.apply(rotate_by_cube(x, rotation))[0]
        torch.testing.assert_close(centred_irfft(spectrum, 7, 2), centred_irfft(expected, 7, 2), atol=1e-7, rtol=0)


def test_other_numbers_are_refused():
    with pytest.raises(InputError, match="found 5 rotations"):
        cube_rotations(5)
