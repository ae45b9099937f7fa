"""``cryoinv fsc``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryoinv.cli.maps import read_two_maps
from cryoinv.cli.options import Json
from cryoinv.cli.ranks import only_alone
from cryoinv.errors import InputError

if TYPE_CHECKING:
    import numpy as np

_THRESHOLDS = {"05": 0.5, "0143": 0.143}


def fsc(
    first: Annotated[Path, typer.Argument(metavar="A.mrc", help="A map.")],
    second: Annotated[Path, typer.Argument(metavar="B.mrc", help="Another on the same grid.")],
    mask: Annotated[Path | None, typer.Option(help="Map both are multiplied by first.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the curve to this file as well.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw the curve (.png, .pdf or .svg).")] = None,
    as_json: Json = False,
) -> None:
    """Fourier shell correlation of two maps, shell by shell, and where it falls below 0.5 and 0.143."""
    only_alone("fsc")
    from cryoinv.cli.inputs import refuse_to_replace
    from cryoinv.cli.tables import print_shells
    from cryoinv.metrics import fourier_shell_correlation, resolution_at
    from cryoinv.plotting import plot_fsc
    from cryoinv.refinement.output import write_fsc_table

    inputs, outputs = [first, second, mask], [csv, figure]
    refuse_to_replace([path for path in inputs if path], [path for path in outputs if path])
    a, b, n, pixel_size = _masked_maps(first, second, mask)
    curve = fourier_shell_correlation(a, b)
    found = {label: resolution_at(curve, level, n, pixel_size) for label, level in _THRESHOLDS.items()}
    if figure is not None:  # the figure first: its name may be refused
        plot_fsc({f"{first.name} and {second.name}": curve}, n, pixel_size, figure)
    if csv is not None:
        write_fsc_table(csv, {"fsc": curve}, n, pixel_size)
    if as_json:
        entries: dict[str, object] = {"pixel_size_angstrom": pixel_size, "box_pixels": n, "fsc": curve.tolist()}
        for label, resolution in found.items():
            entries[f"resolution_{label}_angstrom"] = round(resolution.angstrom, 4)
            entries[f"resolution_{label}_reached_nyquist"] = resolution.reached_nyquist
        typer.echo(json.dumps(entries, allow_nan=False))
    else:
        print_shells(curve.tolist(), n, pixel_size, {_THRESHOLDS[label]: r for label, r in found.items()})


def _masked_maps(
    first: Path, second: Path, mask: Path | None
) -> tuple[np.ndarray, np.ndarray, int, float]:
    """Two maps on one grid, under the mask, with box size and pixel size."""
    from cryoinv.io import read_array, same_pixel_size
    from cryoinv.io.checks import check_varies, check_volume

    a, b, pixel_size = read_two_maps(first, second)
    if mask is None:
        return a, b, len(a), pixel_size
    weights, mask_pixel_size = read_array(mask)
    check_volume(weights, str(mask))
    if weights.shape != a.shape:
        raise InputError(f"{mask}: the mask has {len(weights)} voxels a side, but {first} has {len(a)}")
    if mask_pixel_size is not None and not same_pixel_size(mask_pixel_size, pixel_size):
        raise InputError(
            f"{mask}: the mask's pixel size is {mask_pixel_size:.4g} Å, but {pixel_size:.4g} Å in {first}"
        )
    a, b = a * weights, b * weights
    check_varies(a, f"{first}, under the mask {mask}")
    check_varies(b, f"{second}, under the mask {mask}")
    return a, b, len(a), pixel_size
