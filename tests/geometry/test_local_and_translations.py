"""Local neighbourhoods and translation grids against brute force."""

import itertools

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoinv.errors import InputError
from cryoinv.geometry import (
    rotation_distance,
    tangent_ball,
    translation_children,
    translation_grid,
)


def test_ball_counts_and_order():
    ball = tangent_ball(7.5, 22.5)
    assert len(ball) == sum(
        i * i + j * j + k * k <= 9 for i, j, k in itertools.product(range(-3, 4), repeat=3)
    )
    angles = rotation_distance(ball, np.eye(3))
    assert (ball[0] == np.eye(3)).all()
    assert (np.diff(angles) > -1e-9).all()
    assert angles[-1] == pytest.approx(22.5)
    np.testing.assert_allclose(Rotation.from_matrix(ball).as_rotvec(degrees=True).mean(0), 0, atol=1e-9)
    assert len(tangent_ball(5, 0)) == 1


@pytest.mark.parametrize(
    "radius, step, count", [(0, 1, 1), (1, 1, 5), (3, 1, 29), (3, 1.5, 13), (0.3, 0.1, 29)]
)
def test_translation_grid(radius, step, count):
    grid = translation_grid(radius, step)
    assert grid.shape == (count, 2)
    assert (grid[0] == 0).all()
    radii = np.hypot(*grid.T)
    assert (np.diff(radii) > -1e-12).all()
    assert radii[-1] <= radius + 1e-9
    assert len(np.unique(grid.round(9), axis=0)) == count


def test_translation_children_make_the_half_grid():
    grid = translation_grid(4, 2.0)
    fine = (grid[:, None] + translation_children(2.0)).reshape(-1, 2)
    assert len(np.unique(fine, axis=0)) == len(fine)
    assert set(np.unique(np.abs(fine) % 1)) == {0.5}


def test_bad_arguments():
    for call in (
        lambda: tangent_ball(0, 10),
        lambda: tangent_ball(1, 181),
        lambda: translation_grid(3, 0),
        lambda: translation_grid(-1, 1),
        lambda: translation_children(0),
    ):
        with pytest.raises(InputError):
            call()
