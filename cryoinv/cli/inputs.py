"""Inputs read and checked before any file is written or any long work begins."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cryoinv.errors import InputError
from cryoinv.files import is_folder

if TYPE_CHECKING:
    import numpy as np

    from cryoinv.cli.progress import Progress
    from cryoinv.io import ParticleStack

__all__ = [
    "check_images",
    "check_output_folder",
    "check_output_places",
    "check_resumable",
    "input_files",
    "read_reference",
    "refuse_to_replace",
]

_BLOCK_BYTES = 1 << 26


def check_images(particles: ParticleStack, progress: Progress) -> None:
    """Read every image once; the first that has NaN or Inf or is constant is named in an `InputError`."""
    block = max(1, _BLOCK_BYTES // (4 * particles.n**2))
    with progress.task("checking images", len(particles)) as advance:
        for start in range(0, len(particles), block):
            advance(len(particles.images(slice(start, start + block))))


def read_reference(path: Path, particles: ParticleStack, star: Path) -> np.ndarray:
    """Read a reference map that fits the particles in box and, within 1 %, in pixel size.

    Raises
    ------
    InputError
        If it does not, or is not finite, zero, constant or not cubic; it names both files.
    """
    from cryoinv.cli.reporting import say
    from cryoinv.io import read_array, same_pixel_size
    from cryoinv.io.checks import check_volume

    volume, pixel_size = read_array(path, cubic=True)
    check_volume(volume, str(path))
    if volume.min() == volume.max():
        raise InputError(f"{path}: the reference is constant, every voxel is {volume.min():g}")
    if len(volume) != particles.n:
        raise InputError(
            f"{path}: the reference has {len(volume)} voxels a side, but the particles of {star} have"
            f" {particles.n} pixels"
        )
    if pixel_size is None:
        say(f"{path}: no pixel size in its header, taken to be {particles.pixel_size:.4g} Å as in {star}", "warning")
    elif not same_pixel_size(pixel_size, particles.pixel_size):
        raise InputError(
            f"{path}: the reference's pixel size is {pixel_size:.4g} Å, but {particles.pixel_size:.4g} Å in {star}:"
            " they differ by more than 1 %"
        )
    return volume


def input_files(particles: ParticleStack, *others: Path) -> list[Path]:
    """All files that particles come from, and `others`."""
    return [*others, *particles.source.paths()]


def refuse_to_replace(inputs: Iterable[Path], outputs: Iterable[Path]) -> None:
    """Raise an `InputError` if an output has the place of an input."""
    places = {os.path.realpath(path): path for path in inputs}
    for output in outputs:
        if os.path.realpath(output) in places:
            raise InputError(f"{output}: is an input and would be replaced by the output; choose another place")


def check_output_places(folder: Path, names: Iterable[str]) -> None:
    """Refuse an output folder in which a folder has the place of a file to be written, or the reverse."""
    for name in names:
        place = folder / name
        if is_folder(place):
            raise InputError(f"{place}: is a folder, where a file is to be written; choose another output folder")
        if is_folder(place.parent) is False:
            raise InputError(f"{place.parent}: is a file, where a folder is to be made; choose another output folder")


def check_output_folder(folder: Path, allowed_if_not_empty: bool, advice: str) -> None:
    """Refuse an output folder that is a file, not writable, or not empty without leave.

    Nothing is made or changed.
    """
    there = is_folder(folder)
    if there is False:
        raise InputError(f"{folder}: is a file, expected a folder for the output")
    if there and not allowed_if_not_empty and _holds_something(folder):
        raise InputError(f"{folder}: the output folder is not empty; {advice}")
    nearest = next(place for place in (folder, *folder.absolute().parents) if is_folder(place) is not None)
    if not is_folder(nearest) or not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: the output folder cannot be written, {nearest} does not allow it")


def _holds_something(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: the output folder cannot be listed ({error.strerror})") from None


def check_resumable(folder: Path) -> None:
    """Refuse to go on where there are results but no checkpoint: they would be replaced without leave.

    A run that was killed before its first checkpoint leaves none.
    """
    from cryoinv.refinement.output import CHECKPOINT, OUTPUT_FILES

    results = [name for name in OUTPUT_FILES if name != "iterations.jsonl" and (folder / name).exists()]
    if results and CHECKPOINT not in results:
        raise InputError(
            f"{folder}: holds {', '.join(results)}, but no {CHECKPOINT} to go on from; use --overwrite to replace "
            "them, or choose another folder"
        )
