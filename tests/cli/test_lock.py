"""One run at a time in a folder."""

import errno
import json
import os
import platform
import subprocess
import sys

import pytest

from cryoinv.cli.folder_lock import LOCK, folder_lock, refuse_if_locked
from cryoinv.errors import InputError

from .conftest import REFINE

HOLD = """
import sys, time
from pathlib import Path
from cryoinv.cli.folder_lock import folder_lock
with folder_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def held(tmp_path):
    """A folder that another process holds, and that process."""
    folder = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield folder, process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("option", [[], ["--overwrite"], ["--resume"]])
def test_a_second_run_is_refused_and_told_who_holds_the_folder(held, option, cryoinv, dataset):
    folder, process = held
    outcome = cryoinv(
        "refine", dataset / "particles.star", "--reference", dataset / "reference.mrc", "--output", folder, *REFINE,
        *option,
    )
    assert outcome.code == 1 and outcome.err.count("\n") == 1
    assert f"process {process.pid} on " in outcome.err and "another refinement" in outcome.err
    assert [p.name for p in folder.iterdir()] == [LOCK]


def test_a_killed_run_holds_nothing(held):
    folder, process = held
    process.kill()
    process.wait()
    assert (folder / LOCK).exists()
    refuse_if_locked(folder)
    with folder_lock(folder):
        assert json.loads((folder / LOCK).read_text())["process"] == os.getpid()
    assert not list(folder.iterdir())


def test_a_folder_made_for_nothing_goes_again_and_one_with_files_stays(tmp_path):
    with folder_lock(tmp_path / "a" / "b"):
        pass
    assert not list(tmp_path.iterdir())
    with folder_lock(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "map.mrc").touch()
    assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["map.mrc"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made"), folder_lock(tmp_path / "file" / "run"):
        pass


def signed(folder, **entries):
    """The lock file of another run, and its content."""
    entries = {"process": os.getpid(), "machine": platform.node(), "since": "then"} | entries
    (folder / LOCK).write_text(json.dumps(entries))
    return (folder / LOCK).read_text()


@pytest.fixture
def no_locks(monkeypatch):
    """A file system that knows no locks."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)


def fail(monkeypatch, number, call="filelock.FileLock.acquire"):
    """Let a call end as the system's refusal with this number."""

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(call, refuse)


ENTER = pytest.mark.parametrize("enter", [refuse_if_locked, lambda folder: folder_lock(folder).__enter__()])


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP])
@ENTER
def test_a_lock_file_that_cannot_be_opened_is_another_runs_and_stays(number, enter, tmp_path, monkeypatch):
    content = signed(tmp_path)
    fail(monkeypatch, number)
    with pytest.raises(InputError, match=rf"{LOCK}: cannot be locked \({os.strerror(number)}\) \(process"):
        enter(tmp_path)
    assert (tmp_path / LOCK).read_text() == content


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
@ENTER
def test_where_no_file_can_be_written_no_other_run_is_suspected(number, enter, tmp_path, monkeypatch):
    (tmp_path / LOCK).touch()
    fail(monkeypatch, number)
    with pytest.raises(InputError, match=rf"{LOCK}: cannot be written \({os.strerror(number)}\)$"):
        enter(tmp_path)
    assert (tmp_path / LOCK).exists()


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO, errno.ENOSYS])
def test_any_other_failure_is_that_of_a_file_system_without_locks(number, tmp_path, monkeypatch, capsys):
    fail(monkeypatch, number, "fcntl.flock")
    with folder_lock(tmp_path / "run"):
        assert (tmp_path / "run" / LOCK).exists()
    assert f"cannot be locked ({os.strerror(number)})" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSPC])
def test_a_refusal_leaves_no_lock_file_of_its_own_and_no_folder(number, tmp_path, monkeypatch):
    fail(monkeypatch, number, "fcntl.flock")
    with pytest.raises(InputError, match=os.strerror(number)), folder_lock(tmp_path / "a" / "b"):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("other", [{}, {"process": 1}, {"machine": "elsewhere", "process": 2**22 + 1}])
def test_without_locks_a_file_that_names_another_run_holds(other, no_locks, tmp_path):
    content = signed(tmp_path, **other)
    for enter in (refuse_if_locked, lambda folder: folder_lock(folder).__enter__()):
        with pytest.raises(InputError, match=f"may be writing .*remove .*{LOCK} if"):
            enter(tmp_path)
    assert (tmp_path / LOCK).read_text() == content


@pytest.mark.parametrize("left", [None, "", "{}", "ended"])
def test_without_locks_a_run_warns_signs_and_cleans_up(left, no_locks, tmp_path, capsys):
    if left == "ended":
        ended = subprocess.Popen(["true"])
        ended.wait()
        signed(tmp_path, process=ended.pid)
    elif left is not None:
        (tmp_path / LOCK).write_text(left)
    with folder_lock(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["process"] == os.getpid()
    assert "cannot be locked" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
