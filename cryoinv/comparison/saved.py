"""Methods that a comparison's folder holds: which they are, so that it can be gone on with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from cryoinv.errors import InputError
from cryoinv.refinement.output import make_folder, remove_outputs, write_json

from .methods import MethodWords, distinct, folder_names
from .output import METHODS_FOLDER, remove_comparison

__all__ = ["METHOD_FILE", "arranged", "remove_methods", "save_words", "saved_words"]

METHOD_FILE = "method.json"


def save_words(output: Path, name: str, words: MethodWords) -> None:
    """Note which method a folder is for, before it is run."""
    folder = output / METHODS_FOLDER / name
    make_folder(folder)
    write_json(folder / METHOD_FILE, asdict(words))


def saved_words(output: Path) -> dict[str, MethodWords]:
    """Methods of a comparison's folder, by the names of their folders.

    Parameters
    ----------
    output : Path
        The comparison's folder; it need not be there.

    Returns
    -------
    dict of str to MethodWords

    Raises
    ------
    InputError
        If a note of a method cannot be read.
    """
    return {place.parent.name: _read(place) for place in sorted(output.glob(f"{METHODS_FOLDER}/*/{METHOD_FILE}"))}


def _read(place: Path) -> MethodWords:
    try:
        words = MethodWords(**json.loads(place.read_text(encoding="utf-8")))
        if all(isinstance(text, str) for text in asdict(words).values()):
            return words
        reason = "a part is no text"
    except (OSError, ValueError, TypeError) as error:
        reason = str(error)
    raise InputError(f"{place}: not the note of a method ({reason}); remove {place.parent}, or use --overwrite")


def arranged(wanted: Sequence[MethodWords], saved: Mapping[str, MethodWords]) -> dict[str, MethodWords]:
    """All methods, by the names of their folders: those wanted first, each in its old folder if it has one.

    Parameters
    ----------
    wanted : sequence of MethodWords
        Named by the user.
    saved : mapping of str to MethodWords
        What `saved_words` found.

    Returns
    -------
    dict of str to MethodWords

    Examples
    --------
    >>> saved = {"old": MethodWords("tv", label="tv")}
    >>> arranged([MethodWords("tv", label="tv"), MethodWords("red", label="tv")], saved)
    {'old': MethodWords(prior='tv', m_step='', solver='', denoiser='', output_prior='', output_m_step='', label='tv'),
     'tv-2': MethodWords(prior='red', m_step='', solver='', denoiser='', output_prior='', output_m_step='',
         label='tv (2)')}
    """
    # Labels are told apart first, in the order given, as they were when the folder was begun.
    named = distinct([words.label for words in wanted])
    methods = [replace(words, label=label) for words, label in zip(wanted, named, strict=True)]
    old = {words: name for name, words in saved.items()}
    new = [words for words in methods if words not in old]
    labels = distinct([words.label for words in new], [words.label for words in saved.values()])
    fresh = [replace(words, label=label) for words, label in zip(new, labels, strict=True)]
    places = dict(zip(new, zip(folder_names(labels, list(saved)), fresh, strict=True), strict=True))
    found = dict((old[words], words) if words in old else places[words] for words in methods)
    return found | {name: words for name, words in saved.items() if name not in found}


def remove_methods(output: Path) -> None:
    """Remove what a comparison has written into a folder, and nothing else."""
    remove_comparison(output)
    for place in output.glob(f"{METHODS_FOLDER}/*/{METHOD_FILE}"):
        remove_outputs(place.parent)
        place.unlink()
        _remove_if_empty(place.parent)
    _remove_if_empty(output / METHODS_FOLDER)
    _remove_if_empty(output / "figures")


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
