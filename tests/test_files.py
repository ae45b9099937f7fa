"""Files are replaced whole or left alone."""

import errno
import os
import re
import socket
from pathlib import Path

import pytest

from cryoinv.errors import InputError
from cryoinv.files import atomic_path, existing_file, remove_temporaries


def test_replaces_on_success_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "map.mrc.gz"
    target.write_text("old")
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.endswith(".mrc.gz")
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_keeps_the_old_file(tmp_path):
    target = tmp_path / "a.star"
    target.write_text("old")
    with pytest.raises(KeyError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_before_anything_was_written(tmp_path):
    with pytest.raises(KeyError), atomic_path(tmp_path / "a.star"):
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_new_files_get_the_usual_permissions(tmp_path):
    (tmp_path / "plain").write_text("x")
    with atomic_path(tmp_path / "atomic") as temporary:
        temporary.write_text("x")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "x", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    with atomic_path(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"


@pytest.mark.parametrize("name", ["missing/x.mrc", ".", "a\0b"])
def test_refuses_a_folder_or_a_missing_one(tmp_path, name):
    with pytest.raises(InputError, match="cannot be (written|used)"), atomic_path(tmp_path / name):
        pytest.fail("the block must not run")


def test_a_full_disk_is_one_clear_error(tmp_path):
    full = pytest.raises(InputError, match=r"x\.mrc: cannot be written \(No space left")
    with full, atomic_path(tmp_path / "x.mrc"):
        raise OSError(28, os.strerror(28))


def test_other_system_errors_pass_unchanged(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "x.mrc"):
        (tmp_path / "other").read_text()


def test_existing_file_names_what_is_wrong(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "full").write_text("x")
    assert existing_file(tmp_path / "full") == tmp_path / "full"
    wrong = {"empty": "is empty", "absent": "no such", ".": "is a folder", "a\0b": "cannot be read"}
    wrong["x" * 300] = "cannot be read (File name too long)"
    for name, message in wrong.items():
        with pytest.raises(InputError, match=re.escape(message)):
            existing_file(tmp_path / name)


DEVICES = [Path("/dev/null"), Path("/dev/zero")]


@pytest.fixture(params=["pipe", "socket", *DEVICES], ids=str)
def no_file(request, tmp_path, monkeypatch):
    """Something other than a file, on which to open it would wait or reading it would never end."""
    path = tmp_path / "it"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "socket":
        monkeypatch.chdir(tmp_path)  # the name of a socket must be short
        socket.socket(socket.AF_UNIX).bind("it")
    elif not request.param.exists():
        pytest.skip(f"this system has no {request.param}")
    else:
        path.symlink_to(request.param)
    return path


def test_what_is_no_regular_file_is_not_read(no_file):
    kind = "pipe" if no_file.is_fifo() else "socket" if no_file.is_socket() else "device"
    with pytest.raises(InputError, match=f"it: is a {kind}, expected a STAR file") as caught:
        existing_file(no_file, "STAR file")
    assert str(caught.value).endswith("; write it to a file first") == (kind == "pipe")


def test_what_is_no_regular_file_is_not_replaced(no_file):
    before = no_file.lstat()
    with pytest.raises(InputError, match="it: cannot be written, it is not a regular file"), atomic_path(no_file):
        pytest.fail("the block must not run")
    assert no_file.lstat().st_ino == before.st_ino and len(list(no_file.parent.iterdir())) == 1


def test_a_name_that_is_too_long_is_not_written(tmp_path):
    for length in (250, 300):  # with the mark of the temporary name, and without
        with pytest.raises(InputError, match="File name too long"), atomic_path(tmp_path / ("x" * length)) as temporary:
            temporary.write_text("x")


def test_a_folder_that_may_not_be_searched(tmp_path, monkeypatch):
    """Whoever asks: root may search any."""
    ordinary = os.stat

    def stat(path, *more, **options):
        if Path(path).is_relative_to(tmp_path / "closed"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return ordinary(path, *more, **options)

    monkeypatch.setattr(os, "stat", stat)
    with pytest.raises(InputError, match=r"closed.*Permission denied"), atomic_path(tmp_path / "closed" / "x.mrc"):
        pytest.fail("the block must not run")


def test_temporaries_in_a_folder_that_may_not_be_listed_stay(tmp_path, monkeypatch):
    def iterdir(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "iterdir", iterdir)
    remove_temporaries(tmp_path / "x.mrc")
