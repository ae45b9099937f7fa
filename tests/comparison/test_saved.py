"""Methods that a folder holds: found again under their names, told apart from new ones, removed."""

import pytest

from cryoinv.comparison.methods import MethodWords
from cryoinv.comparison.saved import arranged, remove_methods, save_words, saved_words
from cryoinv.errors import InputError


def words(*texts):
    return [MethodWords.parsed(text) for text in texts]


def test_the_same_command_finds_its_folders_and_a_longer_one_adds_to_them(tmp_path):
    first = arranged(words("gaussian", "gaussian", "gaussian,tau2_fudge=2 label=a"), {})
    assert {name: each.label for name, each in first.items()} == {
        "gaussian": "gaussian", "gaussian-2": "gaussian (2)", "a": "a",
    }  # fmt: skip
    for name, each in first.items():
        save_words(tmp_path, name, each)
    assert saved_words(tmp_path) == first
    assert arranged(words("gaussian", "gaussian", "gaussian,tau2_fudge=2 label=a"), saved_words(tmp_path)) == first
    more = arranged(words("gaussian,tau2_fudge=3 label=a", "gaussian"), saved_words(tmp_path))
    assert [(name, each.label) for name, each in more.items()] == [
        ("a-2", "a (2)"), ("gaussian", "gaussian"), ("a", "a"), ("gaussian-2", "gaussian (2)"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"prior": 3}', '{"prior": "gaussian", "colour": "red"}'])
def test_a_damaged_note_is_refused(text, tmp_path):
    save_words(tmp_path, "one", words("gaussian")[0])
    (tmp_path / "methods" / "one" / "method.json").write_text(text)
    with pytest.raises(InputError, match=r"method\.json"):
        saved_words(tmp_path)


def test_only_what_was_written_is_removed(tmp_path):
    for name in ("one", "two"):
        save_words(tmp_path, name, words("gaussian")[0])
        (tmp_path / "methods" / name / "map.mrc").write_text("x")
    (tmp_path / "methods" / "two" / "notes.txt").write_text("mine")
    (tmp_path / "report.html").write_text("x")
    remove_methods(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert left == {"methods", "methods/two", "methods/two/notes.txt"}
