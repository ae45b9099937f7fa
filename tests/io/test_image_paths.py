"""Where stacks are looked for, and which name is written for another folder."""

import numpy as np
import pandas as pd
import pytest
from small_files import make_stack, make_star, names

from cryoinv.errors import InputError
from cryoinv.io import ParticleStack
from cryoinv.io.image_paths import find_image_file, name_for_folder, rename_files, split_image_names


def test_names_are_taken_apart():
    got = split_image_names(pd.Series(["3@b/x.mrcs", "000010@a.mrcs", "1@b/x.mrcs", "single.mrc"]), "f")
    assert got.files == ["b/x.mrcs", "a.mrcs", "single.mrc"]
    assert got.file_index.tolist() == [0, 1, 0, 2]
    assert got.sections.tolist() == [2, 9, 0, 0]


@pytest.mark.parametrize("name", ["0@a", "-1@a", "1.5@a", "x@a", "@a", "1@", "nan@a", "inf@a", "9" * 30 + "@a", ""])
def test_impossible_names(name):
    with pytest.raises(InputError, match=r"f: image name '.*' of row 2 "):
        split_image_names(pd.Series(["1@a", name]), "f")


def test_files_are_renamed_and_indices_are_not():
    old = pd.Series(["000003@b", "c", "1@a@b"])
    assert rename_files(old, ["x", "y"], np.array([0, 1, 0])).tolist() == ["000003@x", "y", "1@x"]


def places(tmp_path):
    """Folders from the STAR's upwards, and a working folder elsewhere."""
    return {
        "folder": tmp_path / "project" / "jobs" / "job1",
        "parent": tmp_path / "project" / "jobs",
        "grandparent": tmp_path / "project",
        "working folder": tmp_path / "work",
    }


def test_order_of_places(tmp_path, monkeypatch):
    where = places(tmp_path)
    for folder in where.values():
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "a.mrcs").touch()
    monkeypatch.chdir(where["working folder"])
    for folder in where.values():
        assert find_image_file("sub/a.mrcs", where["folder"]) == folder / "sub" / "a.mrcs"
        (folder / "sub" / "a.mrcs").unlink()
    assert find_image_file("sub/a.mrcs", where["folder"]) is None


def test_absolute_names_are_looked_up_as_they_are(tmp_path):
    (tmp_path / "a.mrcs").touch()
    assert find_image_file(str(tmp_path / "a.mrcs"), "/") == tmp_path / "a.mrcs"
    assert find_image_file("/nowhere/a.mrcs", tmp_path) is None


@pytest.mark.parametrize("place", ["folder", "parent", "grandparent", "working folder"])
def test_particles_open_from_every_place(tmp_path, monkeypatch, place):
    where = places(tmp_path)
    where["working folder"].mkdir()
    monkeypatch.chdir(where["working folder"])
    images = make_stack(where[place] / "Extract" / "stack.mrcs")
    star = make_star(where["folder"] / "a.star", {"rlnImageName": names(stack="Extract/stack.mrcs")})
    np.testing.assert_array_equal(ParticleStack.from_star(star).images(), images)
    monkeypatch.chdir(where["folder"])
    if place != "working folder":
        np.testing.assert_array_equal(ParticleStack.from_star("a.star").images(), images)


def test_a_missing_stack_is_named_with_its_row(tmp_path):
    make_stack(tmp_path / "stack.mrcs")
    given = [*names(2), "1@gone.mrcs", "1@lost.mrcs"]
    star = make_star(tmp_path / "a.star", {"rlnImageName": given})
    with pytest.raises(InputError, match=r"a\.star: there is no stack 'gone\.mrcs', named in row 3.*1 more") as caught:
        ParticleStack.from_star(star)
    assert str(tmp_path) in str(caught.value)


def test_names_for_another_folder(tmp_path):
    stack = tmp_path / "project" / "Extract" / "a.mrcs"
    make_stack(stack)
    other = tmp_path / "other"
    other.mkdir()
    inner = tmp_path / "project" / "out"
    inner.mkdir()
    assert name_for_folder("Extract/a.mrcs", stack, inner) == "Extract/a.mrcs"  # found from the parent
    assert name_for_folder("Extract/a.mrcs", stack, other) == "../project/Extract/a.mrcs"
    assert name_for_folder(str(stack), stack, other) == str(stack)
    # Another stack of the same name nearer by must not be taken for it.
    make_stack(inner / "Extract" / "a.mrcs", seed=1)
    assert name_for_folder("Extract/a.mrcs", stack, inner) == "../Extract/a.mrcs"


def test_names_for_a_linked_folder(tmp_path):
    make_stack(tmp_path / "data" / "a.mrcs")
    (tmp_path / "deep" / "er" / "real").mkdir(parents=True)
    (tmp_path / "data" / "link").symlink_to(tmp_path / "deep" / "er" / "real")
    name = name_for_folder("gone/a.mrcs", tmp_path / "data" / "a.mrcs", tmp_path / "data" / "link")
    assert (tmp_path / "data" / "link" / name).is_file()
