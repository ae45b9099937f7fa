"""Small valid files, damaged at random: each is read or refused with an InputError, nothing else."""

import gzip
import warnings

import numpy as np
import pytest
from small_files import full_columns, make_stack, make_star, noise

from cryoinv.errors import InputError, InputWarning
from cryoinv.io import (
    AtomicModel,
    ParticleStack,
    read_structure,
    read_volume,
    write_particles_star,
    write_structure,
    write_volume,
)

TOKENS = rb"""nan inf -1 0 1e400 # " ' _ @ loop_ data_ 999999999999999999999 $ % \\""".split()
TOKENS += [b"", b"\n", b" ", b"\t", b"\r", b"\0", b"\xff", b"a b"]


def damage(raw, rng):
    """Cut, repeat, overwrite or insert somewhere."""
    raw = bytearray(raw)
    for _ in range(rng.integers(1, 4)):
        start = int(rng.integers(0, len(raw)))
        stop = min(len(raw), start + int(rng.geometric(0.1)))
        kind = rng.integers(0, 6)
        if kind == 0:
            del raw[start:]
        elif kind == 1:
            del raw[start:stop]
        elif kind == 2:
            raw[start:start] = raw[start:stop] * 2
        elif kind == 3:
            raw[start:stop] = rng.bytes(stop - start)
        elif kind == 4:
            raw[start:stop] = TOKENS[rng.integers(len(TOKENS))]
        else:
            raw[start] ^= 1 << int(rng.integers(8))
        if not raw:
            break
    return bytes(raw)


def survives(read, path, raw):
    """Read a damaged file; return whether it was refused."""
    path.write_bytes(raw)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", InputWarning)
        try:
            read(path)
        except InputError as error:
            assert "\n" not in str(error)
            return True
    return False


def refusals(read, path, raw, count, seed, kind=damage):
    rng = np.random.default_rng(seed)
    return sum(survives(read, path, kind(raw, rng)) for _ in range(count))


def damage_header(raw, rng):
    """Overwrite four bytes of an MRC header with a number that means something."""
    raw = bytearray(raw)
    offset = 4 * int(rng.integers(0, 56))
    values = [0, 1, 2, 3, 7, 9, 255, 65536, 2**31 - 1, -1, -(2**31), 0x7FC00000, 0x7F800000, 0x11110000]
    value = values[rng.integers(len(values))]
    raw[offset : offset + 4] = value.to_bytes(4, "little", signed=True)
    return bytes(raw)


@pytest.mark.parametrize("kind", [damage, damage_header])
def test_volumes(tmp_path, kind):
    write_volume(tmp_path / "a.mrc", noise(8), 1.5)
    raw = (tmp_path / "a.mrc").read_bytes()
    assert 0 < refusals(read_volume, tmp_path / "a.mrc", raw, 300, 1, kind) < 300


def test_gzipped_volumes(tmp_path):
    write_volume(tmp_path / "a.mrc.gz", noise(8), 1.5)
    raw = (tmp_path / "a.mrc.gz").read_bytes()
    assert refusals(read_volume, tmp_path / "a.mrc.gz", raw, 200, 2) > 150
    plain = gzip.decompress(raw)

    def damage_inside(_, rng):
        return gzip.compress(damage_header(plain, rng), compresslevel=1)

    assert 0 < refusals(read_volume, tmp_path / "a.mrc.gz", raw, 200, 3, damage_inside) < 200


def read_particles(path):
    stack = ParticleStack.from_star(path)
    stack.images()
    write_particles_star(path.with_name("out.star"), stack, random_subset=np.ones(len(stack)))
    again = ParticleStack.from_star(path.with_name("out.star"))
    assert len(again) == len(stack)
    np.testing.assert_array_equal(again.images(), stack.images())


def test_star_files(tmp_path):
    make_stack(tmp_path / "stack.mrcs")
    raw = make_star(tmp_path / "a.star", full_columns()).read_bytes()
    assert 0 < refusals(read_particles, tmp_path / "a.star", raw, 120, 4) < 120


def swap_a_token(raw, rng):
    """Replace one token of the text by another, so that the file mostly stays well-formed."""
    lines = [line.split(b" ") for line in raw.split(b"\n")]
    filled = [line for line in lines if len(line) > 2]
    line = filled[rng.integers(len(filled))]
    line[rng.integers(len(line))] = TOKENS[rng.integers(len(TOKENS))]
    return b"\n".join(b" ".join(line) for line in lines)


def test_star_files_with_odd_entries(tmp_path):
    make_stack(tmp_path / "stack.mrcs")
    raw = make_star(tmp_path / "a.star", full_columns()).read_bytes()
    assert 0 < refusals(read_particles, tmp_path / "a.star", raw, 120, 5, swap_a_token) < 120


@pytest.mark.parametrize("kind", [damage, damage_header])
def test_stacks_behind_a_star_file(tmp_path, kind):
    make_stack(tmp_path / "stack.mrcs")
    make_star(tmp_path / "a.star", full_columns())
    raw = (tmp_path / "stack.mrcs").read_bytes()

    def read(_):
        ParticleStack.from_star(tmp_path / "a.star").images()

    assert 0 < refusals(read, tmp_path / "stack.mrcs", raw, 60, 6, kind) < 60


@pytest.mark.parametrize("name", ["a.pdb", "a.cif"])
def test_structures(tmp_path, name):
    rng = np.random.default_rng(0)
    model = AtomicModel(rng.uniform(-9, 9, (12, 3)), [6] * 12, [20] * 12, [1] * 12, "x")
    write_structure(tmp_path / name, model)
    raw = (tmp_path / name).read_bytes()
    refused = refusals(read_structure, tmp_path / name, raw, 300, 7)
    assert refused < 300
