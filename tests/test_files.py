"""Files are replaced whole or left alone."""

import os

import pytest

from cryoinv.errors import InputError
from cryoinv.files import atomic_path, existing_file


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


@pytest.mark.parametrize("name", ["missing/x.mrc", "."])
def test_refuses_a_folder_or_a_missing_one(tmp_path, name):
    with pytest.raises(InputError, match="cannot be written"), atomic_path(tmp_path / name):
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
    for name, message in wrong.items():
        with pytest.raises(InputError, match=message):
            existing_file(tmp_path / name)
