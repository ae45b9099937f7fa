"""STAR files as plain tables: the blocks of a file by name, whatever they are about."""

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cryoinv.errors import InputError, InputWarning, shortened
from cryoinv.files import atomic_path, existing_file
from cryoinv.io.star_text import parse_star, quoted

if TYPE_CHECKING:
    import pandas as pd

# RELION takes a file that states this version for one with optics groups.
_VERSION_LINE = "# version 30001\n"


def read_star(path: str | os.PathLike[str]) -> "dict[str, pd.DataFrame | dict[str, Any]]":
    """Read every block of a STAR file.

    Parameters
    ----------
    path : str or path-like
        STAR file (UTF-8 text).

    Returns
    -------
    dict
        By block name without ``data_``: a table for a ``loop_``, else a dict of single values. Columns whose
        label speaks of a name hold text, and so do those of whole numbers with zeros before them or, where entries
        are missing, with more digits than a float is written with; others numbers where every entry is one.

    Raises
    ------
    InputError
        If the file is missing, empty, no text, or no well-formed STAR file; the message names the line.

    Examples
    --------
    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/run.star"
    >>> write_star(path, {"general": {"rlnPixelSize": 1.5}})
    >>> read_star(path)
    {'general': {'rlnPixelSize': 1.5}}
    """
    path = existing_file(path, "STAR file")
    text = _text(path)
    blocks = parse_star(text, str(path))
    if not blocks:
        raise InputError(f"{path}: not a STAR file, it has no data_ block")
    if not text.endswith("\n"):  # a number cut short is still a number
        message = f"{path}: the last line has no end, the file may be cut short within its last entry"
        warnings.warn(message, InputWarning, stacklevel=3)
    return blocks


def _text(path: Path) -> str:
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a STAR file, byte {error.start} is not UTF-8 text") from None
    if text.count("\r") != text.count("\r\n"):
        raise InputError(f"{path}: has carriage returns within its lines; convert its line ends")
    return text


def write_star(path: str | os.PathLike[str], blocks: "Mapping[str, pd.DataFrame | Mapping[str, Any]]") -> None:
    """Write blocks as a STAR file that RELION reads, whole or not at all.

    Parameters
    ----------
    path : str or path-like
        The file.
    blocks : mapping
        By block name without ``data_``: a table (written as ``loop_``) or a mapping of single values.

    Raises
    ------
    InputError
        If an entry has line ends or the file cannot be written.
    """
    import starfile

    plain = {name: _with_quotes(block, str(path)) for name, block in blocks.items()}
    # The writer knows no spaces within entries, so only tabs can stand between them.
    separator = "\t" if any(_has_space(block) for block in plain.values()) else " "
    text = starfile.to_string(plain, float_format="%.9g", sep=separator, na_rep="nan", quote_character="")
    # The first line carries the time of day: without it equal tables give equal files.
    text = text.split("\n", 1)[1].lstrip("\n")
    text = re.sub(r"^(?=data_)", _VERSION_LINE + "\n", text, flags=re.MULTILINE)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _with_quotes(block: "pd.DataFrame | Mapping[str, Any]", where: str) -> "pd.DataFrame | dict[str, Any]":
    """Put entries that are text in quotes where they need them."""

    def quote(entry: Any) -> Any:
        return quoted(entry, where) if isinstance(entry, str) else entry

    if isinstance(block, Mapping):
        return {label: quote(value) for label, value in block.items()}
    texts = block.select_dtypes(exclude="number")
    return block.assign(**{str(column): texts[column].map(quote) for column in texts})


def _has_space(block: "pd.DataFrame | dict[str, Any]") -> bool:
    if isinstance(block, dict):
        return False  # one entry a line
    texts = block.select_dtypes(exclude="number")
    return any(isinstance(entry, str) and " " in entry for column in texts for entry in texts[column].unique())


def numbers(table: "pd.DataFrame", column: str, where: str) -> np.ndarray:
    """Return a column of a table as finite numbers.

    Parameters
    ----------
    table : DataFrame
        A table that has the column.
    column : str
        Its label.
    where : str
        File and table, for the message.

    Returns
    -------
    ndarray of float64, shape (m,)
        The numbers.

    Raises
    ------
    InputError
        If an entry is missing or is no finite number; it names the row, counted from 1.
    """
    import pandas as pd

    given = table[column]
    if given.dtype == object:  # may hold integers too large for any type
        given = given.map(str)
    values = pd.to_numeric(given, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    finite = np.isfinite(values)
    if not finite.all():
        row = int(np.argmin(finite))
        found = table[column].iloc[row]
        shown = repr(found) if isinstance(found, str) else str(found)
        raise InputError(f"{where}: {column} of row {row + 1} is {shortened(shown)}, expected a finite number")
    return values
