"""Point groups: group axioms, orientation, and the asymmetric unit as a fundamental domain."""

import numpy as np
import pytest

from cryoinv.errors import InputError
from cryoinv.geometry import (
    PointGroup,
    nearest_equivalent,
    random_rotations,
    rotation_distance,
    symmetric_rotation_distance,
)

ORDERS = {"C1": 1, "C2": 2, "C3": 3, "C7": 7, "D1": 2, "D2": 4, "D3": 6, "D5": 10, "T": 12, "O": 24}
ORDERS |= dict.fromkeys(["I", "I1", "I2", "I3", "I4"], 60)


@pytest.mark.parametrize("name", ORDERS)
def test_group_axioms(name):
    group = PointGroup(name)
    S = group.matrices
    assert group.order == len(S) == ORDERS[name]
    assert (S[0] == np.eye(3)).all()
    np.testing.assert_allclose(np.linalg.det(S), 1)
    np.testing.assert_allclose(S @ S.transpose(0, 2, 1), np.broadcast_to(np.eye(3), S.shape), atol=1e-12)
    products = (S[:, None] @ S[None]).reshape(-1, 9)
    gaps = np.linalg.norm(products[:, None] - S.reshape(-1, 9), axis=-1)
    assert gaps.min(1).max() < 1e-9
    assert (np.bincount(gaps.argmin(1)) == len(S)).all()


@pytest.mark.parametrize(
    "name, fold, axis",
    [
        ("C5", 5, [0, 0, 1]),
        ("D3", 2, [1, 0, 0]),
        ("D4", 4, [0, 0, 1]),
        ("T", 3, [0, 0, 1]),
        ("T", 2, [0, 0.816496580927726, 0.577350269189626]),
        ("O", 4, [0, 0, 1]),
        ("O", 3, [0.577350269189626, 0.577350269189626, 0.577350269189626]),
        ("I2", 2, [0, 0, 1]),
        ("I2", 5, [0.525731112119134, 0, 0.850650808352040]),
        ("I2", 3, [0, 0.356822089773090, 0.934172358962716]),
        ("I1", 5, [0.850650808352040, 0, -0.525731112119134]),
        ("I1", 3, [0.934172358962716, 0.356822089773090, 0]),
        ("I3", 5, [0, 0, 1]),
        ("I3", 3, [-0.491123473188423, 0.356822089773090, 0.794654472291766]),
        ("I4", 5, [0.894427190999916, 0, 0.447213595499958]),
        ("I4", 3, [0.491123473188423, 0.356822089773090, 0.794654472291766]),
    ],
)
def test_axes_are_where_relion_has_them(name, fold, axis):
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_rotvec(2 * np.pi / fold * np.array(axis)).as_matrix()
    assert rotation_distance(PointGroup(name).matrices, turn).min() < 1e-5


@pytest.mark.parametrize("name", ORDERS)
def test_images_of_the_asymmetric_unit_tile_the_sphere_once(name):
    group = PointGroup(name)
    v = np.random.default_rng(0).standard_normal((2000, 3))
    v /= np.linalg.norm(v, axis=1)[:, None]
    images = np.einsum("gij,mj->mgi", group.matrices, v)
    assert (group.in_asymmetric_unit(images).sum(1) == 1).all()


@pytest.mark.parametrize("name", ["C2", "C3", "C4", "D2", "D3"])
def test_directions_on_a_boundary_are_kept_once(name):
    """Wedge edges and the equator, where grids put many directions: one of each orbit, none twice."""
    group = PointGroup(name)
    azimuth = np.deg2rad(np.arange(0, 360, 7.5))
    for z in (0.0, 0.6, -0.6):
        ring = np.stack([np.cos(azimuth), np.sin(azimuth), np.full_like(azimuth, z)], -1)
        for v in ring:
            orbit = np.unique((group.matrices @ v).round(9) + 0.0, axis=0)
            assert group.in_asymmetric_unit(orbit).sum() == 1


def test_wedge_of_cyclic_and_dihedral_groups():
    v = np.random.default_rng(1).standard_normal((500, 3))
    azimuth = np.rad2deg(np.arctan2(v[:, 1], v[:, 0])) % 360
    np.testing.assert_array_equal(PointGroup("C4").in_asymmetric_unit(v), azimuth < 90)
    np.testing.assert_array_equal(PointGroup("D3").in_asymmetric_unit(v), (azimuth < 120) & (v[:, 2] > 0))


@pytest.mark.parametrize("name", ["C1", "C3", "D2", "O"])
def test_symmetric_distance_against_brute_force(name):
    group = PointGroup(name)
    a, b = random_rotations(40, np.random.default_rng(2)).reshape(2, 20, 3, 3)
    brute = np.min([rotation_distance(a, b @ S) for S in group.matrices], axis=0)
    np.testing.assert_allclose(symmetric_rotation_distance(a, b, group), brute, atol=1e-9)
    np.testing.assert_allclose(symmetric_rotation_distance(b, a, group), brute, atol=1e-9)
    moved = a @ group.matrices[-1]
    np.testing.assert_allclose(nearest_equivalent(moved, a, group), a, atol=1e-9)
    assert nearest_equivalent(a[0], b, group).shape == (20, 3, 3)


@pytest.mark.parametrize("name", ["", "C0", "C", "D", "Q2", "I5", "C-1", "C1.5", "C1000", "Cs"])
def test_unknown_groups_say_what_is_supported(name):
    with pytest.raises(InputError, match=r"not supported: expected C<n>, D<n>"):
        PointGroup(name)


def test_equality_and_spelling():
    assert PointGroup(" d2 ") == PointGroup("D2") != PointGroup("C2")
    assert len({PointGroup("C1"), PointGroup("c1")}) == 1
    assert repr(PointGroup("c4")) == "PointGroup('C4')"
