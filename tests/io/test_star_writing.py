"""What is written comes back, from another folder too, and nothing of the input is lost."""

import numpy as np
import pytest
from small_files import OPTICS, full_columns, loop, make_stack, make_star, names, noise

from cryoinv.errors import InputError, InputWarning
from cryoinv.geometry import Poses, random_rotations
from cryoinv.io import (
    OpticsGroup,
    ParticleStack,
    match_particles,
    read_star,
    write_particles_star,
    write_stack,
)


def some_poses(count=4):
    rng = np.random.default_rng(8)
    return Poses(random_rotations(count, rng), rng.normal(scale=4, size=(count, 2)))


def assert_same(a, b):
    for name in ("optics_group", "defocus", "phase_shift", "ctf_bfactor", "random_subset"):
        first, second = getattr(a, name), getattr(b, name)
        assert (first is None) == (second is None), name
        if first is not None:
            np.testing.assert_allclose(second, first, rtol=1e-8, err_msg=name)
    assert a.optics == b.optics
    assert (a.poses is None) == (b.poses is None)
    if a.poses is not None:
        np.testing.assert_allclose(b.poses.rotations, a.poses.rotations, atol=1e-7)
        np.testing.assert_allclose(b.poses.shifts, a.poses.shifts, atol=1e-7)
    np.testing.assert_array_equal(b.images(), a.images())


@pytest.fixture
def stack(tmp_path):
    make_stack(tmp_path / "in" / "stack.mrcs")
    columns = full_columns() | {"rlnCoordinateX": [10.5, 20, 30, 40], "rlnHelicalTubeID": [3, 1, 4, 1]}
    optics = OPTICS | {"rlnMicrographPixelSize": [0.5]}
    return ParticleStack.from_star(make_star(tmp_path / "in" / "a.star", columns, optics))


@pytest.mark.parametrize("folder", ["in", "in/below", "beside", "."])
def test_round_trip(stack, tmp_path, folder):
    (tmp_path / folder).mkdir(exist_ok=True)
    path = tmp_path / folder / "b.star"
    write_particles_star(path, stack)
    back = ParticleStack.from_star(path)
    assert_same(stack, back)
    np.testing.assert_array_equal(match_particles(stack, back), np.arange(4))
    blocks = read_star(path)
    assert list(blocks["particles"]) == list(stack.table.particles)
    assert list(blocks["particles"]["rlnMicrographName"]) == ["000", "001", "002", "003"]
    assert blocks["optics"]["rlnMicrographPixelSize"].iloc[0] == 0.5
    names_stay = folder in {"in", "in/below"}
    assert (blocks["particles"]["rlnImageName"].iloc[0] == "000001@stack.mrcs") == names_stay


def test_new_columns(stack, tmp_path):
    poses = some_poses()
    extra = {"rlnMaxValueProbDistribution": [0.5, 1, 1e-12, 0.25], "cryoinvPosteriorEntropy": [1, 2, 3, 4]}
    path = tmp_path / "b.star"
    write_particles_star(path, stack, poses, random_subset=[2, 2, 1, 1], extra_columns=extra)
    back = ParticleStack.from_star(path)
    np.testing.assert_allclose(back.poses.rotations, poses.rotations, atol=1e-7)
    np.testing.assert_allclose(back.poses.shifts, poses.shifts, atol=1e-7)
    np.testing.assert_array_equal(back.random_subset, [2, 2, 1, 1])
    for label, values in extra.items():
        np.testing.assert_allclose(back.table.particles[label], values, rtol=1e-8)
    table = back.table.particles
    np.testing.assert_allclose(table["rlnOriginXAngst"], -poses.shifts[:, 0], rtol=1e-7)
    np.testing.assert_allclose(table["rlnCoordinateX"], stack.table.particles["rlnCoordinateX"])


ODD_FOLDERS = ["my data", "a#b", 'a"b', "a'b", "it's \"odd\" data", "größe", "data_", "a  b", "#", "'"]


@pytest.mark.filterwarnings("ignore:.*has a #:cryoinv.errors.InputWarning")
@pytest.mark.parametrize("folder", ODD_FOLDERS)
def test_odd_names_come_back(folder, tmp_path):
    images = make_stack(tmp_path / folder / "stack.mrcs")
    columns = full_columns() | {"rlnMicrographName": ['"mic 1"', "it's", "m#1", "''"]}
    stack = ParticleStack.from_star(make_star(tmp_path / folder / "a.star", columns))
    (tmp_path / "run").mkdir()
    write_particles_star(tmp_path / "run" / "b.star", stack)
    again = ParticleStack.from_star(tmp_path / "run" / "b.star")
    np.testing.assert_array_equal(again.images(), images)
    assert again.image_names[1] == f"000002@../{folder}/stack.mrcs"
    assert list(again.table.particles["rlnMicrographName"]) == ["mic 1", "it's", "m#1", ""]
    np.testing.assert_allclose(again.defocus, stack.defocus)


def test_names_that_relion_does_not_open_are_said(tmp_path):
    make_stack(tmp_path / "a#b" / "stack.mrcs")
    stack = ParticleStack.from_star(make_star(tmp_path / "a#b" / "a.star", full_columns()))
    with pytest.warns(InputWarning, match="a #.*RELION takes for something else"):
        write_particles_star(tmp_path / "b.star", stack)


def test_rows_of_a_subset_stay_together(stack, tmp_path):
    write_particles_star(tmp_path / "b.star", stack.subset([3, 1]), random_subset=[1, 2])
    back = ParticleStack.from_star(tmp_path / "b.star")
    np.testing.assert_array_equal(back.images(), stack.images([3, 1]))
    assert back.table.particles["rlnHelicalTubeID"].tolist() == [1, 1]
    assert back.table.particles["rlnCoordinateX"].tolist() == [40, 20]


def test_version_30_becomes_31(tmp_path):
    make_stack(tmp_path / "stack.mrcs")
    old = {
        "rlnImageName": names(), "rlnVoltage": [300, 300, 200, 300], "rlnSphericalAberration": [2.7] * 4,
        "rlnAmplitudeContrast": [0.1] * 4, "rlnDetectorPixelSize": [10] * 4, "rlnMagnification": [50000] * 4,
        "rlnDefocusU": [1e4] * 4, "rlnAngleRot": [10] * 4, "rlnAngleTilt": [20] * 4, "rlnAnglePsi": [30] * 4,
        "rlnOriginX": [1, 2, 3, 4], "rlnOriginY": [0.5] * 4,
    }  # fmt: skip
    (tmp_path / "a.star").write_text(loop("", old))
    stack = ParticleStack.from_star(tmp_path / "a.star")
    write_particles_star(tmp_path / "b.star", stack)
    back = ParticleStack.from_star(tmp_path / "b.star")
    assert_same(stack, back)
    blocks = read_star(tmp_path / "b.star")
    assert blocks["optics"]["rlnImageSize"].tolist() == [8, 8]
    assert blocks["particles"]["rlnOriginXAngst"].tolist() == [2, 4, 6, 8]
    assert "rlnOriginX" not in blocks["particles"]


def test_origins_of_version_30_without_angles(tmp_path):
    make_stack(tmp_path / "stack.mrcs")
    old = {"rlnImageName": names(), "rlnPixelSize": [2] * 4, "rlnAnglePsi": [30] * 4, "rlnOriginX": [1, 2, 3, 4]}
    (tmp_path / "a.star").write_text(loop("", old))
    stack = ParticleStack.from_star(tmp_path / "a.star")
    assert stack.poses is None
    write_particles_star(tmp_path / "b.star", stack)
    assert read_star(tmp_path / "b.star")["particles"]["rlnOriginXAngst"].tolist() == [2, 4, 6, 8]


def test_old_priors_do_not_outlive_new_poses(tmp_path):
    make_stack(tmp_path / "stack.mrcs")
    columns = full_columns() | {"rlnAngleTiltPrior": [90] * 4}
    stack = ParticleStack.from_star(make_star(tmp_path / "a.star", columns))
    write_particles_star(tmp_path / "b.star", stack)
    assert "rlnAngleTiltPrior" in read_star(tmp_path / "b.star")["particles"]
    write_particles_star(tmp_path / "b.star", stack, some_poses())
    assert "rlnAngleTiltPrior" not in read_star(tmp_path / "b.star")["particles"]


@pytest.mark.parametrize("with_ctf", [False, True])
def test_particles_from_memory(tmp_path, with_ctf):
    write_stack(tmp_path / "particles.mrcs", noise(), 2.0)
    optional = {
        "optics": [OpticsGroup("a", 2.0, 200, 1.4, 0.1), OpticsGroup("b", 2.0, 300, 2.7, 0.07)],
        "optics_group": [1, 0, 1, 1], "defocus": 1000.0 * np.arange(12).reshape(4, 3) + 0.125,
        "phase_shift": [1, 2, 3, 4], "ctf_bfactor": [5, 6, 7, 8],
    }  # fmt: skip
    stack = ParticleStack.from_arrays(noise(), 2.0, random_subset=[1, 2, 1, 2], poses=some_poses(),
                                      **(optional if with_ctf else {}))  # fmt: skip
    write_particles_star(tmp_path / "a.star", stack)
    back = ParticleStack.from_star(tmp_path / "a.star")
    assert back.has_ctf == with_ctf
    if not with_ctf:  # RELION wants a voltage even then
        assert back.optics[0].voltage == 300
        back.optics[0] = stack.optics[0]
    assert_same(stack, back)


def test_plain_columns(tmp_path):
    write_stack(tmp_path / "stack.mrcs", noise(), 2.0)
    columns = {"rlnImageName": names(), "rlnDefocusU": np.arange(4.0), "rlnOpticsGroup": [1, 2, 2, 1]}
    optics = [OpticsGroup("a", 2.0, 200, 1.4, 0.1), OpticsGroup("b", 2.0, 300, 2.7, 0.07)]
    write_particles_star(tmp_path / "a.star", columns, poses=some_poses(), optics=optics, n=8)
    stack = ParticleStack.from_star(tmp_path / "a.star")
    assert stack.optics == optics
    np.testing.assert_array_equal(stack.optics_group, [0, 1, 1, 0])
    np.testing.assert_allclose(stack.poses.rotations, some_poses().rotations, atol=1e-7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"poses": some_poses(3)}, r"rlnAngleRot has shape \(3,\), expected \(4,\)"),
        ({"random_subset": [1, 2]}, r"rlnRandomSubset has shape \(2,\)"),
        ({"random_subset": [1, 2, 0, 1]}, "neither 1 nor 2"),
        ({"extra_columns": {"a b": [1, 2, 3, 4]}}, "'a b' is no label"),
        ({"extra_columns": {"#": [1, 2, 3, 4]}}, "'#' is no label"),
        ({"extra_columns": {"x": [[1], [2], [3], [4]]}}, "x has shape"),
        ({"extra_columns": {"x": [1, 2, np.nan, 4]}}, "column x is nan for particle 3"),
        ({"extra_columns": {"x": ["a", "b\nc", "d", "e"]}}, r"entry 'b\\nc' has line ends"),
        ({"extra_columns": {"x": ["a", "b\" ' c", "d", "e"]}}, "both kinds of quote"),
    ],
)
def test_unusable_columns(stack, tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        write_particles_star(tmp_path / "b.star", stack, **arguments)
    assert not (tmp_path / "b.star").exists()


@pytest.mark.parametrize("missing", ["rlnImageName", "optics", "n"])
def test_columns_need_names_and_optics(tmp_path, missing):
    arguments = {"particles": {"rlnImageName": names()}, "optics": [OpticsGroup("a", 2.0)], "n": 8}
    if missing == "rlnImageName":
        arguments["particles"] = {"rlnDefocusU": [1.0]}
    else:
        del arguments[missing]
    with pytest.raises(InputError, match="columns need rlnImageName, and optics groups and a box size"):
        write_particles_star(tmp_path / "b.star", **arguments)


def test_a_star_file_may_replace_itself(stack, tmp_path):
    path = tmp_path / "in" / "a.star"
    write_particles_star(path, ParticleStack.from_star(path), random_subset=[2, 1, 2, 1])
    assert ParticleStack.from_star(path).random_subset.tolist() == [2, 1, 2, 1]


@pytest.mark.shared
@pytest.mark.parametrize("name", ["betagal_empiar10061_particles_bin2", "empiar_10076_7"])
def test_real_particles_round_trip(shared_data, tmp_path, name):
    stack = ParticleStack.from_star(shared_data / "experimental" / "particles" / f"{name}.star").subset(slice(3, 7))
    write_particles_star(tmp_path / "a.star", stack, some_poses())
    back = ParticleStack.from_star(tmp_path / "a.star")
    np.testing.assert_array_equal(match_particles(stack, back), np.arange(4))
    np.testing.assert_array_equal(stack.images(), back.images())
    np.testing.assert_allclose(stack.defocus, back.defocus, rtol=1e-7)
