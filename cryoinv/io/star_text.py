"""The text of a STAR file taken apart line by line, as RELION does, and entries put in quotes where they need them.

A row is a line and an entry ends at white space, so names may hold ``#``, quotes or words such as ``data_``; a row that
is too short or too long is an error that names its line.
"""

import csv
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cryoinv.errors import InputError, shortened

if TYPE_CHECKING:
    import pandas as pd

_HEAD = re.compile(r"\s*data_(\S*)\s*(?:#.*)?$", re.ASCII)
# A quote ends an entry only before white space: 'it's' is it's.
_ENTRY = re.compile(r"""'((?:[^']|'(?=\S))*)'(?!\S)|"((?:[^"]|"(?=\S))*)"(?!\S)|(\S+)""", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_NEEDS_QUOTES = re.compile(r"""$|['"#_;$\[\]]|data_|loop_|save_|stop_|global_|.*\s""", re.IGNORECASE)
# Numbers that would be written otherwise than they were read: with zeros before them, or, where a gap makes their
# column one of floats, with more digits than are written of a float.
_LEADING_ZEROS = r"[-+]?0\d+"
_LONG_WHOLE, _LONG_FROM = r"[-+]?\d{10,}", 1e9
_SOME_LEADING_ZEROS = re.compile(rf"[\s\x1f]{_LEADING_ZEROS}[\s\x1f]", re.ASCII)
_MISSING = ["nan", "NaN", "<NA>"]
# Separates entries whose own spaces are to stay; no text that is read has it.
_UNIT = "\x1f"


def parse_star(text: str, where: str) -> "dict[str, pd.DataFrame | dict[str, Any]]":
    r"""Take the text of a STAR file apart.

    Parameters
    ----------
    text : str
        All of it.
    where : str
        File, for messages.

    Returns
    -------
    dict
        By block name without ``data_``: a table for a ``loop_``, else a dict of single values.

    Raises
    ------
    InputError
        If it is malformed; the message names the line.

    Examples
    --------
    >>> blocks = parse_star("data_a\n_x 1\ndata_b\nloop_\n_y #1\n_z #2\n2 it's\n3 'a b'\n", "a.star")
    >>> blocks["a"], blocks["b"]["z"].tolist()
    ({'x': 1}, ["it's", 'a b'])
    """
    found = _CONTROL.search(text)
    if found:
        raise InputError(f"{where}: not a STAR file, a binary one: character {found.start() + 1} is {found[0]!r}")
    lines = text.split("\n")
    heads = [number for number, line in enumerate(lines) if "data_" in line and _HEAD.match(line)]
    blocks: dict[str, Any] = {}
    for start, stop in zip(heads, [*heads, len(lines)][1:], strict=True):
        name = lines[start].split()[0][len("data_") :]
        if name in blocks:
            raise _malformed(where, start, f"begins a second block data_{shortened(name)}")
        blocks[name] = _block(lines, start, stop, f"data_{shortened(name)}", where)
    return blocks


def _malformed(where: str, number: int, what: str) -> InputError:
    return InputError(f"{where}: not a well-formed STAR file, line {number + 1} {what}")


def _block(lines: Sequence[str], head: int, stop: int, name: str, where: str) -> Any:
    filled = (n for n in range(head + 1, stop) if lines[n].strip() and not lines[n].lstrip().startswith("#"))
    first = next(filled, None)
    if first is None:
        raise _malformed(where, head, f"begins the block {name}, which holds nothing")
    if lines[first].split()[0] != "loop_":
        return _single_values(lines, [first, *filled], name, where)
    labels: dict[str, None] = {}
    number = next(filled, None)
    while number is not None and lines[number].lstrip().startswith("_"):
        label = lines[number].split()[0][1:]
        if label in labels:
            raise InputError(f"{where}: column {shortened(label)} appears twice in block {name} (line {number + 1})")
        labels[label] = None
        number = next(filled, None)
    if not labels:
        raise _malformed(where, first, f"begins a table without column labels in {name}")
    return _table(lines, stop if number is None else number, stop, list(labels), name, where)


def _single_values(lines: Sequence[str], numbers: Sequence[int], name: str, where: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for number in numbers:
        entries = _entries(lines[number], number, where)
        if len(entries) != 2 or not entries[0].startswith("_"):
            raise _malformed(where, number, f"of {name} has {len(entries)} entries, expected a label and a value")
        label = entries[0][1:]
        if label in values:
            raise InputError(f"{where}: column {shortened(label)} appears twice in block {name} (line {number + 1})")
        values[label] = entries[1] if is_text(label) else _number(entries[1])
    return values


def _table(lines: Sequence[str], start: int, stop: int, labels: list[str], name: str, where: str) -> "pd.DataFrame":
    import pandas as pd

    text = "\n".join(lines[start:stop])
    if not any(mark in text for mark in "'\"#") and text.isascii():
        # Quick, but blind to short rows: those, and whatever else is odd, are left to the careful way below.
        try:
            table = _read(text, r"\s+", labels)
        except (ValueError, OverflowError):  # pandas' errors are ValueErrors
            table = None
        if table is not None and not (table.iloc[:, -1].isna() | (table.iloc[:, -1] == "")).any():
            return table
    rows = []
    for number in range(start, stop):
        entries = _entries(lines[number], number, where)
        if entries and len(entries) != len(labels):
            last = not any(line.strip() for line in lines[number + 1 :])
            what = f"is a row of {len(entries)} entries, expected {len(labels)} (the columns of {name})"
            raise _malformed(where, number, f"is the last and truncated, it {what}" if last else what)
        if entries:
            rows.append(_UNIT.join(entries))
    return _read("\n".join(rows), _UNIT, labels) if rows else pd.DataFrame(columns=labels, dtype=object)


def _read(text: str, separator: str, labels: list[str]) -> "pd.DataFrame":
    """Make a table of rows; columns are numbers where every entry is one and is written as it was read."""
    import pandas as pd

    words: dict[Any, Any] = {position: str for position, label in enumerate(labels) if is_text(label)}
    missing: dict[Any, Any] = {position: _MISSING for position in range(len(labels)) if position not in words}
    table = _columns(text, separator, dtype=words, na_values=missing)
    for position in table.select_dtypes(bool):  # "True" is a word in a STAR file
        table[position] = table[position].map(str)
    if table.shape[1] != len(labels):
        raise ValueError(f"{table.shape[1]} columns of {len(labels)}")
    _keep_text(table, text, separator)
    table.columns = pd.Index(labels)
    return table


def _columns(text: str, separator: str, **options: Any) -> "pd.DataFrame":
    import pandas as pd

    return pd.read_csv(
        io.StringIO(text),
        sep=separator,
        header=None,
        keep_default_na=False,
        quoting=csv.QUOTE_NONE,
        skip_blank_lines=separator != _UNIT,
        low_memory=False,
        **options,
    )


def _keep_text(table: "pd.DataFrame", text: str, separator: str) -> None:
    """Put back the text of columns whose numbers would be written otherwise than they were read."""
    zeros = _SOME_LEADING_ZEROS.search(f"\n{text}\n") is not None
    numeric = table.select_dtypes("number")
    doubtful = [position for position in numeric if zeros or _is_long(numeric[position])]
    if not doubtful:
        return
    entries = _columns(text, separator, dtype=str, usecols=doubtful)
    for position in doubtful:
        pattern = f"{_LEADING_ZEROS}|{_LONG_WHOLE}" if _is_long(numeric[position]) else _LEADING_ZEROS
        if entries[position].str.fullmatch(pattern).any():
            table[position] = entries[position]


def _is_long(column: "pd.Series") -> bool:
    return column.dtype.kind == "f" and bool((column.abs() >= _LONG_FROM).any())


def is_text(label: str) -> bool:
    """Whether a column's label says that it holds names, which stay text even where they look like numbers."""
    return "Name" in label


def _entries(line: str, number: int, where: str) -> list[str]:
    """Entries of a line, quotes taken off, without its comment."""
    if line.isascii() and not any(mark in line for mark in "'\"#"):
        return line.split()
    entries = []
    for match in _ENTRY.finditer(line):  # one by one: after a quote that is not closed every other would be tried too
        single, double, bare = match.groups("")
        if bare.startswith("#"):
            break
        if bare.startswith(("'", '"')):
            raise _malformed(where, number, f"has a quote that is not closed, {bare[:40]!r}")
        entries.append(single or double or bare)
    return entries


def _number(text: str) -> int | float | str:
    if re.fullmatch(_LEADING_ZEROS, text):
        return text
    for kind in (int, float):
        try:
            return text if "_" in text else kind(text)
        except ValueError:
            continue
    return text


def quoted(entry: str, where: str) -> str:
    """Return an entry as it stands in a STAR file, in quotes where it needs them.

    Parameters
    ----------
    entry : str
        The entry.
    where : str
        File, for messages.

    Returns
    -------
    str

    Raises
    ------
    InputError
        If no quotes can hold it: it has line ends, or both kinds of quote before white space.

    Examples
    --------
    >>> [quoted(entry, "a.star") for entry in ("1@a#1.mrcs", "it's", "my data", "", '#1"')]
    ['1@a#1.mrcs', "it's", '"my data"', '""', '"#1""']
    """
    if _CONTROL.search(entry) or "\n" in entry or "\r" in entry:
        raise _no_entry(entry, where, "line ends or control characters")
    if not _NEEDS_QUOTES.match(entry):
        return entry
    for mark in "\"'":
        if not re.search(rf"{mark}\s", entry):
            return f"{mark}{entry}{mark}"
    raise _no_entry(entry, where, "both kinds of quote before spaces")


def _no_entry(entry: str, where: str, what: str) -> InputError:
    return InputError(f"{where}: the entry {shortened(repr(entry))} has {what}, no STAR file can hold it")
