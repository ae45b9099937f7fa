"""Particle stacks: lazy, in any order, checked, and joined by image."""

import pickle
import time

import numpy as np
import pytest
from small_files import OPTICS, full_columns, make_stack, make_star, names, noise

from cryoinv.errors import InputError, InputWarning
from cryoinv.geometry import Poses, random_rotations
from cryoinv.io import OpticsGroup, ParticleStack, match_particles, write_stack
from cryoinv.io.particle_checks import checked_poses


@pytest.fixture
def star(tmp_path):
    """Six particles of three stacks, shuffled, and the images in the order of the rows."""
    stacks = {f"s{index}.mrcs": make_stack(tmp_path / f"s{index}.mrcs", 5, seed=index) for index in range(3)}
    order = [("s1.mrcs", 4), ("s0.mrcs", 0), ("s2.mrcs", 2), ("s1.mrcs", 1), ("s0.mrcs", 3), ("s1.mrcs", 2)]
    columns = full_columns(6)
    columns["rlnImageName"] = [f"{index + 1}@{stack}" for stack, index in order]
    return make_star(tmp_path / "a.star", columns), np.stack([stacks[stack][index] for stack, index in order])


def test_everything_in_the_file_is_there(star):
    path, images = star
    stack = ParticleStack.from_star(path)
    columns = full_columns(6)
    assert (len(stack), stack.n, stack.pixel_size, stack.has_ctf) == (6, 8, 2.0, True)
    np.testing.assert_array_equal(stack.images(), images)
    assert stack.images().dtype == np.float32
    np.testing.assert_array_equal(stack.optics_group, 0)
    np.testing.assert_allclose(stack.defocus[:, 0], columns["rlnDefocusU"])
    np.testing.assert_allclose(stack.phase_shift, columns["rlnPhaseShift"])
    np.testing.assert_allclose(stack.ctf_bfactor, columns["rlnCtfBfactor"])
    np.testing.assert_array_equal(stack.random_subset, columns["rlnRandomSubset"])
    np.testing.assert_allclose(stack.poses.shifts[:, 1], -columns["rlnOriginYAngst"])
    assert stack.image_names[0] == "5@s1.mrcs"
    assert stack.optics == [OpticsGroup("one", 2.0, 300.0, 2.7, 0.1)]
    assert repr(stack) == "ParticleStack(6 particles of 8 x 8 pixels of 2 Å, 1 optics groups, CTF: True)"


@pytest.mark.parametrize(
    "indices",
    [
        3,
        -1,
        [5, 0, 3],
        [2, 2, -6],
        slice(1, 4),
        slice(None, None, -2),
        np.arange(6) % 2 == 0,
        [],
        np.array([4], np.uint8),
    ],
    ids=str,
)
def test_images_by_index(star, indices):
    path, images = star
    rows = np.arange(6)[np.array(indices, int) if isinstance(indices, list) else indices]
    expected = images[np.atleast_1d(rows)]
    for stack in (ParticleStack.from_star(path), ParticleStack.from_arrays(images, 2.0)):
        np.testing.assert_array_equal(stack.images(indices), expected)
        np.testing.assert_array_equal(stack.subset(indices).images(), expected)


@pytest.mark.parametrize("indices", [6, -7, [0, 99], [0.5], np.ones(5, bool), np.zeros((2, 2), int), "1"], ids=str)
def test_particles_that_are_not_there(star, indices):
    stack = ParticleStack.from_star(star[0])
    with pytest.raises(InputError, match="particle"):
        stack.images(indices)
    with pytest.raises(InputError, match="particle"):
        stack.subset(indices)


def test_a_subset_carries_everything_along(star):
    stack = ParticleStack.from_star(star[0])
    part = stack.subset([4, 1]).subset([1])
    for name in ("defocus", "phase_shift", "ctf_bfactor", "random_subset", "image_names", "optics_group"):
        np.testing.assert_array_equal(getattr(part, name), getattr(stack, name)[[1]])
    np.testing.assert_array_equal(part.poses.rotations, stack.poses.rotations[[1]])
    assert part.table.particles["rlnImageName"].tolist() == ["1@s0.mrcs"]
    np.testing.assert_array_equal(part.images(), stack.images(1))
    for name, values in part.ctf_parameters().items():
        np.testing.assert_array_equal(values, stack.ctf_parameters([1])[name])


def test_ctf_parameters_follow_the_optics_group():
    optics = [OpticsGroup("a", 2.0, 200, 1.4, 0.1), OpticsGroup("b", 2.0, 300, 2.7, 0.07)]
    stack = ParticleStack.from_arrays(
        noise(3),
        2.0,
        optics=optics,
        optics_group=[1, 0, 1],
        defocus=np.arange(9).reshape(3, 3),
        phase_shift=[1, 2, 3],
    )
    got = stack.ctf_parameters([2, 1])
    assert {name: values.tolist() for name, values in got.items()} == {
        "defocus_u": [6, 3], "defocus_v": [7, 4], "defocus_angle": [8, 5],
        "voltage_kv": [300, 200], "spherical_aberration_mm": [2.7, 1.4], "amplitude_contrast": [0.07, 0.1],
        "phase_shift_deg": [3, 2], "b_factor": [0, 0],
    }  # fmt: skip
    with pytest.raises(InputError, match="no CTF"):
        ParticleStack.from_arrays(noise(3), 2.0).ctf_parameters()


def test_images_are_the_callers_own(star):
    path, images = star
    for stack in (ParticleStack.from_star(path), ParticleStack.from_arrays(images, 2.0)):
        stack.images()[:] = 0
        np.testing.assert_array_equal(stack.images(), images)


def test_stacks_travel_to_worker_processes(star):
    stack = ParticleStack.from_star(star[0])
    stack.images(0)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stack)).images(), star[1])  # noqa: S301


@pytest.mark.parametrize(
    ("pixels", "value", "message"),
    [(2, np.nan, "contains NaN"), (64, np.nan, "contains NaN"), (1, np.inf, "contains Inf"),
     (64, -np.inf, "contains Inf"), (2, -3e38, "has values from -3e.38 to"), (1, 3e38, "has values from"),
      (64, 5, "is constant"), (64, 0, "is constant")],
)  # fmt: skip
def test_bad_images_are_named_when_read(tmp_path, pixels, value, message):
    images = noise(5)
    write_stack(tmp_path / "stack.mrcs", images, 2.0)
    images[3].flat[:pixels] = value
    raw = (tmp_path / "stack.mrcs").read_bytes()[:1024] + images.tobytes()
    (tmp_path / "stack.mrcs").write_bytes(raw)
    stack = ParticleStack.from_star(make_star(tmp_path / "a.star", {"rlnImageName": names(5)}))
    np.testing.assert_array_equal(stack.images([4, 0]), images[[4, 0]])  # the others are still good
    with pytest.raises(InputError, match=rf"stack\.mrcs: image 4 {message}.*particle 000004@stack\.mrcs"):
        stack.images()
    with pytest.raises(InputError, match=message):
        ParticleStack.from_arrays(images, 2.0).images([1, 3])


def test_pixel_size_of_the_star_file_wins(tmp_path):
    make_stack(tmp_path / "stack.mrcs", pixel_size=2.5)
    star = make_star(tmp_path / "a.star", {"rlnImageName": names()})
    with pytest.warns(InputWarning, match=r"pixel size 2 Å is used, not 2\.5 Å"):
        assert ParticleStack.from_star(star).pixel_size == 2.0


@pytest.mark.parametrize("header", [2.01, 2.0])
def test_pixel_sizes_within_a_percent_are_one(tmp_path, header, recwarn):
    make_stack(tmp_path / "stack.mrcs", pixel_size=header)
    star = make_star(tmp_path / "a.star", {"rlnImageName": names()})
    assert ParticleStack.from_star(star).pixel_size == 2.0
    assert not recwarn.list


def test_pixel_size_of_the_header_where_the_star_file_has_none(tmp_path):
    make_stack(tmp_path / "stack.mrcs", pixel_size=2.5)
    optics = {key: value for key, value in OPTICS.items() if key != "rlnImagePixelSize"}
    star = make_star(tmp_path / "a.star", {"rlnImageName": names()}, optics)
    stack = ParticleStack.from_star(star)
    assert stack.pixel_size == stack.optics[0].pixel_size == 2.5
    make_stack(tmp_path / "other.mrcs", pixel_size=3.0)
    star = make_star(tmp_path / "a.star", {"rlnImageName": [*names(), "1@other.mrcs"]}, optics)
    with pytest.raises(InputError, match=r"pixel sizes differ, 2\.5 Å in .*stack\.mrcs but 3 Å in .*other\.mrcs"):
        ParticleStack.from_star(star)
    raw = bytearray((tmp_path / "stack.mrcs").read_bytes())
    raw[40:52] = bytes(12)
    (tmp_path / "stack.mrcs").write_bytes(raw)
    with pytest.raises(InputError, match="no pixel size in the STAR file"):
        ParticleStack.from_star(make_star(tmp_path / "a.star", {"rlnImageName": names()}, optics))


def refuse(tmp_path, columns, message, optics=OPTICS):
    star = make_star(tmp_path / "bad.star", columns, optics)
    with pytest.raises(InputError, match=message) as caught:
        ParticleStack.from_star(star)
    assert "bad.star" in str(caught.value) and len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("rlnDefocusU", 1e300, r"defocus U \(Å\) of row 3 is 1e.300, expected -1e.06 to 1e.06"),
        ("rlnDefocusV", -2e6, "defocus V .* of row 3"),
        ("rlnDefocusAngle", 1e9, "defocus angle .* of row 3"),
        ("rlnPhaseShift", 1e9, "phase shift .* of row 3"),
        ("rlnCtfBfactor", -1e4, r"B-factor of the CTF \(Å²\) of row 3 is -10000, expected -1920 to 100000"),
        ("rlnCtfBfactor", 1e300, "B-factor of the CTF .* of row 3"),
    ],
)
def test_finite_numbers_that_are_none_of_a_particle(tmp_path, column, value, message):
    make_stack(tmp_path / "stack.mrcs")
    columns = full_columns()
    columns[column] = [*columns[column][:2], value, columns[column][3]]
    refuse(tmp_path, columns, message)


def test_b_factors_of_fits_to_each_particle(tmp_path):
    make_stack(tmp_path / "stack.mrcs", pixel_size=0.5)
    columns = full_columns() | {"rlnCtfBfactor": [-100, -80, 0, 30]}
    star = make_star(tmp_path / "a.star", columns, OPTICS | {"rlnImagePixelSize": [0.5]})
    assert ParticleStack.from_star(star).ctf_bfactor.tolist() == [-100, -80, 0, 30]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("rlnOriginXAngst", 17, r"rlnOriginXAngst \(Å\) of row 3 is 17, expected -16 to 16"),
        ("rlnOriginYAngst", -1e300, r"rlnOriginYAngst \(Å\) of row 3 is -1e.300"),
        ("rlnOriginX", 9, r"rlnOriginX \(pixels\) of row 3 is 9, expected -8 to 8"),
        ("rlnOriginX", 1e308, r"rlnOriginX \(pixels\) of row 3 is 1e.300"),
        ("rlnAngleRot", 1e300, r"rlnAngleRot \(degrees\) of row 3 is 1e.300, expected -100000 to 100000"),
        ("rlnAnglePsi", -2e5, r"rlnAnglePsi \(degrees\) of row 3 is -200000"),
    ],
)
def test_poses_that_are_none_are_refused_where_they_are_used(tmp_path, column, value, message):
    make_stack(tmp_path / "stack.mrcs")
    columns = full_columns()
    if column == "rlnOriginX":
        del columns["rlnOriginXAngst"]
    columns[column] = [1.0, -2.0, value, 3.0]
    stack = ParticleStack.from_star(make_star(tmp_path / "bad.star", columns))
    with pytest.raises(InputError, match=f"bad.star: {message}"):
        checked_poses(stack, "bad.star")
    assert checked_poses(stack.subset([0, 1, 3]), "bad.star") is not None
    own = Poses(random_rotations(4, np.random.default_rng(0)), [[0, 0], [0, 17], [0, 0], [0, 0]])
    with pytest.raises(InputError, match=r"shift in y \(Å\) of row 2 is 17, expected -16 to 16"):
        checked_poses(ParticleStack.from_arrays(noise(), 2.0, poses=own), "in memory")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [("rlnSphericalAberration", 1e300, "aberration 1e.300 is none in mm"), ("rlnImagePixelSize", 1e300, "is none of")],
)
def test_finite_numbers_that_are_none_of_optics(tmp_path, column, value, message):
    make_stack(tmp_path / "stack.mrcs")
    refuse(tmp_path, full_columns(), f"data_optics: optics group one: .*{message}", OPTICS | {column: [value]})


def test_optics_groups_of_different_pixel_sizes(tmp_path):
    make_stack(tmp_path / "stack.mrcs")
    two = {key: value * 2 for key, value in OPTICS.items()}
    two |= {"rlnOpticsGroup": [1, 2], "rlnOpticsGroupName": ["one", "two"], "rlnImagePixelSize": [2.0, 2.1]}
    columns = {"rlnImageName": names(), "rlnOpticsGroup": [1, 2, 1, 2]}
    refuse(tmp_path, columns, r"pixel sizes differ, 2 Å in optics group one but 2\.1 Å in optics group two", two)
    two["rlnImagePixelSize"] = [2.0, 2.01]
    assert ParticleStack.from_star(make_star(tmp_path / "a.star", columns, two)).pixel_size == 2.0


def test_different_box_sizes(tmp_path):
    make_stack(tmp_path / "stack.mrcs")
    make_stack(tmp_path / "large.mrcs", n=10)
    columns = {"rlnImageName": [*names(), "1@large.mrcs"]}
    refuse(tmp_path, columns, r"box sizes differ, 8 pixels in .*stack\.mrcs but 10 in .*large\.mrcs")
    refuse(
        tmp_path,
        {"rlnImageName": names()},
        "rlnImageSize is .* but the images have 8",
        OPTICS | {"rlnImageSize": [9]},
    )


def test_indices_beyond_the_stack(tmp_path):
    make_stack(tmp_path / "stack.mrcs")
    refuse(tmp_path, {"rlnImageName": names(5)}, r"row 5 asks for image 5 of .*stack\.mrcs, which has 4")
    refuse(tmp_path, {"rlnImageName": ["1@stack.mrcs", "0@stack.mrcs"]}, "'0@stack.mrcs' of row 2")


def test_duplicates_by_whatever_name(tmp_path):
    make_stack(tmp_path / "stack.mrcs")
    (tmp_path / "link.mrcs").symlink_to(tmp_path / "stack.mrcs")
    (tmp_path / "hard.mrcs").hardlink_to(tmp_path / "stack.mrcs")
    (tmp_path / "sub").mkdir()
    for other in (
        "2@stack.mrcs",
        "2@link.mrcs",
        "2@hard.mrcs",
        "2@./stack.mrcs",
        f"2@{tmp_path}/stack.mrcs",
        "2@sub/../stack.mrcs",
    ):
        columns = {"rlnImageName": [*names(3), other]}
        refuse(
            tmp_path,
            columns,
            r"rows 2 and 4 are the same particle \(.*stack\.mrcs: image 2\)|link\.mrcs: image 2",
        )


def test_long_names_are_shortened_in_messages(tmp_path):
    make_stack(tmp_path / "stack.mrcs")
    long = "x" * 5000
    refuse(tmp_path, {"rlnImageName": names(stack=f"{long}.mrcs")}, "there is no stack 'x+ ... x+")
    refuse(tmp_path, {"rlnImageName": [f"a@{long}"]}, "image name 'a@x+ ... x+")
    refuse(tmp_path, full_columns() | {"rlnDefocusU": [1, 2, long, 4]}, "rlnDefocusU of row 3 is 'x+ ... x+'")
    refuse(tmp_path, full_columns(), "optics group x+ ...", OPTICS | {"rlnOpticsGroupName": [long], "rlnVoltage": [0]})
    refuse(tmp_path, full_columns() | {f"rln{long}": [1] * 4, f"rln{long} ": [1] * 4}, "column rlnx+ ... x+ appears")


def test_defocus_without_the_rest_of_the_ctf(tmp_path):
    make_stack(tmp_path / "stack.mrcs")
    for column in ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast"):
        optics = {key: value for key, value in OPTICS.items() if key != column}
        refuse(tmp_path, full_columns(), f"optics group one has not all of .*{column}", optics)


def test_bad_stacks_are_named(tmp_path):
    (tmp_path / "stack.mrcs").write_bytes(b"")
    star = make_star(tmp_path / "a.star", {"rlnImageName": names()})
    with pytest.raises(InputError, match=r"stack\.mrcs: the MRC file is empty"):
        ParticleStack.from_star(star)
    with pytest.raises(InputError, match="not a STAR file"):
        ParticleStack.from_star(write(tmp_path / "b.mrcs"))


def write(path):
    write_stack(path, noise(), 2.0)
    return path


def test_particles_are_matched_by_image(tmp_path):
    make_stack(tmp_path / "x" / "stack.mrcs")
    make_stack(tmp_path / "y" / "stack.mrcs", seed=1)
    a = ParticleStack.from_star(make_star(tmp_path / "x" / "a.star", {"rlnImageName": names()}))
    shuffled = ["4@x/stack.mrcs", "2@y/stack.mrcs", "1@x/stack.mrcs", "000002@x/stack.mrcs", "3@x/stack.mrcs"]
    b = ParticleStack.from_star(make_star(tmp_path / "b.star", {"rlnImageName": shuffled}))
    np.testing.assert_array_equal(match_particles(a, b), [2, 3, 4, 0])
    np.testing.assert_array_equal(b.subset(match_particles(a, b)).images(), a.images())
    with pytest.raises(InputError, match=r"1 of 5 particles are not in the other set.*y.stack\.mrcs: image 2"):
        match_particles(b, a)


def test_in_memory_stacks_check_what_they_are_given():
    images, rotations = noise(), random_rotations(4, np.random.default_rng(0))
    optics = [OpticsGroup("a", 2.0, 300, 2.7, 0.1)]
    good = ParticleStack.from_arrays(images, 2.0, optics=optics, defocus=np.ones((4, 3)), poses=Poses(rotations))
    assert good.has_ctf
    for message, arguments in {
        r"\(4, 8, 9\), expected \(m, n, n\)": {"images": np.zeros((4, 8, 9))},
        r"\(0, 8, 8\), expected \(m, n, n\)": {"images": np.zeros((0, 8, 8))},
        "3 values of poses for 4": {"poses": Poses(rotations[:3])},
        "3 values of phase_shift": {"phase_shift": [1, 2, 3]},
        "defocus has shape": {"defocus": np.ones((4, 2))},
        "not all of": {"defocus": np.ones((4, 3)), "optics": None},
        "defocus contains NaN": {"defocus": np.full((4, 3), np.nan)},
        "optics groups .* go up to 1 of 1": {"optics_group": [0, 0, 1, 0]},
        "pixel size 1e.300": {"pixel_size": 1e300, "optics": None},
        "half-set": {"random_subset": [1, 2, 0, 1]},
        "not positive": {"pixel_size": 0.0},
        "pixel sizes differ": {"optics": [optics[0], OpticsGroup("b", 3.0)]},
        "same particle": {"image_names": ["1@a", "2@a", "1@a", "3@a"]},
    }.items():
        arguments = {"images": images, "pixel_size": 2.0, "optics": optics} | arguments
        with pytest.raises(InputError, match=message):
            ParticleStack.from_arrays(**arguments)


def test_a_hundred_thousand_particles_open_quickly(tmp_path):
    count, per_stack = 100_000, 2_000
    for index in range(count // per_stack):
        with open(tmp_path / f"{index}.mrcs", "wb") as file:  # sparse: takes no room
            make_stack(tmp_path / "one.mrcs", 1, n=32)
            header = bytearray((tmp_path / "one.mrcs").read_bytes()[:1024])
            header[8:12] = per_stack.to_bytes(4, "little")
            file.write(header)
            file.truncate(1024 + per_stack * 32 * 32 * 4)
    columns = {
        "rlnImageName": [f"{row % per_stack + 1:06d}@{row // per_stack}.mrcs" for row in range(count)],
        "rlnDefocusU": np.arange(count),
        **{f"rlnAngle{name}": np.arange(count) % 170 for name in ("Rot", "Tilt", "Psi")},
    }
    star = make_star(tmp_path / "a.star", columns, OPTICS | {"rlnImageSize": [32]})
    start = time.perf_counter()
    stack = ParticleStack.from_star(star)
    opened = time.perf_counter()
    assert len(stack) == count
    stack.subset(np.arange(count)[::-1])
    assert opened - start < 10  # about 1 s on an idle core
    with pytest.raises(InputError, match="constant"):
        stack.images(np.arange(0, count, 499))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "count", "n", "pixel_size"),
    [("betagal_empiar10061_particles_bin2", 101, 192, 1.274), ("empiar_10076_7", 7, 320, 1.31)],
)
def test_real_particles(shared_data, name, count, n, pixel_size):
    stack = ParticleStack.from_star(shared_data / "experimental" / "particles" / f"{name}.star")
    assert (len(stack), stack.n, stack.has_ctf, stack.poses) == (count, n, True, None)
    assert stack.pixel_size == pytest.approx(pixel_size, rel=1e-4)
    assert stack.optics[0].voltage == 300
    images = stack.images()
    assert images.shape == (count, n, n)
    np.testing.assert_array_equal(stack.images([5, 1]), images[[5, 1]])
    assert 5000 < stack.defocus[:, :2].min() <= stack.defocus[:, :2].max() < 30000
