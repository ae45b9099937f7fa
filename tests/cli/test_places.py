"""Places that cannot be written or read: one message, and every file there is is whole."""

import builtins
import errno
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from cryoinv.cli.folder_lock import refuse_if_locked
from cryoinv.cli.inputs import check_output_folder, check_output_places
from cryoinv.cli.reconstruct import _outputs
from cryoinv.errors import InputError
from cryoinv.io import read_star, read_volume, write_volume
from cryoinv.refinement.output import OUTPUT_FILES

from .conftest import BOX, COUNT, PIXEL_SIZE, REFINE
from .test_bad_input import check_refused
from .test_contract import snapshot

SIMULATED = ("particles.mrcs", "particles.star", "truth.star", "truth.mrc", "reference.mrc", "simulation.json")


def fill_disk(monkeypatch, folder, names):
    """Let what is written to these files end as on a full disk: their temporary names lead to /dev/full."""
    monkeypatch.setattr("cryoinv.files.secrets.token_hex", lambda _: "full")
    for name in names:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.with_name(f".full.{place.name}").symlink_to("/dev/full")


def arguments(command, dataset, structure, folder):
    """A command line that writes into `folder`, and the names it writes."""
    star, truth = dataset / "particles.star", dataset / "truth.mrc"
    return {
        "simulate": (
            ["simulate", structure, "--box", BOX, "--pixel-size", PIXEL_SIZE, "--particles", COUNT, "--output", folder],
            SIMULATED,
        ),
        "refine": (
            ["refine", star, "--reference", dataset / "reference.mrc", "--output", folder, *REFINE, "--overwrite"],
            OUTPUT_FILES,
        ),
        "reconstruct": (
            ["reconstruct", dataset / "truth.star", "--output", folder / "m.mrc", "--half-maps"],
            ("m.mrc", "m_half1.mrc", "m_half2.mrc"),
        ),
        "denoise": (
            ["denoise", truth, "--resolution", 30, "--denoiser", "wiener", "--output", folder / "m.mrc"],
            ("m.mrc",),
        ),
        "fsc": (["fsc", truth, truth, "--csv", folder / "c.csv", "--figure", folder / "c.png"], ("c.csv", "c.png")),
    }[command]


COMMANDS = ["simulate", "refine", "reconstruct", "denoise", "fsc"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk(command, cryoinv, dataset, structure, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    line, names = arguments(command, dataset, structure, folder)
    fill_disk(monkeypatch, folder, names)
    check_refused(cryoinv(*line), [str(folder), "cannot be written", "No space left"])
    left = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not left


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("name", ["half2.mrc", "figures/fsc.png"])
def test_a_disk_that_fills_up_at_the_end(name, cryoinv, dataset, structure, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    line, _ = arguments("refine", dataset, structure, folder)
    line += ["--max-iterations", 1]
    fill_disk(monkeypatch, folder, [name])
    check_refused(cryoinv(*line), [name, "cannot be written", "No space left"])
    assert not (folder / name).exists() and not (folder / "summary.json").exists()
    read_volume(folder / "map.mrc")
    if (folder / "particles.star").exists():
        assert len(read_star(folder / "particles.star")["particles"]) == COUNT


def refuse_writing(monkeypatch, folder):
    """Let the folder allow no writing, whoever asks: root may write anywhere."""
    ordinary_open, ordinary_mkdir, ordinary_access = builtins.open, Path.mkdir, os.access

    def guard(path, writes):
        if writes and Path(path).is_relative_to(folder):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    def open_(path, mode="r", *more, **options):
        if isinstance(path, str | os.PathLike):
            guard(path, set(mode) & set("wax+"))
        return ordinary_open(path, mode, *more, **options)

    def mkdir(path, *more, **options):
        guard(path, not path.exists())
        return ordinary_mkdir(path, *more, **options)

    def access(path, mode, **options):
        denied = mode & os.W_OK and Path(path).is_relative_to(folder)
        return not denied and ordinary_access(path, mode, **options)

    monkeypatch.setattr(builtins, "open", open_)
    monkeypatch.setattr(Path, "open", open_)
    monkeypatch.setattr(Path, "mkdir", mkdir)
    monkeypatch.setattr(os, "access", access)


@pytest.mark.parametrize("depth", ["out", "out/new/below"])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_permission_to_write(command, depth, cryoinv, dataset, structure, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    line, _ = arguments(command, dataset, structure, tmp_path / depth)
    refuse_writing(monkeypatch, tmp_path / "out")
    check_refused(cryoinv(*line), [str(tmp_path / "out")])
    assert not list((tmp_path / "out").iterdir())


@contextmanager
def someone_else():
    """Lower the rights of this process for a moment, as to root every folder is open."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def closed():
    """A folder of everyone's with `blind`, to be written but not listed, and `shut`, not to be searched."""
    folder = Path(tempfile.mkdtemp())
    for name, mode in (("blind", 0o333), ("shut", 0o666)):
        (folder / name).mkdir()
        (folder / name / "mine").mkdir()
        (folder / name).chmod(mode)
    folder.chmod(0o755)
    yield folder
    for name in ("blind", "shut"):
        (folder / name).chmod(0o700)
    shutil.rmtree(folder)


def test_folders_that_may_not_be_listed_or_searched(closed):
    below = closed / "shut" / "run"
    with someone_else():
        with pytest.raises(InputError, match=r"blind: the output folder cannot be listed \(Permission denied"):
            check_output_folder(closed / "blind", False, "")
        check_output_folder(closed / "blind", True, "")
        refused = [
            lambda: check_output_folder(below, True, ""),
            lambda: check_output_places(below, ["map.mrc"]),
            lambda: refuse_if_locked(below),
            lambda: _outputs(below / "m.mrc", True, False),
            lambda: write_volume(below / "m.mrc", np.ones((2, 2, 2)), 1.0),
        ]
        for refuse in refused:
            with pytest.raises(InputError, match=r"shut/run.*Permission denied"):
                refuse()


@pytest.mark.parametrize("command", COMMANDS)
def test_names_that_are_too_long(command, cryoinv, dataset, structure, tmp_path):
    line, _ = arguments(command, dataset, structure, tmp_path / ("x" * 300))
    check_refused(cryoinv(*line), ["x" * 300, "File name too long"])
    assert not list(tmp_path.iterdir())


def test_more_threads_than_can_be(cryoinv, dataset, structure, tmp_path):
    line, _ = arguments("refine", dataset, structure, tmp_path / "run")
    outcome = cryoinv(*line, "--threads", 1 << 40)
    assert outcome.code == 2 and "--threads" in outcome.err and "Traceback" not in outcome.text
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_place_where_nobody_can_write(command, cryoinv, dataset, structure):
    line, _ = arguments(command, dataset, structure, Path("/proc/cryoinv"))
    check_refused(cryoinv(*line), ["/proc/cryoinv"])


@pytest.mark.parametrize("name", ["particles.star", "particles.mrcs", "reference.mrc"])
def test_no_permission_to_read(name, cryoinv, copy, structure, tmp_path, monkeypatch):
    ordinary = Path.open

    def open_(path, mode="r", *more, **options):
        if path.name == name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return ordinary(path, mode, *more, **options)

    before = snapshot(copy)
    monkeypatch.setattr(Path, "open", open_)
    check_refused(cryoinv(*arguments("refine", copy, structure, tmp_path / "run")[0]), [name, "Permission denied"])
    monkeypatch.undo()
    assert not (tmp_path / "run").exists() and snapshot(copy) == before


def test_a_stack_cut_short_while_it_is_read(cryoinv, copy, structure, tmp_path, monkeypatch):
    """Not a signal that ends the process, as where the file were mapped into memory."""
    from cryoinv.refinement import Refinement

    ordinary = Refinement.start

    def start(run):
        with (copy / "particles.mrcs").open("r+b") as stream:
            stream.truncate(5000)
        return ordinary(run)

    monkeypatch.setattr(Refinement, "start", start)
    outcome = cryoinv(*arguments("refine", copy, structure, tmp_path / "run")[0])
    check_refused(outcome, ["particles.mrcs", "changed since it was opened", "5000"])
    assert not [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
