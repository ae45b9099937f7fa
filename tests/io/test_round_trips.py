"""Whatever can be written comes back: maps, stacks, and particles whatever their files are called."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mrcfile.dtypes import HEADER_DTYPE
from small_files import noise

from cryoinv.errors import InputError, InputWarning
from cryoinv.geometry import Poses, matrix_from_euler
from cryoinv.io import (
    OpticsGroup,
    ParticleStack,
    match_particles,
    open_stack,
    read_star,
    read_volume,
    write_particles_star,
    write_stack,
    write_star,
    write_volume,
)

sides, seeds = st.integers(1, 17), st.integers(0, 2**31)
pixel_sizes = st.floats(0.01, 1000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("round")


@given(st.tuples(sides, sides, sides), pixel_sizes, st.sampled_from([".mrc", ".mrc.gz", ".map"]), seeds)
def test_volumes(folder, shape, pixel_size, ending, seed):
    volume = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    write_volume(folder / f"a{ending}", volume, pixel_size)
    back, found = read_volume(folder / f"a{ending}", cubic=False)
    np.testing.assert_array_equal(back, volume)
    assert found == pytest.approx(pixel_size, rel=1e-6)


MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}


@given(sides, sides, st.sampled_from(sorted(MODES)), st.sampled_from("<>"), st.integers(0, 3), pixel_sizes, seeds)
def test_every_mode_byte_order_and_extended_header(folder, count, n, mode, order, blocks, pixel_size, seed):
    dtype = np.dtype(MODES[mode]).newbyteorder(order)
    stored = np.random.default_rng(seed).integers(0, 120, (count, n, n)).astype(dtype)
    header = np.zeros(1, HEADER_DTYPE.newbyteorder(order))[0]
    values = {"nx": n, "ny": n, "nz": count, "mode": mode, "mx": n, "my": n, "mz": count, "nsymbt": 80 * blocks,
              "cella": (n * pixel_size, n * pixel_size, count * pixel_size), "mapc": 1, "mapr": 2, "maps": 3,
              "map": b"MAP ", "machst": [0x44, 0x44, 0, 0] if order == "<" else [0x11, 0x11, 0, 0]}  # fmt: skip
    for name, value in values.items():
        header[name] = value
    (folder / "a.mrcs").write_bytes(header.tobytes() + bytes(80 * blocks) + stored.tobytes())
    stack = open_stack(folder / "a.mrcs")
    np.testing.assert_array_equal(stack[:], stored)
    assert stack.pixel_size == pytest.approx(pixel_size, rel=1e-5)


@given(st.integers(1, 12), sides, st.sampled_from(["float32", "float16"]), st.data())
def test_images_in_any_order_and_more_than_once(folder, count, n, dtype, data):
    images = noise(count, n).astype(dtype)
    write_stack(folder / "b.mrcs", images, 2.0, dtype)
    wanted = np.array(data.draw(st.lists(st.integers(-count, count - 1), max_size=20)), int)
    np.testing.assert_array_equal(open_stack(folder / "b.mrcs")[wanted], images[wanted])
    numbers = ParticleStack.from_arrays(images, 2.0).subset(wanted).image_numbers()
    np.testing.assert_array_equal(numbers[:, None] == numbers, (wanted % count)[:, None] == wanted % count)
    assert set(numbers) == set(range(len(set(wanted % count))))
    if n > 1:
        star = folder / "b.star"
        write_particles_star(star, {"rlnImageName": [f"{i + 1}@b.mrcs" for i in range(count)]},
                             optics=[OpticsGroup("a", 2.0)], n=n)  # fmt: skip
        np.testing.assert_array_equal(ParticleStack.from_star(star).subset(wanted).images(), images[wanted])


# What a file system allows in a name; an index@ comes before it.
letters = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\0")
file_names = st.text(letters | st.sampled_from('#\'"" _;$[]@ '), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 200
)


@given(st.lists(file_names, min_size=1, max_size=3, unique=True), st.integers(1, 6), st.data())
def test_particles_of_files_of_any_name(tmp_path_factory, stems, count, data):
    folder = tmp_path_factory.mktemp("names")
    stacks = [f"{stem}.mrcs" for stem in stems]
    for position, stack in enumerate(stacks):
        write_stack(folder / stack, noise(count, seed=position), 2.0)
    sections = [(stack, section) for stack in stacks for section in range(count)]
    chosen = data.draw(st.lists(st.sampled_from(sections), min_size=1, unique=True))
    angle, shift = st.floats(-360, 360), st.floats(-15.9, 15.9)  # in a box of 16 Å
    numbers = np.array([data.draw(st.tuples(angle, angle, angle, shift, shift)) for _ in chosen])
    poses = Poses(matrix_from_euler(numbers[:, :3]), numbers[:, 3:])
    columns = {"rlnImageName": [f"{section + 1:06d}@{stack}" for stack, section in chosen]}
    subset = 1 + np.arange(len(chosen)) % 2
    optics = [OpticsGroup("it's #1", 2.0, 300, 2.7, 0.1)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "(?s).*has a #", InputWarning)
        try:
            write_particles_star(folder / "a.star", columns, poses, subset, optics=optics, n=8)
        except InputError as error:  # the one kind of name that no STAR file can hold
            assert "both kinds of quote" in str(error) and not (folder / "a.star").exists()
            return
        first = ParticleStack.from_star(folder / "a.star")
        (folder / "below").mkdir()
        write_particles_star(folder / "below" / "b.star", first)
        second = ParticleStack.from_star(folder / "below" / "b.star")
    for stack in (first, second):
        assert list(stack.image_names) == columns["rlnImageName"] and stack.optics == optics
        np.testing.assert_array_equal(stack.random_subset, subset)
        np.testing.assert_allclose(stack.poses.rotations, poses.rotations, atol=1e-6)
        np.testing.assert_allclose(stack.poses.shifts, poses.shifts, atol=1e-6)
    np.testing.assert_array_equal(match_particles(first, second), np.arange(len(chosen)))
    expected = np.stack([noise(count, seed=stacks.index(stack))[section] for stack, section in chosen])
    np.testing.assert_array_equal(second.images(), expected)


entries = st.text(letters | st.sampled_from("#'\"_;$[] "), max_size=10)


rows_of_a_table = st.tuples(entries, entries, st.integers(-(2**53), 2**53), st.floats(-1e30, 1e30))


@given(st.lists(rows_of_a_table, min_size=1, max_size=8))
def test_tables_of_any_text(folder, rows):
    import pandas as pd

    table = pd.DataFrame(rows, columns=["rlnAName", "rlnBName", "rlnInteger", "rlnFloat"])
    single = {f"rln{number}Name": row[0] for number, row in enumerate(rows)}
    try:
        write_star(folder / "t.star", {"table": table, "single": single})
    except InputError as error:
        assert "both kinds of quote" in str(error)
        return
    back = read_star(folder / "t.star")
    for column in ("rlnAName", "rlnBName", "rlnInteger"):
        assert list(back["table"][column]) == list(table[column])
    np.testing.assert_allclose(back["table"]["rlnFloat"], table["rlnFloat"], rtol=1e-8)
    assert back["single"] == single
