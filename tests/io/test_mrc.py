"""Volumes and stacks survive the way to disk and back, and other programs' files are read right."""

import gzip
import struct
import warnings

import mrcfile
import numpy as np
import pytest
from small_files import noise

from cryoinv.errors import InputError
from cryoinv.io import StackWriter, open_stack, read_array, read_volume, write_stack, write_volume
from cryoinv.io.mrc_header import read_header

MODES = {0: np.int8, 1: np.int16, 2: np.float32, 6: np.uint16, 12: np.float16}


@pytest.mark.parametrize("n", [8, 9])
@pytest.mark.parametrize("name", ["map.mrc", "map.mrc.gz", "map.map", "map.map.gz"])
def test_volume_round_trip(tmp_path, n, name):
    volume = noise(n, n)
    write_volume(tmp_path / name, volume, 1.25)
    back, pixel_size = read_volume(tmp_path / name)
    assert back.dtype == np.float32
    assert pixel_size == pytest.approx(1.25, rel=1e-6)
    np.testing.assert_array_equal(back, volume)
    assert back.flags.writeable
    assert back.flags.c_contiguous


def test_gz_files_are_compressed_and_told_by_content(tmp_path):
    write_volume(tmp_path / "a.mrc.gz", noise(8), 1.0)
    assert gzip.decompress((tmp_path / "a.mrc.gz").read_bytes())[208:212] == b"MAP "
    (tmp_path / "a.mrc.gz").rename(tmp_path / "a.mrc")
    assert read_volume(tmp_path / "a.mrc")[0].shape == (8, 8, 8)


def test_mrcfile_calls_our_files_valid(tmp_path):
    write_volume(tmp_path / "a.mrc", noise(8), 1.5)
    write_stack(tmp_path / "a.mrcs", noise(3), 1.5)
    for name in ("a.mrc", "a.mrcs"):
        assert mrcfile.validate(tmp_path / name)
    with mrcfile.open(tmp_path / "a.mrcs") as file:
        assert file.is_image_stack()
        assert file.voxel_size.x == pytest.approx(1.5)
        assert file.header.rms == pytest.approx(file.data.std(), rel=1e-5)
        assert file.header.dmin == file.data.min()
        assert file.header.dmean == pytest.approx(file.data.mean(), abs=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_real_mode_and_byte_order(tmp_path, mode, order):
    values = (np.random.default_rng(1).integers(0, 100, (5, 8, 8))).astype(MODES[mode])
    with mrcfile.new(tmp_path / "a.mrcs") as file:
        file.set_data(values.astype(np.dtype(MODES[mode]).newbyteorder(order)))
        file.voxel_size = 1.5
    stack = open_stack(tmp_path / "a.mrcs")
    assert stack.header.dtype.byteorder in {order, "=", "|"}
    assert stack.pixel_size == pytest.approx(1.5)
    images = stack[:]
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, values)
    np.testing.assert_array_equal(read_array(tmp_path / "a.mrcs")[0], values)


def test_int8_is_signed(tmp_path):
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(np.arange(-32, 32, dtype=np.int8).reshape(4, 4, 4))
    assert read_array(tmp_path / "a.mrc")[0].min() == -32


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("flags", [0, 1, 8, 9])
def test_bytes_of_imod_are_unsigned_unless_it_says_so(tmp_path, order, flags):
    path = tmp_path / "a.mrc"
    with mrcfile.new(path) as file:
        file.set_data(np.arange(96, 160, dtype=np.uint8).view(np.int8).reshape(4, 4, 4))
    raw = bytearray(path.read_bytes())
    if order == ">":
        raw[:208] = np.frombuffer(bytes(raw[:208]), "<u4").byteswap().tobytes()
        raw[212:216] = b"\x11\x11\0\0"
    raw[152:160] = struct.pack(f"{order}2i", 1146047817, flags)
    path.write_bytes(raw)
    expected = np.arange(96, 160).astype(np.int8 if flags & 1 else np.uint8)
    for values in (read_array(path)[0], open_stack(path)[:]):
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values.ravel(), expected)


@pytest.mark.parametrize("axes", [(1, 2, 3), (3, 2, 1), (2, 1, 3), (2, 3, 1), (0, 0, 0)])
def test_axes_are_put_in_order(tmp_path, axes):
    volume = np.random.default_rng(2).standard_normal((4, 5, 6)).astype(np.float32)  # z, y, x
    order = (1, 2, 3) if axes == (0, 0, 0) else axes
    stored = volume.transpose([3 - axis for axis in reversed(order)])
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(np.ascontiguousarray(stored))
        file.header.mapc, file.header.mapr, file.header.maps = axes
        file.header.mx, file.header.my, file.header.mz = 6, 5, 4
    np.testing.assert_array_equal(read_array(tmp_path / "a.mrc")[0], volume)


def test_extended_header_is_skipped(tmp_path):
    with mrcfile.new(tmp_path / "a.mrcs") as file:
        file.set_data(noise(3))
        file.set_extended_header(np.arange(100, dtype=np.int32))
    np.testing.assert_array_equal(open_stack(tmp_path / "a.mrcs")[:], noise(3))


def test_pixel_size_may_be_given_where_the_header_has_none(tmp_path):
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(noise(8))
    assert read_array(tmp_path / "a.mrc")[1] is None
    with pytest.raises(InputError, match="states no pixel size"):
        read_volume(tmp_path / "a.mrc")
    assert read_volume(tmp_path / "a.mrc", pixel_size=3.0)[1] == 3.0


def test_a_mask_may_be_other_than_cubic(tmp_path):
    write_volume(tmp_path / "a.mrc", noise(4, 8), 1.0)
    assert read_volume(tmp_path / "a.mrc", cubic=False)[0].shape == (4, 8, 8)
    with pytest.raises(InputError, match="not cubic, 8 x 8 x 4 voxels"):
        read_volume(tmp_path / "a.mrc")


def test_stack_by_index(tmp_path):
    images = noise(7)
    write_stack(tmp_path / "a.mrcs", images, 2.0)
    stack = open_stack(tmp_path / "a.mrcs")
    assert (len(stack), stack.n, stack.shape, stack.pixel_size) == (7, 8, (7, 8, 8), 2.0)
    np.testing.assert_array_equal(stack[3], images[3])
    np.testing.assert_array_equal(stack[[6, 0, 6]], images[[6, 0, 6]])
    np.testing.assert_array_equal(stack[1:5:2], images[1:5:2])
    block = stack[[0]]
    block[:] = 0  # the caller's own
    np.testing.assert_array_equal(stack[0], images[0])


def test_a_replaced_stack_is_read_anew(tmp_path):
    write_stack(tmp_path / "a.mrcs", noise(3, seed=0), 2.0)
    first = open_stack(tmp_path / "a.mrcs")[:]
    write_stack(tmp_path / "a.mrcs", noise(3, seed=1), 2.0)
    assert not np.array_equal(open_stack(tmp_path / "a.mrcs")[:], first)


def test_many_stacks_do_not_use_up_the_file_handles(tmp_path):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    stacks = []
    for index in range(200):
        write_stack(tmp_path / f"{index}.mrcs", noise(1, seed=index), 2.0)
        stacks.append(open_stack(tmp_path / f"{index}.mrcs"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (190, hard))
    try:
        sums = [stack[0].sum() for stack in stacks * 2]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert sums[:200] == sums[200:]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_writer_by_blocks(tmp_path, dtype):
    images = noise(10)
    with StackWriter(tmp_path / "a.mrcs", 10, 8, 3.0, dtype) as writer:
        for block in np.split(images, [3, 3, 7]):
            writer.write(block)
            assert not (tmp_path / "a.mrcs").exists()
    stack = open_stack(tmp_path / "a.mrcs")
    assert stack.header.dtype == dtype
    np.testing.assert_allclose(stack[:], images, rtol=0 if dtype == "float32" else 1e-3, atol=1e-6)
    assert mrcfile.validate(tmp_path / "a.mrcs")


def test_writer_leaves_nothing_when_it_fails(tmp_path):
    path = tmp_path / "a.mrcs"
    with pytest.raises(KeyError), StackWriter(path, 4, 8, 1.0) as writer:
        writer.write(noise(2))
        raise KeyError
    with pytest.raises(InputError, match="got 2 images of 4"), StackWriter(path, 4, 8, 1.0) as writer:
        writer.write(noise(2))
    for wrong in (noise(5), noise(1, 9), np.full((1, 8, 8), np.nan), noise(1)[0]):
        with pytest.raises(InputError), StackWriter(path, 4, 8, 1.0) as writer:
            writer.write(wrong)
    with pytest.raises(InputError, match="NaN or Inf"), StackWriter(path, 1, 8, 1.0, "float16") as writer:
        writer.write(1e6 * noise(1))
    assert not list(tmp_path.iterdir())


def test_writer_refuses_what_no_stack_can_be(tmp_path):
    for count, n, pixel_size, dtype in [(0, 8, 1, "float32"), (1, 0, 1, "float32"), (1, 8, 0, "float32"),
                                        (1, 8, float("nan"), "float32"), (1, 8, 1, "int8")]:  # fmt: skip
        with pytest.raises(InputError):
            StackWriter(tmp_path / "a.mrcs", count, n, pixel_size, dtype)
    with pytest.raises(InputError, match="square images"):
        write_stack(tmp_path / "a.mrcs", np.zeros((2, 8, 9)), 1.0)
    with pytest.raises(InputError, match="no folder"):
        write_stack(tmp_path / "no" / "a.mrcs", noise(2), 1.0)


@pytest.mark.parametrize("volume", [np.full((4, 4, 4), np.nan), np.zeros((4, 4)), np.zeros((0, 4, 4))])
def test_volume_writer_refuses(tmp_path, volume):
    with pytest.raises(InputError, match="not written"):
        write_volume(tmp_path / "a.mrc", volume, 1.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("pixel_size", [0, -1.0, np.nan, np.inf, 1e-30, 1e30])
def test_senseless_pixel_sizes_are_neither_written_nor_believed(tmp_path, pixel_size):
    for write in (write_volume, write_stack):
        with pytest.raises(InputError, match=r"a\.mrc: the pixel size given is .* expected 0\.005 to 2000"):
            write(tmp_path / "a.mrc", noise(8), pixel_size)
    assert not list(tmp_path.iterdir())
    write_volume(tmp_path / "a.mrc", noise(8), 1.0)
    with pytest.raises(InputError, match="pixel size given"):
        read_volume(tmp_path / "a.mrc", pixel_size=pixel_size)


def test_torch_tensors_are_arrays(tmp_path):
    import torch

    write_volume(tmp_path / "a.mrc", torch.ones(4, 4, 4, dtype=torch.float64), 1.0)
    write_stack(tmp_path / "a.mrcs", torch.ones(2, 4, 4), 1.0)
    assert (read_volume(tmp_path / "a.mrc")[0] == 1).all()
    torch.from_numpy(read_volume(tmp_path / "a.mrc")[0])


def test_reading_good_files_is_silent(tmp_path):
    write_volume(tmp_path / "a.mrc", noise(8), 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_volume(tmp_path / "a.mrc")
        read_header(tmp_path / "a.mrc")


@pytest.mark.shared
def test_real_maps(shared_data):
    sizes = {
        "emd_3488": (100, 1.05),
        "emd_11007_bin2": (120, 1.668),
        "emd_1832": (64, 5.7),
        "emd_5625": (56, 4.23),
    }
    for path in sorted((shared_data / "experimental" / "maps").glob("emd_*.m*.gz")):
        name = path.name.split(".")[0]
        if name in sizes:
            volume, pixel_size = read_volume(path)
            assert volume.shape == (sizes[name][0],) * 3
            assert pixel_size == pytest.approx(sizes[name][1], rel=1e-4)
            np.testing.assert_array_equal(volume, mrcfile.open(path).data)
