"""Particle tables of RELION 3.0 and 3.1: the same meaning, and clear refusals."""

import warnings

import numpy as np
import pytest
from small_files import OPTICS, full_columns, loop, make_star, names

from cryoinv.errors import InputError, InputWarning
from cryoinv.geometry import matrix_from_euler
from cryoinv.io import read_particle_table
from cryoinv.io.optics import groups_from_table


def test_a_file_of_version_31(tmp_path):
    columns = full_columns()
    table = read_particle_table(make_star(tmp_path / "a.star", columns))
    assert len(table) == 4
    np.testing.assert_allclose(table.defocus()[:, 1], columns["rlnDefocusV"])
    angles = np.stack([columns[f"rlnAngle{name}"] for name in ("Rot", "Tilt", "Psi")], axis=1)
    poses = table.poses(pixel_size=2.0)
    np.testing.assert_allclose(poses.rotations, matrix_from_euler(angles), atol=1e-12)
    np.testing.assert_allclose(poses.shifts[:, 0], -columns["rlnOriginXAngst"])
    np.testing.assert_array_equal(table.random_subset(), columns["rlnRandomSubset"])
    (group,) = groups_from_table(table.optics, "")
    assert (group.name, group.pixel_size, group.voltage) == ("one", 2.0, 300.0)
    assert (group.spherical_aberration, group.amplitude_contrast) == (2.7, 0.1)


@pytest.mark.parametrize("block", ["", "images", "particles"])
def test_a_file_of_version_30(tmp_path, block):
    columns = {
        "rlnImageName": names(5),
        "rlnVoltage": [300, 200, 300, 300, 200],
        "rlnSphericalAberration": [2.7] * 5,
        "rlnAmplitudeContrast": [0.07] * 5,
        "rlnMagnification": [50000] * 5,
        "rlnDetectorPixelSize": [7.0] * 5,
        "rlnDefocusU": [10000, 11000, 12000, 13000, 14000],
        "rlnAngleRot": [0] * 5, "rlnAngleTilt": [0] * 5, "rlnAnglePsi": [0] * 5,
        "rlnOriginX": [1, 2, 3, 4, 5], "rlnOriginY": [0, 0, 0, 0, -1],
    }  # fmt: skip
    (tmp_path / "a.star").write_text(loop(block, columns))
    table = read_particle_table(tmp_path / "a.star")
    np.testing.assert_array_equal(table.optics_group, [0, 1, 0, 0, 1])
    groups = groups_from_table(table.optics, "")
    assert [group.voltage for group in groups] == [300, 200]
    assert [group.pixel_size for group in groups] == pytest.approx([1.4, 1.4])
    np.testing.assert_allclose(table.poses(1.4).shifts[:, 0], [-1.4, -2.8, -4.2, -5.6, -7.0])
    np.testing.assert_allclose(table.poses(1.4).shifts[4, 1], 1.4)
    np.testing.assert_array_equal(table.defocus()[:, 1], columns["rlnDefocusU"])  # V = U, angle 0
    assert not table.defocus()[:, 2].any()
    assert "rlnVoltage" not in table.particles


def test_version_30_with_a_plain_pixel_size(tmp_path):
    (tmp_path / "a.star").write_text(loop("", {"rlnImageName": names(), "rlnPixelSize": [1.1] * 4}))
    table = read_particle_table(tmp_path / "a.star")
    assert groups_from_table(table.optics, "")[0].pixel_size == 1.1


def test_names_alone_are_enough(tmp_path):
    (tmp_path / "a.star").write_text(loop("", {"rlnImageName": names()}))
    table = read_particle_table(tmp_path / "a.star")
    assert table.poses(1.0) is table.defocus() is table.random_subset() is None
    assert np.isnan(groups_from_table(table.optics, "")[0].pixel_size)


def test_optics_groups_go_by_number_and_not_by_row(tmp_path):
    optics = {key: [value[0]] * 3 for key, value in OPTICS.items()}
    optics |= {"rlnOpticsGroup": [7, 3, 5], "rlnVoltage": [100, 200, 300]}
    columns = {"rlnImageName": names(), "rlnOpticsGroup": [3, 5, 7, 3]}
    table = read_particle_table(make_star(tmp_path / "a.star", columns, optics))
    np.testing.assert_array_equal(table.optics_group, [1, 2, 0, 1])


def test_a_simple_optics_block_is_one_group(tmp_path):
    simple = "data_optics\n\n" + "".join(f"_{key} {value[0]}\n" for key, value in OPTICS.items())
    (tmp_path / "a.star").write_text(simple + loop("particles", {"rlnImageName": names()}))
    table = read_particle_table(tmp_path / "a.star")
    assert groups_from_table(table.optics, "")[0].voltage == 300


def refuse(tmp_path, columns, message, optics=OPTICS):
    star = make_star(tmp_path / "bad.star", columns, optics)
    with pytest.raises(InputError, match=message) as caught:
        table = read_particle_table(star)
        groups_from_table(table.optics, str(star))
        table.poses(1.0), table.defocus(), table.random_subset()
    assert "bad.star" in str(caught.value)


def test_no_image_names(tmp_path):
    refuse(tmp_path, {"rlnMicrographName": names(), "rlnOpticsGroup": [1] * 4}, "rlnImageName is missing")


def test_no_rows(tmp_path):
    refuse(tmp_path, {"rlnImageName": [], "rlnOpticsGroup": []}, "no rows")
    refuse(tmp_path, full_columns(), "the table data_optics has no rows", {"rlnOpticsGroup": []})


def test_undefined_and_doubly_defined_optics_groups(tmp_path):
    columns = {"rlnImageName": names(), "rlnOpticsGroup": [1, 1, 2, 1]}
    refuse(tmp_path, columns, r"row 3 is of optics group 2, which is not defined \(only 1\)")
    twice = {key: value * 2 for key, value in OPTICS.items()}
    refuse(tmp_path, columns, "optics group 1 is defined twice", twice)
    two = twice | {"rlnOpticsGroup": [1, 2]}
    refuse(tmp_path, {"rlnImageName": names()}, "rlnOpticsGroup is missing in data_particles", two)


def test_a_single_optics_group_without_a_number_is_the_first(tmp_path):
    optics = {key: value for key, value in OPTICS.items() if key != "rlnOpticsGroup"}
    table = read_particle_table(make_star(tmp_path / "a.star", full_columns(), optics))
    np.testing.assert_array_equal(table.optics_group, 0)
    columns = {"rlnImageName": names(), "rlnOpticsGroup": [1, 2, 3, 7]}
    refuse(tmp_path, columns, r"row 2 is of optics group 2, which is not defined \(only 1\)", optics)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "abc", "None", "<NA>", "1e999", "1,5"])
@pytest.mark.parametrize("column", ["rlnDefocusU", "rlnAngleTilt", "rlnOriginXAngst", "rlnRandomSubset"])
def test_entries_that_are_no_numbers(tmp_path, column, value):
    columns = full_columns()
    columns[column] = ["1", "1", value, "1"]
    refuse(tmp_path, columns, f"{column} of row 3 is .*expected a finite number")


def test_defocus_in_part(tmp_path):
    columns = full_columns()
    bare = {name: values for name, values in columns.items() if "Defocus" not in name}
    for name in ("rlnDefocusV", "rlnDefocusAngle"):
        refuse(tmp_path, bare | {name: columns[name]}, f"column {name} is there, but rlnDefocusU is missing")
    astigmatic = bare | {"rlnDefocusU": [10000] * 4, "rlnDefocusV": [10000, 10000, 9900, 9800]}
    refuse(tmp_path, astigmatic, r"rlnDefocusAngle is missing, but .* of row 3 differ \(10000 and 9900\)")


@pytest.mark.parametrize("name", ["rlnDefocusV", "rlnDefocusAngle"])
def test_defocus_without_astigmatism(tmp_path, name):
    columns = full_columns() | {"rlnDefocusV": full_columns()["rlnDefocusU"]}
    del columns[name]
    defocus = read_particle_table(make_star(tmp_path / "a.star", columns)).defocus()
    np.testing.assert_array_equal(defocus[:, 1], columns["rlnDefocusU"])
    np.testing.assert_array_equal(defocus[:, 2], columns.get("rlnDefocusAngle", np.zeros(4)))


def test_half_sets_other_than_1_and_2(tmp_path):
    columns = full_columns() | {"rlnRandomSubset": [1, 2, 3, 1]}
    refuse(tmp_path, columns, "rlnRandomSubset of row 3 is 3, expected 1 or 2")
    columns["rlnRandomSubset"] = [0] * 4  # RELION's way to say that none was chosen
    assert read_particle_table(make_star(tmp_path / "a.star", columns)).random_subset() is None


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("rlnImagePixelSize", 0, "pixel size 0.0 Å is not positive"),
        ("rlnImagePixelSize", -2, "pixel size -2.0 Å is not positive"),
        ("rlnImagePixelSize", "x", "rlnImagePixelSize of row 1 is 'x'"),
        ("rlnVoltage", 300000, "voltage 300000.0 is none in kV"),
        ("rlnVoltage", 0, "voltage 0.0 is none in kV"),
        ("rlnAmplitudeContrast", 7, "amplitude contrast 7.0 is not between 0 and 1"),
        ("rlnImageDimensionality", 3, "not two-dimensional"),
        ("rlnCtfDataAreCtfPremultiplied", 1, "premultiplied by the CTF"),
    ],
)
def test_impossible_optics(tmp_path, column, value, message):
    refuse(tmp_path, full_columns(), message, OPTICS | {column: [value]})


def test_a_magnification_of_zero(tmp_path):
    columns = {"rlnImageName": names(), "rlnMagnification": [1, 1, 0, 1], "rlnDetectorPixelSize": [5] * 4}
    (tmp_path / "a.star").write_text(loop("", columns))
    with pytest.raises(InputError, match="rlnMagnification of row 3 is 0"):
        read_particle_table(tmp_path / "a.star")


def test_effects_that_are_not_modelled_are_said(tmp_path):
    star = make_star(tmp_path / "a.star", full_columns(), OPTICS | {"rlnBeamTiltX": [0.3], "rlnBeamTiltY": [0]})
    with pytest.warns(InputWarning, match="ignored: rlnBeamTiltX$"):
        read_particle_table(star)
    lists = {"rlnOddZernike": ["[0,-0.01,0,0]"], "rlnEvenZernike": ["[x]"], "rlnMtfFileName": ["mtf_k3.star"]}
    with pytest.warns(InputWarning, match="ignored: rlnOddZernike, rlnEvenZernike, rlnMtfFileName$"):
        read_particle_table(make_star(tmp_path / "a.star", full_columns(), OPTICS | lists))
    identity = {
        "rlnMagMat00": [1],
        "rlnMagMat01": [0],
        "rlnMagMat10": [0],
        "rlnMagMat11": [1],
        "rlnBeamTiltX": [0],
        "rlnOddZernike": ["[0,0.0,0]"],
        "rlnEvenZernike": ["[]"],
        "rlnMtfFileName": ['""'],
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_particle_table(make_star(tmp_path / "a.star", full_columns(), OPTICS | identity))


@pytest.mark.parametrize("lost", [2, 12, 40, 60])
def test_a_file_cut_within_its_last_row(tmp_path, lost):
    star = make_star(tmp_path / "bad.star", full_columns())
    text = star.read_text().rstrip()
    star.write_text(text[:-lost])
    with pytest.raises(InputError, match=r"bad\.star"):
        read_particle_table(star)


def test_other_star_files_are_told_apart(tmp_path):
    (tmp_path / "a.star").write_text(loop("optics", OPTICS) + loop("micrographs", {"rlnMicrographName": ["a.mrc"]}))
    with pytest.raises(InputError, match="data_optics, data_micrographs"):
        read_particle_table(tmp_path / "a.star")


def test_columns_beyond_ours_are_kept(tmp_path):
    columns = full_columns() | {"rlnLogLikeliContribution": ["nan", 1.0, 2.0, 3.0], "myLabel": list("abcd")}
    table = read_particle_table(make_star(tmp_path / "a.star", columns))
    assert list(table.particles["myLabel"]) == list("abcd")
    assert list(table.take(np.array([3, 1])).particles["myLabel"]) == ["d", "b"]
