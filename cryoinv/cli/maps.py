"""Maps that commands read in pairs, and the names of those they write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cryoinv.errors import InputError
from cryoinv.files import is_folder

if TYPE_CHECKING:
    import numpy as np

__all__ = ["map_ending", "read_map", "read_two_maps", "refuse_existing"]

_ENDINGS = (".mrc", ".map", ".mrc.gz", ".map.gz")


def map_ending(output: Path) -> str:
    """Ending of a map's name; an `InputError` if it has none, or a folder has the place."""
    ending = next((end for end in _ENDINGS if output.name.endswith(end)), None)
    if is_folder(output) or ending is None:
        raise InputError(f"{output}: the output must be a map's name, ending in .mrc or .map (or these and .gz)")
    return ending


def refuse_existing(outputs: Sequence[Path], overwrite: bool) -> None:
    """Raise an `InputError` if an output is there and may not be replaced."""
    existing = [str(path) for path in outputs if is_folder(path) is not None]
    if existing and not overwrite:
        raise InputError(f"{', '.join(existing)}: there already; use --overwrite to replace")


def read_map(path: Path) -> tuple[np.ndarray, float]:
    """Read a map that is not constant, and its pixel size."""
    from cryoinv.io import read_volume
    from cryoinv.io.checks import check_varies

    volume, pixel_size = read_volume(path)
    check_varies(volume, str(path))
    return volume, pixel_size


def read_two_maps(first: Path, second: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """Read two maps of one box and pixel size, and that pixel size."""
    from cryoinv.io import same_pixel_size

    a, pixel_size = read_map(first)
    b, other_pixel_size = read_map(second)
    if a.shape != b.shape:
        raise InputError(f"{second}: has {len(b)} voxels a side, but {first} has {len(a)}")
    if not same_pixel_size(pixel_size, other_pixel_size):
        raise InputError(f"{second}: the pixel size is {other_pixel_size:.4g} Å, but {pixel_size:.4g} Å in {first}")
    return a, b, pixel_size
