"""Thousands of small valid files, damaged: each is read or refused with an InputError, in time and little memory."""

import gzip
import os
import resource
import signal
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
from mutations import damage, damage_header, damage_inside_gzip, damage_structure
from small_files import full_columns, make_stack, make_star, noise

from cryoinv.errors import InputError, InputWarning
from cryoinv.io import (
    AtomicModel,
    ParticleStack,
    open_stack,
    read_array,
    read_star,
    read_structure,
    read_volume,
    write_particles_star,
    write_structure,
    write_volume,
)

# How many times as many files: a long search is CRYOINV_FUZZ=10 pytest tests/io/test_fuzz.py.
FACTOR = int(os.environ.get("CRYOINV_FUZZ", "1"))
SEED = int(os.environ.get("CRYOINV_FUZZ_SEED", "0"))
MOST_SECONDS = 10
MOST_MEBIBYTES = 200


class LateError(BaseException):
    """No Exception: those, whatever code under test catches and turns into an InputError, would hide it."""


@contextmanager
def time_limit():
    """Interrupt what takes longer than any small file may, even on a busy machine."""

    def late(*_):
        raise LateError(f"a small file took more than {MOST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def survives(read, path, raw):
    """Read a damaged file; return whether it was refused."""
    path.write_bytes(raw)
    with warnings.catch_warnings(), time_limit():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", InputWarning)
        try:
            read(path)
        except InputError as error:
            assert "\n" not in str(error) and len(str(error)) < 2_000
            return True
    return False


def refusals(read, path, raw, count, seed, kind=damage):
    """Damage a file in so many ways; return the fraction that was refused."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = 0
    for number in range(count * FACTOR):
        rng = np.random.default_rng([SEED, seed, number])
        damaged = kind(raw, rng)
        try:
            refused += survives(read, path, damaged)
        except BaseException:
            print(f"seed {[SEED, seed, number]}: {damaged[:3000]!r}")
            raise
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < MOST_MEBIBYTES * 2**10
    return refused / (count * FACTOR)


def read_finite(path):
    volume, pixel_size = read_volume(path)
    assert volume.dtype == np.float32 and np.isfinite(volume).all() and pixel_size > 0


def read_images(path):
    stack = open_stack(path)
    assert stack[:].shape == stack.shape and stack[-1].shape == stack.shape[1:]
    assert stack.pixel_size is None or stack.pixel_size > 0


@pytest.mark.parametrize(("kind", "count"), [(damage, 500), (damage_header, 1000)])
@pytest.mark.parametrize("read", [read_finite, read_array, read_images])
def test_mrc_files(tmp_path, read, kind, count):
    write_volume(tmp_path / "a.mrc", noise(8), 1.5)
    raw = (tmp_path / "a.mrc").read_bytes()
    assert 0 < refusals(read, tmp_path / "a.mrc", raw, count, 1, kind) < 1


@pytest.mark.parametrize(("kind", "count"), [(damage, 300), (damage_inside_gzip, 500)])
def test_gzipped_volumes(tmp_path, kind, count):
    write_volume(tmp_path / "a.mrc.gz", noise(8), 1.5)
    raw = (tmp_path / "a.mrc.gz").read_bytes()
    assert 0.3 < refusals(read_array, tmp_path / "a.mrc.gz", raw, count, 2, kind) < 1


def read_particles(path):
    stack = ParticleStack.from_star(path)
    stack.images()
    write_particles_star(path.with_name("out.star"), stack, random_subset=np.ones(len(stack)))
    again = ParticleStack.from_star(path.with_name("out.star"))
    assert len(again) == len(stack)
    np.testing.assert_array_equal(again.images(), stack.images())


@pytest.mark.parametrize(("kind", "count"), [(damage, 250), (damage_structure, 750)])
def test_particle_files(tmp_path, kind, count):
    make_stack(tmp_path / "stack.mrcs")
    raw = make_star(tmp_path / "a.star", full_columns()).read_bytes()
    assert 0 < refusals(read_particles, tmp_path / "a.star", raw, count, 4, kind) < 1


@pytest.mark.parametrize(("kind", "count"), [(damage, 500), (damage_structure, 1500)])
def test_star_files(tmp_path, kind, count):
    raw = make_star(tmp_path / "a.star", full_columns()).read_bytes() + b"\ndata_general\n\n_rlnX 1\n_rlnAName 'a b'\n"
    assert 0 < refusals(read_star, tmp_path / "a.star", raw, count, 5, kind) < 1


@pytest.mark.parametrize("kind", [damage, damage_header])
def test_stacks_behind_a_star_file(tmp_path, kind):
    make_stack(tmp_path / "stack.mrcs")
    make_star(tmp_path / "a.star", full_columns())
    raw = (tmp_path / "stack.mrcs").read_bytes()

    def read(_):
        ParticleStack.from_star(tmp_path / "a.star").images()

    assert 0 < refusals(read, tmp_path / "stack.mrcs", raw, 150, 6, kind) < 1


@pytest.mark.parametrize("name", ["a.pdb", "a.cif", "a.cif.gz"])
def test_structures(tmp_path, name):
    rng = np.random.default_rng(0)
    model = AtomicModel(rng.uniform(-9, 9, (12, 3)), [6] * 12, [20] * 12, [1] * 12, "x")
    plain = tmp_path / name.removesuffix(".gz")
    write_structure(plain, model)
    raw = plain.read_bytes()
    raw = gzip.compress(raw) if name.endswith("gz") else raw
    assert 0 < refusals(read_structure, tmp_path / name, raw, 300, 7) < 1


def test_what_takes_too_long_is_not_taken_for_a_refusal(tmp_path, monkeypatch):
    monkeypatch.setattr("test_fuzz.MOST_SECONDS", 0.01)

    def read(path):
        try:
            while True:
                pass
        except Exception:
            raise InputError(f"{path}: damaged") from None

    with pytest.raises(LateError):
        survives(read, tmp_path / "a", b"x")
