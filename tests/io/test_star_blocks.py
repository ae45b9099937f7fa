"""Plain STAR files: what is well-formed comes back, what is not gives one InputError."""

import time

import numpy as np
import pandas as pd
import pytest
from small_files import loop, noise

from cryoinv.errors import InputError, InputWarning
from cryoinv.io import read_star, write_star, write_volume


def test_round_trip_of_tables_and_single_values(tmp_path):
    table = pd.DataFrame(
        {
            "rlnSpectralIndex": range(4),
            "rlnReferenceTau2": [1e-12, 1 / 3, 0.0, 123456.789],
            "rlnGroupName": list("abcd"),
        }
    )
    general = {"rlnTau2FudgeFactor": 4.0, "rlnOriginalImageSize": 64, "rlnExtReconsResult": "out/a.mrc"}
    write_star(tmp_path / "a.star", {"general": general, "tau2": table})
    back = read_star(tmp_path / "a.star")
    assert back["general"] == general
    pd.testing.assert_frame_equal(back["tau2"], table, check_dtype=False, rtol=1e-8)


def test_equal_tables_give_equal_files(tmp_path):
    for name in "ab":
        write_star(tmp_path / name, {"general": {"rlnPixelSize": 1.5}})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_text().startswith("# version 30001\n\ndata_general\n")


def test_names_stay_text(tmp_path):
    columns = {"rlnMicrographName": ["0012", "1e5", "nan"], "rlnX": [1, 2, 3]}
    (tmp_path / "a.star").write_text(loop("", columns))
    block = read_star(tmp_path / "a.star")[""]
    assert list(block["rlnMicrographName"].iloc[:2]) == ["0012", "1e5"]
    assert block["rlnX"].dtype.kind == "i"


def test_whole_numbers_that_would_be_written_otherwise_stay_text(tmp_path):
    columns = {
        "uid": ["1234567890123", "nan", "18446744073709551557"], "id": ["1234567890123", "7", "-3"],
        "code": ["0012", "0", "12"], "gap": ["-007", "nan", "1"], "x": ["0.5", "00.5", "2e9"], "i": ["10", "0", "-0"],
        "last": ["1", "2", "3"],
    }  # fmt: skip
    for marks in ("", "'"):  # quick reading and careful reading
        first = {**columns, "w": [f"{marks}a{marks}", "b", "c"]}
        (tmp_path / "a.star").write_text(loop("a", first) + "\ndata_b\n_code 0012\n_y 12\n")
        blocks = read_star(tmp_path / "a.star")
        for label in ("uid", "code", "gap"):
            assert list(blocks["a"][label]) == columns[label]
        assert [blocks["a"][label].dtype.kind for label in ("id", "x", "i", "last")] == ["i", "f", "i", "i"]
        assert blocks["b"] == {"code": "0012", "y": 12}
        write_star(tmp_path / "b.star", blocks)
        pd.testing.assert_frame_equal(read_star(tmp_path / "b.star")["a"], blocks["a"])
        assert "1234567890123 1234567890123 0012 -007 0.5 10 1 a\n" in (tmp_path / "b.star").read_text()


@pytest.mark.parametrize("piece", ["\"'x ", "'x ", "'x' ", "'x' y'", "\"a' "])
def test_time_goes_with_the_length_of_a_row(tmp_path, piece):
    (tmp_path / "a.star").write_text(f"data_a\nloop_\n_x #1\n{piece * 30_000}\n")
    began = time.perf_counter()
    with pytest.raises(InputError, match="line 4 (has a quote that is not closed|is the last and trunc)") as caught:
        read_star(tmp_path / "a.star")
    assert time.perf_counter() - began < 2 and len(str(caught.value)) < 400


def test_time_goes_with_the_number_of_labels(tmp_path):
    labels = "".join(f"_x{number}\n" for number in range(50_000))
    (tmp_path / "a.star").write_text(f"data_a\nloop_\n{labels}_x7\n")
    began = time.perf_counter()
    with pytest.raises(InputError, match="column x7 appears twice"):
        read_star(tmp_path / "a.star")
    assert time.perf_counter() - began < 2


def test_windows_line_ends_and_byte_order_mark(tmp_path):
    text = loop("a", {"rlnX": [1, 2]}).lstrip()
    (tmp_path / "a.star").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert list(read_star(tmp_path / "a.star")["a"]["rlnX"]) == [1, 2]


def test_a_replaced_file_is_read_anew(tmp_path):
    for value in (1, 2):
        write_star(tmp_path / "a.star", {"general": {"rlnX": value}})
        assert read_star(tmp_path / "a.star")["general"]["rlnX"] == value


def test_entries_go_by_white_space_alone(tmp_path):
    text = """data_a
loop_  # a table
_rlnAName #1
_x #2
it's 1 # first

a#b 2
"two words" 3
'the "third"' 4
data_b/c.mrc 5
"" 6
"""
    (tmp_path / "a.star").write_text(text, encoding="utf-8")
    block = read_star(tmp_path / "a.star")["a"]
    assert list(block["rlnAName"]) == ["it's", "a#b", "two words", 'the "third"', "data_b/c.mrc", ""]
    assert list(block["x"]) == [1, 2, 3, 4, 5, 6]


def test_plain_and_careful_reading_agree(tmp_path):
    columns = {"rlnAName": ["1", "nan", "a"], "w": ["x", "7", "nan"], "i": [1, 2, 3], "f": ["1e-3", "inf", "nan"],
               "t": ["True", "False", "True"], "g": ["18446744073709551617", "1", "-1"]}  # fmt: skip
    plain = loop("a", columns)
    (tmp_path / "a.star").write_text(plain)
    (tmp_path / "b.star").write_text(plain.replace("1 x 1 ", "'1' x 1 "))
    a, b = (read_star(tmp_path / name)["a"] for name in ("a.star", "b.star"))
    pd.testing.assert_frame_equal(a, b)
    assert list(a["rlnAName"]) == columns["rlnAName"] and list(a["t"]) == columns["t"] and a["i"].dtype.kind == "i"


def test_a_last_line_without_an_end_is_worth_a_warning(tmp_path):
    (tmp_path / "a.star").write_text("data_a\nloop_\n_x #1\n12.25\n13.2")
    with pytest.warns(InputWarning, match=r"a\.star: the last line has no end"):
        assert list(read_star(tmp_path / "a.star")["a"]["x"]) == [12.25, 13.2]


BAD = {
    "empty": (b"", "is empty"),
    "spaces": (b" \n \n", "no data_ block"),
    "text": (b"hello\nworld\n", "no data_ block"),
    "binary": (b"data_a\0\n\nloop_\n_x #1\n1\n", "binary"),
    "latin-1": ("data_a\n\nloop_\n_x #1\nfår\n".encode("latin-1"), r"byte \d+ is not UTF-8"),
    "carriage returns": (b"data_a\r\rloop_\r_x #1\r1\r2\r", "carriage returns"),
    "ragged": (b"data_a\n\nloop_\n_x #1\n_y #2\n1 2\n1 2 3\n1 2\n", "file, line 7 is a row of 3 entries, expected 2"),
    "a short row": (b"data_a\n\nloop_\n_x #1\n_y #2\n1 2\n1\n1 2\n", "STAR file, line 7 is a row of 1 entries"),
    "too few": (b"data_a\n\nloop_\n_x #1\n_y #2\n1\n2\n", "not a well-formed STAR file, line 6"),
    "cut short": (b"data_a\n\nloop_\n_x #1\n_y #2\n1 2\n2\n", "line 7 is the last and truncated"),
    "header only": (b"data_a", "not a well-formed STAR file"),
    "two tables": (b"data_a\nloop_\n_x\n1\nloop_\n_y\n2 3\n", "line 7 is .*a row of 2 entries, expected 1"),
    "block twice": (b"data_a\n_x 1\ndata_a\n_x 2\n", "line 3 begins a second block data_a"),
    "label twice": (b"data_a\n_x 1\n_x 2\n", "column x appears twice"),
    "odd values": (b"data_a\n\n_x 1 2 3\n", "not a well-formed STAR file"),
    "no labels": (b"data_a\n\nloop_\n1 2\n", "not a well-formed STAR file"),
    "open quote": (b'data_a\n\n_x "1\n', "not a well-formed STAR file"),
    "twice": (b"data_a\n\nloop_\n_x #1\n_x #2\n1 2\n", "column x appears twice in block data_a"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files(tmp_path, kind):
    content, message = BAD[kind]
    (tmp_path / "bad.star").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_star(tmp_path / "bad.star")
    assert "bad.star" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_kinds_of_file(tmp_path):
    write_volume(tmp_path / "a.mrc", noise(8), 1.0)
    with pytest.raises(InputError, match=r"a\.mrc: not a STAR file"):
        read_star(tmp_path / "a.mrc")
    np.savez(tmp_path / "a.npz", a=np.arange(3))
    with pytest.raises(InputError, match="not a STAR file"):
        read_star(tmp_path / "a.npz")
    with pytest.raises(InputError, match="no such STAR file"):
        read_star(tmp_path / "none.star")


def test_nothing_is_written_where_writing_fails(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        write_star(tmp_path / "no" / "a.star", {"general": {"rlnX": 1}})
    assert not list(tmp_path.iterdir())
