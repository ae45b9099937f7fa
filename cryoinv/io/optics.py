"""Optics groups: what particles of one microscope setting share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cryoinv.errors import InputError, shortened
from cryoinv.io.mrc_header import same_pixel_size, sensible_pixel_size
from cryoinv.io.star_blocks import numbers

if TYPE_CHECKING:
    import pandas as pd

# Column of RELION's optics table for each field of an `OpticsGroup`.
_COLUMNS = {
    "pixel_size": "rlnImagePixelSize",
    "voltage": "rlnVoltage",
    "spherical_aberration": "rlnSphericalAberration",
    "amplitude_contrast": "rlnAmplitudeContrast",
}
# RELION refuses an optics table without these columns, even where no particle has a defocus and it uses none.
_WITHOUT_CTF = {"voltage": 300.0, "spherical_aberration": 2.7, "amplitude_contrast": 0.1}
_MICROMETRE = 1e4  # Å
_LARGEST_ABERRATION = 100.0  # mm


@dataclass(frozen=True)
class OpticsGroup:
    """What the images of one optics group have in common.

    Parameters
    ----------
    name : str
        Name of the group.
    pixel_size : float
        In Å.
    voltage : float, optional
        In kV; None where no CTF is known.
    spherical_aberration : float, optional
        In mm.
    amplitude_contrast : float, optional
        Fraction Q0 between 0 and 1.

    Raises
    ------
    InputError
        If a value is outside its range.

    Examples
    --------
    >>> OpticsGroup("krios", 1.06, 300.0, 2.7, 0.1).has_ctf
    True
    """

    name: str
    pixel_size: float
    voltage: float | None = None
    spherical_aberration: float | None = None
    amplitude_contrast: float | None = None

    def __post_init__(self) -> None:
        group = f"optics group {shortened(self.name)}"
        if self.pixel_size <= 0:
            raise InputError(f"{group}: pixel size {self.pixel_size} Å is not positive")
        if not math.isnan(self.pixel_size) and not sensible_pixel_size(self.pixel_size):
            raise InputError(f"{group}: pixel size {self.pixel_size:g} Å is none of an image")
        if self.voltage is not None and not 1 <= self.voltage <= 5000:
            raise InputError(f"{group}: voltage {self.voltage} is none in kV")
        if self.spherical_aberration is not None and not abs(self.spherical_aberration) <= _LARGEST_ABERRATION:
            raise InputError(f"{group}: spherical aberration {self.spherical_aberration:g} is none in mm")
        if self.amplitude_contrast is not None and not 0 <= self.amplitude_contrast <= 1:
            contrast = self.amplitude_contrast
            raise InputError(f"{group}: amplitude contrast {contrast} is not between 0 and 1")

    @property
    def has_ctf(self) -> bool:
        """Whether everything is known that a CTF needs beside the defocus."""
        return None not in (self.voltage, self.spherical_aberration, self.amplitude_contrast)


def groups_from_table(table: "pd.DataFrame", where: str) -> list[OpticsGroup]:
    """Read RELION's optics table; a pixel size it does not state is NaN.

    Parameters
    ----------
    table : DataFrame
        One row a group.
    where : str
        File, for messages.

    Returns
    -------
    list of OpticsGroup
        In the order of the rows.
    """
    values = {field: numbers(table, column, where) for field, column in _COLUMNS.items() if column in table}
    values.setdefault("pixel_size", np.full(len(table), math.nan))
    names = table.get("rlnOpticsGroupName", [f"opticsGroup{row + 1}" for row in range(len(table))])
    fields = [{field: float(column[row]) for field, column in values.items()} for row in range(len(table))]
    try:
        return [OpticsGroup(str(name), **row) for name, row in zip(names, fields, strict=True)]
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def table_from_groups(groups: Sequence[OpticsGroup], n: int) -> "pd.DataFrame":
    """Make RELION's optics table.

    Parameters
    ----------
    groups : sequence of OpticsGroup
        The groups, numbered from 1 in the table.
    n : int
        Box size in pixels.

    Returns
    -------
    DataFrame
        One row a group. Where voltage, spherical aberration or amplitude contrast are not known, it has
        300 kV, 2.7 mm and 0.1, which say nothing without a defocus but which RELION wants to see.
    """
    import pandas as pd

    columns: dict[str, object] = {
        "rlnOpticsGroup": range(1, len(groups) + 1),
        "rlnOpticsGroupName": [group.name for group in groups],
    }
    for field, column in _COLUMNS.items():
        values = [getattr(group, field) for group in groups]
        columns[column] = [_WITHOUT_CTF[field] if value is None else value for value in values]
    return pd.DataFrame({**columns, "rlnImageSize": n, "rlnImageDimensionality": 2})


def split_optics(particles: "pd.DataFrame", where: str) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Turn a table of RELION 3.0 into particles and optics groups as RELION 3.1 has them.

    Particles with the same voltage, spherical aberration, amplitude contrast and pixel size (stated, or from
    detector pixel and magnification) form a group.

    Parameters
    ----------
    particles : DataFrame
        One row a particle, optics included.
    where : str
        File, for messages.

    Returns
    -------
    particles : DataFrame
        Without the columns that moved, with ``rlnOpticsGroup``.
    optics : DataFrame
        One row a group.
    """
    import pandas as pd

    shared = {column: numbers(particles, column, where) for column in _COLUMNS.values() if column in particles}
    if "rlnImagePixelSize" not in shared:
        if "rlnPixelSize" in particles:
            shared["rlnImagePixelSize"] = numbers(particles, "rlnPixelSize", where)
        elif {"rlnDetectorPixelSize", "rlnMagnification"} <= set(particles):
            detector = numbers(particles, "rlnDetectorPixelSize", where)
            with np.errstate(divide="ignore", invalid="ignore"):
                pixel_size = detector * _MICROMETRE / numbers(particles, "rlnMagnification", where)
            if not np.isfinite(pixel_size).all():
                raise InputError(f"{where}: rlnMagnification of row {np.argmin(np.isfinite(pixel_size)) + 1} is 0")
            shared["rlnImagePixelSize"] = pixel_size
    settings = pd.DataFrame(shared, index=particles.index)
    group = settings.groupby(list(shared), sort=False).ngroup() if shared else 0
    moved = [*shared, "rlnPixelSize", "rlnDetectorPixelSize", "rlnMagnification", "rlnOpticsGroup"]
    particles = particles.drop(columns=moved, errors="ignore").assign(rlnOpticsGroup=group + 1)
    optics = settings.drop_duplicates() if shared else pd.DataFrame(index=[0])
    numbers_from_1 = range(1, len(optics) + 1)
    optics.insert(0, "rlnOpticsGroup", numbers_from_1)
    optics.insert(1, "rlnOpticsGroupName", [f"opticsGroup{number}" for number in numbers_from_1])
    return particles, optics.reset_index(drop=True)


def common_pixel_size(sizes: Sequence[float], names: Sequence[str], where: str) -> float:
    """Return the one pixel size that all share within 1 %.

    Parameters
    ----------
    sizes : sequence of float
        Pixel sizes in Å.
    names : sequence of str
        What has each of them, for the message.
    where : str
        File, for the message.

    Returns
    -------
    float
        The first of them.

    Raises
    ------
    InputError
        If one differs from the first by more than 1 %.
    """
    for size, name in zip(sizes, names, strict=True):
        if not same_pixel_size(size, sizes[0]):
            raise InputError(
                f"{where}: pixel sizes differ, {sizes[0]:.4g} Å in {names[0]} but {size:.4g} Å in {name};"
                " rescale the particles to one"
            )
    return sizes[0]
