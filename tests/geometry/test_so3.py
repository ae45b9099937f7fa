"""Orientation grids: counts, layout, uniformity, covering, and the nesting of children."""

import healpix
import numpy as np
import pytest
from scipy.spatial import cKDTree

from cryoinv.errors import InputError
from cryoinv.geometry import (
    PointGroup,
    SO3Grid,
    euler_from_matrix,
    matrix_from_euler,
    quaternion_from_matrix,
    random_rotations,
    rotation_distance,
)


def nearest(rotations, grid):
    """Angle in degrees and index of the grid's nearest rotation, through a tree on +-quaternions."""
    q = quaternion_from_matrix(grid)
    chord, index = cKDTree(np.concatenate([q, -q])).query(quaternion_from_matrix(rotations))
    return np.rad2deg(4 * np.arcsin(chord / 2)), index % len(q)


@pytest.mark.parametrize(
    "order, directions, angles, spacing", [(0, 12, 6, 60), (1, 48, 12, 30), (2, 192, 24, 15)]
)
def test_counts_and_layout(order, directions, angles, spacing):
    grid = SO3Grid(order)
    assert len(grid) == len(grid.matrices) == directions * angles
    assert grid.spacing_degrees == spacing == 2 * grid.oversampled_spacing
    tilt, rot = healpix.pix2ang(2**order, np.arange(directions), nest=True, lonlat=False)
    psi = spacing * np.arange(angles)
    expected = [
        matrix_from_euler([np.rad2deg(r), np.rad2deg(t), p])
        for t, r in zip(tilt, rot, strict=True)
        for p in psi
    ]
    np.testing.assert_allclose(grid.matrices, expected, atol=1e-12)
    np.testing.assert_array_equal(grid.direction_index, np.repeat(np.arange(directions), angles))
    np.testing.assert_array_equal(grid.in_plane_index, np.tile(np.arange(angles), directions))
    np.testing.assert_allclose(grid.matrices[:, 2], grid.directions[grid.direction_index], atol=1e-12)


@pytest.mark.parametrize("order, median", [(2, 7.2), (3, 3.6)])
def test_covering(order, median):
    distance, _ = nearest(random_rotations(5000, np.random.default_rng(0)), SO3Grid(order).matrices)
    assert np.median(distance) == pytest.approx(median, abs=0.15)
    assert distance.max() < 0.95 * SO3Grid(order).spacing_degrees


def test_uniformity():
    """A uniform grid integrates the low Wigner polynomials to zero: mean of R and of R (x) R."""
    R = SO3Grid(2).matrices.reshape(-1, 9)
    np.testing.assert_allclose(R.mean(0), 0, atol=1e-12)
    second = R.T @ R / len(R)
    np.testing.assert_allclose(second, np.eye(9) / 3, atol=2e-3)


def test_half_turns_in_plane_pair_up():
    """psi and psi + 180 degrees are both in the grid, half the angles apart."""
    grid = SO3Grid(1)
    R = grid.matrices.reshape(len(grid.directions), -1, 3, 3)
    half = R.shape[1] // 2
    np.testing.assert_allclose(R[:, half:], np.diag([-1.0, -1.0, 1.0]) @ R[:, :half], atol=1e-12)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_children_lie_in_their_cell(order):
    grid = SO3Grid(order)
    pixels = len(grid.directions)
    children = grid.children(np.arange(len(grid)))
    assert children.shape == (len(grid), 8, 3, 3)
    np.testing.assert_allclose(np.linalg.det(children), 1)
    tilt, rot = np.deg2rad(np.moveaxis(euler_from_matrix(children)[..., 1::-1], -1, 0))
    parent = healpix.ang2pix(2**order, tilt, rot, nest=True)
    np.testing.assert_array_equal(parent, np.broadcast_to(grid.direction_index[:, None], parent.shape))
    # each child's direction is the centre of a pixel of the next order, twice per parent: 2 in-plane halves
    fine = healpix.ang2pix(2 ** (order + 1), tilt, rot, nest=True)
    np.testing.assert_array_equal(np.sort(fine, 1), np.repeat(4 * parent[:, :4] + np.arange(4), 2, axis=1))
    centres = healpix.pix2vec(2 ** (order + 1), np.arange(4 * pixels), nest=True)
    np.testing.assert_allclose(children[..., 2, :], np.stack(centres, -1)[fine], atol=1e-9)


@pytest.mark.parametrize("order", [1, 2])
def test_all_children_make_the_next_grid(order):
    """Per fine direction the in-plane angles are evenly spread at half the spacing, up to one offset."""
    grid, fine = SO3Grid(order), SO3Grid(order + 1)
    children = grid.children(np.arange(len(grid))).reshape(-1, 3, 3)
    assert len(children) == len(fine)
    match = np.argmax(children[:, 2] @ fine.directions.T, axis=1)
    twist = children @ fine.frames[match].transpose(0, 2, 1)
    psi = np.rad2deg(np.arctan2(twist[:, 0, 1], twist[:, 0, 0]))
    np.testing.assert_allclose(twist[:, 2, 2], 1)
    for direction in range(len(fine.directions)):
        angles = np.sort(psi[match == direction] % 360)
        gaps = np.diff(np.append(angles, angles[0] + 360))
        assert len(angles) == len(fine.in_plane_degrees)
        np.testing.assert_allclose(gaps, fine.spacing_degrees, atol=1e-8)


def test_children_surround_and_stay_near_their_parent():
    grid = SO3Grid(2)
    children = grid.children(np.arange(len(grid)))
    distance = rotation_distance(children, grid.matrices[:, None])
    assert distance.max() < 0.6 * grid.spacing_degrees
    R = random_rotations(2000, np.random.default_rng(1))
    covering, _ = nearest(R, children.reshape(-1, 3, 3))
    assert np.median(covering) == pytest.approx(3.6, abs=0.1)
    _, parent = nearest(R, grid.matrices)
    through_parent = rotation_distance(children[parent], R[:, None]).min(1)
    assert np.median(through_parent) == pytest.approx(3.7, abs=0.1)


@pytest.mark.parametrize("name", ["C2", "C3", "D2", "D7", "T", "O"])
def test_point_group_shortens_the_search_and_still_covers(name):
    group, full = PointGroup(name), SO3Grid(2)
    grid = SO3Grid(2, name)
    assert grid.group == group
    assert len(grid) == pytest.approx(len(full) / group.order, rel=0.15)
    images = (grid.matrices[:, None] @ group.matrices).reshape(-1, 3, 3)
    distance, _ = nearest(random_rotations(2000, np.random.default_rng(2)), images)
    assert np.median(distance) == pytest.approx(7.3, abs=0.6)
    assert distance.max() < 1.2 * grid.spacing_degrees
    children = grid.children([0, len(grid) - 1])
    assert rotation_distance(children, grid.matrices[[0, -1], None]).max() < 9


@pytest.mark.parametrize("order", [-1, 8, 2.5, np.nan])
def test_impossible_orders(order):
    with pytest.raises(InputError, match="order"):
        SO3Grid(order)
