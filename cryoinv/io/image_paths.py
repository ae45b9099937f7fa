"""From image names such as ``000017@Extract/job012/a.mrcs`` to files, and back."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryoinv.errors import InputError, shortened

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class ImageNames:
    """Image names taken apart: particle i is image ``sections[i]`` of ``files[file_index[i]]``.

    Parameters
    ----------
    files : list of str
        Different stacks, as named.
    file_index : ndarray of int, shape (m,)
        Which of them each particle is in.
    sections : ndarray of int, shape (m,)
        Image in the stack, counted from 0.
    """

    files: list[str]
    file_index: np.ndarray
    sections: np.ndarray


def split_image_names(names: "pd.Series | np.ndarray", where: str) -> ImageNames:
    """Take ``index@file`` apart; a name without ``@`` is a file of one image.

    Parameters
    ----------
    names : series or array of str, shape (m,)
        Image names, indices counted from 1.
    where : str
        File, for messages.

    Returns
    -------
    ImageNames
        Stacks and positions.

    Raises
    ------
    InputError
        If an index is no whole number or below 1, or there is no file name; it names the row.

    Examples
    --------
    >>> names = split_image_names(np.array(["000002@a.mrcs", "1@b.mrcs", "1@a.mrcs"]), "x.star")
    >>> names.files, names.file_index.tolist(), names.sections.tolist()
    (['a.mrcs', 'b.mrcs'], [0, 1, 0], [1, 0, 0])
    """
    given = np.asarray(names, dtype=object).tolist()
    parts = [(name if isinstance(name, str) else "").partition("@") for name in given]
    files = [last if at else first for first, at, last in parts]
    numbers = np.array([_number(first) if at else 1.0 for first, at, _ in parts], dtype=np.float64)
    empty = np.array([file == "" for file in files], dtype=bool)
    wrong = ~((numbers >= 1) & (numbers == np.floor(numbers)) & (numbers < 2**53)) | empty
    if wrong.any():
        row = int(np.argmax(wrong))
        name = shortened(repr(given[row]))
        raise InputError(
            f"{where}: image name {name} of row {row + 1} is not 'index@file' with the index from 1"
        )
    codes: dict[str, int] = {}
    file_index = np.array([codes.setdefault(file, len(codes)) for file in files], dtype=np.int64)
    return ImageNames(list(codes), file_index, numbers.astype(np.int64) - 1)


def _number(text: str) -> float:
    """Return the number, NaN if it is none; Python's ``1_0`` is none."""
    try:
        return math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan


def rename_files(names: "pd.Series", files: list[str], file_index: np.ndarray) -> np.ndarray:
    """Return image names with the file part replaced by ``files[file_index]``, shape (m,) of str."""
    parts = names.str.partition("@")
    prefix = (parts[0] + "@").where(parts[1] == "@", "").to_numpy(dtype=object)
    return prefix + np.array(files, dtype=object)[file_index]


def find_image_file(name: str, folder: str | os.PathLike[str], use_working_folder: bool = True) -> Path | None:
    """Find a stack: absolute, else from the STAR's folder, its parents, the working folder.

    Parameters
    ----------
    name : str
        Path as in the STAR file.
    folder : str or path-like
        Folder of the STAR file.
    use_working_folder : bool
        Whether to look from the working folder in the end.

    Returns
    -------
    Path or None
        Absolute path of the first that exists.
    """
    folder = _spelled_out(folder)
    places = [folder, *folder.parents]
    if use_working_folder:
        places.append(Path.cwd())
    # An absolute name replaces the place it is joined to.
    for place in places[:1] if Path(name).is_absolute() else places:
        try:
            if (place / name).is_file():
                return place / name
        except (OSError, ValueError):
            return None
    return None


def _spelled_out(path: str | os.PathLike[str]) -> Path:
    """Absolute path as the user spells it: the parents of a linked folder are those of the link."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def find_image_files(names: ImageNames, star: Path) -> list[Path]:
    """Find every stack that a STAR file names.

    Parameters
    ----------
    names : ImageNames
        Names from the file.
    star : Path
        The file.

    Returns
    -------
    list of Path
        Absolute paths, in the order of ``names.files``.

    Raises
    ------
    InputError
        If a stack is nowhere to be found; it names the first row that asks for it and the places.
    """
    folder = _spelled_out(star).parent
    found = [find_image_file(name, folder) for name in names.files]
    if None in found:
        missing = found.index(None)
        row = int(np.argmax(names.file_index == missing))
        others = found.count(None) - 1
        name = shortened(repr(names.files[missing]))
        more = f" (and {others} more stacks are missing)" if others else ""
        raise InputError(
            f"{star}: there is no stack {name}, named in row {row + 1}; looked in {folder},"
            f" its parents and {Path.cwd()}{more}"
        )
    return [path for path in found if path is not None]


def name_for_folder(name: str, path: Path, folder: Path) -> str:
    """Return a name for a stack that is found from another folder; the old one if it still leads there.

    Parameters
    ----------
    name : str
        Old name.
    path : Path
        The stack itself.
    folder : Path
        Folder of the new STAR file.

    Returns
    -------
    str
        The old name where it is absolute or found from the new folder or its parents, else the path
        relative to the new folder, or absolute if the two share no folder.
    """
    found = find_image_file(name, folder, use_working_folder=False)
    if found is not None and os.path.realpath(found) == os.path.realpath(path):
        return name
    # Real paths: ".." after a linked folder leads elsewhere than its spelling says.
    file, start = os.path.realpath(path), os.path.realpath(folder)
    shared = os.path.commonpath([file, start])
    return file if shared == os.path.sep else os.path.relpath(file, start)
