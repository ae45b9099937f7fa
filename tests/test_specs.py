"""Objects made of their specification in words, and how a wrong one is refused."""

from fractions import Fraction

import pytest

from cryoinv.errors import InputError
from cryoinv.specs import made_from, split_spec


class Kind:
    def __init__(self, size=1, name="none", part=None):
        if size == 13:
            raise InputError("size is 13, expected another")
        if size == 14:
            raise TypeError("no 14")
        self.size, self.name, self.part = size, name, part


class Other(Kind):
    def __init__(self, **options):
        self.options = options


class Numbers(Kind):
    def __init__(self, count: "int" = 1, share: "float" = 0.5, flag: "bool" = False):
        super().__init__()


READY = Kind(7)
KINDS = {"kind": Kind, "other": Other, "numbers": Numbers}


def make(spec, **more):
    return made_from(spec, KINDS, "thing", Kind, **more)


def test_options_are_numbers_truth_values_or_words():
    _, options = split_spec("a,i=3,f=2.5e-1,t=True,n=none,w=word,minus=-4", "thing")
    assert options == {"i": 3, "f": 0.25, "t": True, "n": None, "w": "word", "minus": -4}
    assert type(options["i"]) is int and type(options["t"]) is bool


def test_hyphens_in_keys_are_underscores():
    assert split_spec("a,big-size=3", "thing")[1] == {"big_size": 3}


def test_brackets_hold_a_specification():
    name, options = split_spec("a,part=(b,size=2,part=(c,size=3)),size=1", "thing")
    assert (name, options) == ("a", {"part": "b,size=2,part=(c,size=3)", "size": 1})


def test_parts_are_made_by_their_makers_and_given_ones_step_back():
    assert make("kind,part=(kind,size=2)", parts={"part": make}).part.size == 2
    assert make("kind", part="given").part == "given"
    assert make("kind,part=own", part="given").part == "own"
    assert make("kind", unknown_to_it=1).size == 1


def test_modules_are_imported_from_the_path_and_the_working_directory(tmp_path, monkeypatch):
    assert made_from("fractions:Fraction,numerator=3", {}, "number", Fraction) == 3
    (tmp_path / "mine_only.py").write_text("from fractions import Fraction\nhalf = Fraction(1, 2)\n")
    monkeypatch.chdir(tmp_path)
    assert made_from("mine_only:half", {}, "number", Fraction) == Fraction(1, 2)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("kimd", ["unknown thing 'kimd'", "did you mean 'kind'"]),
        ("kind,sise=2", ["'kind' has no option 'sise'", "did you mean 'size'"]),
        ("kind,size", ["found 'size'", "key=value"]),
        ("kind,size=", ["found 'size='", "key=value"]),
        ("kind,size=1,size=2", ["size stands twice"]),
        ("kind,part=(a", ["brackets do not match"]),
        ("kind,part=a)", ["brackets do not match"]),
        (",size=1", ["no name"]),
        ("", ["no name"]),
        ("kind,size=13", ["thing 'kind': size is 13"]),
        ("kind,size=14", ["cannot be made with size=14", "no 14"]),
        ("no_such_module_here:thing", ["cannot be imported"]),
        ("fractions:Fractoin", ["there is no 'Fractoin'", "did you mean 'Fraction'"]),
        ("fractions:Fraction", ["is a Fraction, expected a Kind"]),
        (":thing", ["cannot be imported"]),
        ("numbers,count=2.5", ["thing 'numbers': count is 2.5, expected a whole number"]),
        ("numbers,count=inf", ["count is inf, expected a finite number"]),
        ("numbers,share=nan", ["share is nan, expected a finite number"]),
        ("numbers,share=much", ["share is 'much', expected a number"]),
        ("numbers,share=true", ["share is True, expected a number"]),
        ("numbers,flag=1", ["flag is 1, expected true or false"]),
        (f"{__name__}:READY,size=3", ["is an object already", "'size'"]),
    ],
)
def test_what_is_wrong_is_said(spec, words):
    with pytest.raises(InputError) as error:
        make(spec)
    for word in words:
        assert word in str(error.value)
