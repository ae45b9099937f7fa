"""What is wrong with an MRC file is said in one line that names it, before anything large is allocated."""

import gzip
import struct
import time
import tracemalloc
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
from small_files import noise

from cryoinv.errors import InputError, InputWarning
from cryoinv.io import MrcStack, open_stack, read_array, read_volume, write_stack, write_volume

NX, NY, NZ, MODE, MX, CELLA, MAPC, NSYMBT, MAP, MACHST = 0, 4, 8, 12, 28, 40, 64, 92, 208, 212
MZ, CELLB, ISPG = 36, 52, 88


@pytest.fixture
def raw(tmp_path):
    write_volume(tmp_path / "good.mrc", noise(8), 1.5)
    return bytearray((tmp_path / "good.mrc").read_bytes())


@pytest.fixture
def bad(tmp_path):
    def save(raw):
        (tmp_path / "bad.mrc").write_bytes(bytes(raw))
        return tmp_path / "bad.mrc"

    return save


def set_int(raw, offset, value):
    raw[offset : offset + 4] = struct.pack("<i", value)
    return raw


def check(path, message):
    for read in (read_volume, open_stack):
        with warnings.catch_warnings(), pytest.raises(InputError, match=message) as caught:
            warnings.simplefilter("error")
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_missing(tmp_path):
    check(tmp_path / "none.mrc", "no such MRC file")
    check(tmp_path, "is a folder")


def test_empty(bad):
    check(bad(b""), "is empty")


@pytest.mark.parametrize("length", [1, 500, 1023])
def test_shorter_than_a_header(raw, bad, length):
    check(bad(raw[:length]), f"{length} bytes are too few")


@pytest.mark.parametrize("length", [1024, 1025, 3071])
def test_truncated(raw, bad, length):
    check(bad(raw[:length]), rf"truncated MRC file, 8 x 8 x 8 values of float32 need 3072 bytes.*has {length}")


def test_of_another_kind(bad):
    check(bad(b"data_particles\n\nloop_\n_rlnImageName #1\n" * 100), "not an MRC file")
    check(bad(bytes(4096)), "not an MRC file")
    check(bad(np.random.default_rng(0).bytes(4096)), "not an MRC file")
    check(bad(b"\x89HDF\r\n\x1a\n" + bytes(4000)), "not an MRC file")


@pytest.mark.parametrize("mode", [3, 4, 5, 7, 101, -1])
def test_modes_that_are_not_real_numbers(raw, bad, mode):
    check(bad(set_int(raw, MODE, mode)), f"mode {mode} is not supported")


@pytest.mark.parametrize("offset", [NX, NY, NZ])
@pytest.mark.parametrize("value", [0, -5])
def test_no_size(raw, bad, offset, value):
    check(bad(set_int(raw, offset, value)), "not an MRC file")


@pytest.mark.parametrize("offset", [NX, NY, NZ, NSYMBT])
def test_huge_claims_allocate_nothing(raw, bad, offset):
    path = bad(set_int(raw, offset, 2**31 - 1))
    tracemalloc.start()
    check(path, "truncated MRC file")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_huge_claims_in_all_three_sizes(raw, bad):
    for offset in (NX, NY, NZ):
        set_int(raw, offset, 2**31 - 1)
    check(bad(raw), "truncated MRC file")


@contextmanager
def little():
    """Bound on memory and time."""
    tracemalloc.start()
    began = time.perf_counter()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((100_000, 100_000, 100_000), "truncated MRC file, 100000 x 100000 x 100000 values"),
        ((2**31 - 1, 2**31 - 1, 2**31 - 1), "truncated MRC file"),  # beyond 64 bits
        ((2**21, 2**21, 2**21), "truncated MRC file"),  # 2^63 values, 2^65 bytes
        ((2**22, 2**21, 2**21), "truncated MRC file"),  # 0 bytes modulo 2^64
        ((-8, -8, 8), "not an MRC file, its header gives -8 x -8 x 8"),  # a positive product
        ((-(2**31), 8, 8), "not an MRC file"),
        ((8, 8, 0), "not an MRC file"),
    ],
)
@pytest.mark.parametrize("extended", [0, 2**31 - 1])
def test_a_header_alone_with_any_claim(raw, bad, tmp_path, sizes, message, extended):
    raw[0:12], raw[NSYMBT : NSYMBT + 4] = struct.pack("<3i", *sizes), struct.pack("<i", extended)
    with little():
        check(bad(raw[:1024]), message)
        (tmp_path / "a.mrc.gz").write_bytes(gzip.compress(bytes(raw[:1024])))
        with pytest.raises(InputError, match=message):
            read_array(tmp_path / "a.mrc.gz")


def test_a_negative_extended_header(raw, bad):
    check(bad(set_int(raw, NSYMBT, -1024)), "extended header of -1024 bytes")


@pytest.mark.parametrize("honest", [True, False])
def test_gzip_bombs(raw, tmp_path, honest):
    """Two megabytes that unpack to two gigabytes: refused where the header says so, and else not unpacked."""
    zeros = gzip.compress(bytes(1 << 24), 9)
    if honest:
        raw[0:12] = struct.pack("<3i", 810, 810, 810)
    path = tmp_path / "bomb.mrc.gz"
    path.write_bytes(gzip.compress(bytes(raw if not honest else raw[:1024]), 1) + zeros * 128)
    assert path.stat().st_size < 2**22
    with little(), warnings.catch_warnings():
        if honest:
            with pytest.raises(InputError, match=r"gzipped file of \d+ bytes claims to hold 2125765024, .*unpack it"):
                read_array(path)
        else:
            warnings.simplefilter("ignore", InputWarning)
            np.testing.assert_array_equal(read_array(path)[0], noise(8))


def test_a_stack_taken_for_a_volume_is_not_read(raw, tmp_path):
    path = tmp_path / "particles.mrcs"
    path.write_bytes(set_int(raw, NZ, 10**7)[:1024])
    with path.open("r+b") as stream:  # takes no room on the disk
        stream.truncate(1024 + 8 * 8 * 4 * 10**7)
    with little(), pytest.raises(InputError, match=r"particles\.mrcs: the volume is not cubic, 8 x 8 x 10000000"):
        read_volume(path)


def test_huge_claims_in_a_gzipped_file_allocate_little(raw, tmp_path):
    path = tmp_path / "a.mrc.gz"
    path.write_bytes(gzip.compress(bytes(set_int(raw, NZ, 2**31 - 1))))
    with pytest.raises(InputError, match="truncated MRC file"):
        read_volume(path)
    path.write_bytes(gzip.compress(bytes(set_int(raw, NZ, 30000))))  # within what gzip could hold
    tracemalloc.start()
    with pytest.raises(InputError, match="truncated MRC file, 8 x 8 x 30000"):
        read_volume(path)
    assert tracemalloc.get_traced_memory()[1] < 2**22  # of 7.7 MB claimed
    tracemalloc.stop()


@pytest.mark.parametrize("length", [1, 9, 12, 200, 900, -9, -1])
def test_truncated_gzip(tmp_path, length):
    write_volume(tmp_path / "a.mrc.gz", noise(8), 1.0)
    path = tmp_path / "b.mrc.gz"
    path.write_bytes((tmp_path / "a.mrc.gz").read_bytes()[:length])
    with pytest.raises(InputError, match=r"b\.mrc\.gz: "):
        read_volume(path)


def test_damaged_gzip(tmp_path):
    write_volume(tmp_path / "a.mrc.gz", noise(8), 1.0)
    raw = bytearray((tmp_path / "a.mrc.gz").read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    (tmp_path / "a.mrc.gz").write_bytes(raw)
    with pytest.raises(InputError, match=r"damaged gzip|truncated"):
        read_volume(tmp_path / "a.mrc.gz")


def test_gzipped_stack(tmp_path):
    write_volume(tmp_path / "a.mrcs.gz", noise(8), 1.0)
    with pytest.raises(InputError, match="unpack it first"):
        open_stack(tmp_path / "a.mrcs.gz")


def test_oblong_images(tmp_path):
    write_volume(tmp_path / "a.mrcs", np.ones((3, 8, 10)), 1.0)
    with pytest.raises(InputError, match="not square, 10 x 8 pixels"):
        open_stack(tmp_path / "a.mrcs")


def test_oblong_pixels(raw, bad):
    raw[CELLA : CELLA + 4] = struct.pack("<f", 14.0)
    check(bad(raw), "pixels are not square, 1.75 x 1.5")


def set_floats(raw, offset, *values):
    raw[offset : offset + 4 * len(values)] = struct.pack(f"<{len(values)}f", *values)
    return raw


def test_oblong_voxels_of_a_volume(raw, bad):
    path = bad(set_floats(raw, CELLA + 8, 14.0))
    with pytest.raises(InputError, match=r"bad\.mrc: voxels are no cubes, 1\.5 Å in x but 1\.75 Å in z"):
        read_volume(path)
    assert open_stack(path).pixel_size == 1.5  # the third axis of images is none of space
    raw[ISPG : ISPG + 4] = struct.pack("<i", 0)
    with pytest.raises(InputError, match="no cubes"):
        read_volume(bad(raw))
    assert read_array(bad(set_int(raw, MZ, 1)))[1] == 1.5
    path = bad(set_int(raw, ISPG, 1))  # one section along z, they say, of 14 Å
    with pytest.warns(InputWarning, match=r"bad\.mrc: .* counts 1 section .* are 8, .* 1\.5 Å as in x"):
        assert read_volume(path)[1] == 1.5
    assert read_volume(bad(set_floats(raw, CELLA + 8, 0.0)))[1] == 1.5


def test_a_given_pixel_size_is_believed_whatever_the_cell(raw, bad):
    oblong, sheared = (set_floats(bytearray(raw), CELLA, 14.0, 12.0, 13.0), set_floats(bytearray(raw), CELLB, 60.0))
    for odd in (oblong, sheared):
        with pytest.raises(InputError, match=r"bad\.mrc: .* in the MRC header"):
            read_volume(bad(odd))
        volume, pixel_size = read_volume(bad(odd), pixel_size=1.06)
        assert pixel_size == 1.06
        np.testing.assert_array_equal(volume, noise(8))


@pytest.mark.parametrize("angle", [60.0, 90.3, -90.0, float("nan"), 0.0])
def test_cells_with_other_than_right_angles(raw, bad, angle):
    path = bad(set_floats(raw, CELLB + 8, angle))
    with pytest.raises(InputError, match=r"bad\.mrc: the cell's angles are 90, 90, \S+ degrees .* expected 90"):
        read_volume(path)
    open_stack(path)
    for angles in ((0, 0, 0), (90, 90, 90.01)):
        read_volume(bad(set_floats(raw, CELLB, *angles)))


def test_a_stack_of_volumes(raw, bad):
    path = bad(set_int(set_int(raw, ISPG, 401), MZ, 2))
    with pytest.raises(InputError, match=r"bad\.mrc: a stack of volumes, 8 sections of which 2 make one"):
        read_volume(path)
    with pytest.raises(InputError, match="a stack of volumes"):
        read_volume(path, pixel_size=1.06)
    assert read_volume(bad(set_int(raw, MZ, 8)))[1] == 1.5  # of one volume


@pytest.mark.parametrize("axes", [(2, 1, 3), (3, 2, 1), (1, 3, 2), (7, 0, 0)])
def test_a_stack_with_axes_in_another_order(raw, bad, axes):
    raw[MAPC : MAPC + 12] = struct.pack("<3i", *axes)
    with pytest.raises(InputError, match=r"bad\.mrc: axes of a stack are \(\d, \d, \d\) in .* expected \(1, 2, 3\)"):
        open_stack(bad(raw))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -3.0, 0.0, 1e-30, 0.01, 1e5, 1e30])
def test_a_senseless_cell_is_no_pixel_size(raw, bad, value):
    raw[CELLA : CELLA + 12] = struct.pack("<3f", value, value, value)
    assert read_array(bad(raw))[1] is None
    assert open_stack(bad(raw)).pixel_size is None


def test_senseless_axes(raw, bad):
    with pytest.raises(InputError, match="axes"):
        read_volume(bad(set_int(raw, MAPC, 2)))


def test_old_files_without_a_name_need_the_right_size(raw, bad):
    raw[MAP : MACHST + 4] = bytes(8)
    np.testing.assert_array_equal(read_volume(bad(raw))[0], noise(8))
    check(bad(raw + b"\0"), "not an MRC file")
    check(bad(raw[:-1]), "not an MRC file")


def test_a_wrong_machine_stamp_is_seen_through(raw, bad):
    for stamp in (b"\x11\x11\0\0", b"\0\0\0\0", b"\x44\x41\0\0"):
        raw[MACHST : MACHST + 4] = stamp
        np.testing.assert_array_equal(read_volume(bad(raw))[0], noise(8))


def test_more_bytes_than_values_is_worth_a_warning(raw, bad):
    with pytest.warns(InputWarning, match=r"bad\.mrc: 100 bytes after the values"):
        volume, _ = read_volume(bad(raw + bytes(100)))
    np.testing.assert_array_equal(volume, noise(8))


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, r"NaN \(2 of 512"), (np.inf, r"Inf \(2 of 512"), (-np.inf, "Inf"), (None, "zero everywhere")],
)
def test_values_no_volume_may_have(raw, bad, value, message):
    volume = noise(8) * (value is not None)
    if value is not None:
        volume[3, 4, 5:7] = value
    path = bad(raw[:1024] + volume.astype("<f4").tobytes())
    with pytest.raises(InputError, match=message) as caught:
        read_volume(path)
    assert "bad.mrc" in str(caught.value)


def test_a_stack_cut_after_it_was_opened(tmp_path):
    write_stack(tmp_path / "a.mrcs", noise(3), 1.0)
    stack = open_stack(tmp_path / "a.mrcs")
    (tmp_path / "a.mrcs").write_bytes((tmp_path / "a.mrcs").read_bytes()[:1100])
    with pytest.raises(InputError, match="changed since it was opened"):
        stack[0]
    with pytest.raises(InputError, match="expected 1792 bytes but it has 1100"):
        stack[[0, 2]]
    (tmp_path / "a.mrcs").unlink()
    with pytest.raises(InputError, match="changed since it was opened"):
        stack[1]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_stack_cut_while_it_is_read(tmp_path, monkeypatch, dtype):
    """Between the check of its size and the reading, where a mapped file would end the process with SIGBUS."""
    write_stack(tmp_path / "a.mrcs", noise(6), 1.0, dtype)
    stack = open_stack(tmp_path / "a.mrcs")

    def cut(*_):
        (tmp_path / "a.mrcs").write_bytes((tmp_path / "a.mrcs").read_bytes()[:1600])

    monkeypatch.setattr(MrcStack, "_check_unchanged", cut)
    np.testing.assert_array_equal(stack[1], noise(6).astype(dtype)[1])
    with pytest.raises(InputError, match=r"a\.mrcs: changed since .*, truncated within images 3 to 6"):
        stack[2:]


def test_a_disk_that_fails(tmp_path, monkeypatch):
    write_stack(tmp_path / "a.mrcs", noise(3), 1.0)
    stack = open_stack(tmp_path / "a.mrcs")

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(MrcStack, "_fill", fail)
    with pytest.raises(InputError, match=r"a\.mrcs: .*Input/output error"):
        stack[1]
