"""Particle tables of RELION: version 3.1 and later as they are, version 3.0 turned into that."""

import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cryoinv.errors import InputError, InputWarning, shortened
from cryoinv.geometry import Poses
from cryoinv.io.optics import split_optics
from cryoinv.io.star_blocks import numbers, read_star

if TYPE_CHECKING:
    import pandas as pd

# Effects of later RELION versions that no operator here models, with the value at which they do nothing.
_NOT_MODELLED = {
    "rlnBeamTiltX": 0.0, "rlnBeamTiltY": 0.0, "rlnCtfScalefactor": 1.0,
    "rlnMagMat00": 1.0, "rlnMagMat01": 0.0, "rlnMagMat10": 0.0, "rlnMagMat11": 1.0,
}  # fmt: skip
# The same, but lists of coefficients, [0,0,...], and a file's name.
_ABERRATIONS = ("rlnOddZernike", "rlnEvenZernike")
_DETECTOR = "rlnMtfFileName"
_NO_NAME = ("", "None", "none", "null", "nan")
ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
_MOST_PIXELS = 1e300  # more would be infinite in Å; whoever uses poses refuses far less
_CHANGES_THE_MODEL = {
    "rlnCtfDataAreCtfPremultiplied": (0, "the images are premultiplied by the CTF"),
    "rlnCtfDataArePhaseFlipped": (0, "the images are phase-flipped"),
    "rlnImageDimensionality": (2, "the images are not two-dimensional"),
}


@dataclass(frozen=True, eq=False)
class ParticleTable:
    """The rows of a particle STAR file in the form of RELION 3.1.

    Parameters
    ----------
    path : Path
        The file.
    particles : DataFrame, m rows
        All columns of the file, one row a particle.
    optics : DataFrame
        One row an optics group.
    optics_group : ndarray of int, shape (m,)
        Row of `optics` of each particle, 0-based.
    """

    path: Path
    particles: "pd.DataFrame"
    optics: "pd.DataFrame"
    optics_group: np.ndarray

    def __len__(self) -> int:
        return len(self.particles)

    def take(self, indices: np.ndarray) -> "ParticleTable":
        """Return the table of some particles, shape (k,) 0-based, in the order given."""
        return replace(self, particles=self.particles.iloc[indices], optics_group=self.optics_group[indices])

    def column(self, name: str, default: Any = None) -> Any:
        """Return a numeric column of the particles, shape (m,), checked to be finite; else `default`."""
        return numbers(self.particles, name, str(self.path)) if name in self.particles else default

    def poses(self, pixel_size: float) -> Poses | None:
        """Return the poses in the file, or None if it has no angles.

        Parameters
        ----------
        pixel_size : float
            In Å, for the origins in pixels of RELION 3.0.

        Returns
        -------
        Poses or None
            Shifts are minus the origins, and zero where the file has none; finite, but otherwise not checked.
        """
        angles = [self.column(label) for label in ANGLES]
        if any(angle is None for angle in angles):
            return None
        origins = []
        for axis in "XY":
            pixels = self.column(f"rlnOrigin{axis}", np.zeros(len(self))).clip(-_MOST_PIXELS, _MOST_PIXELS)
            origins.append(self.column(f"rlnOrigin{axis}Angst", pixels * pixel_size))
        return Poses.from_relion(*angles, *origins)

    def random_subset(self) -> np.ndarray | None:
        """Return the half-set (1 or 2) of each particle, shape (m,), or None if none was ever chosen."""
        subset = self.column("rlnRandomSubset")
        if subset is None or not subset.any():
            return None
        known = np.isin(subset, (1, 2))
        if not known.all():
            row = int(np.argmin(known))
            raise InputError(f"{self.path}: rlnRandomSubset of row {row + 1} is {subset[row]:g}, expected 1 or 2")
        return subset.astype(np.int64)

    def defocus(self) -> np.ndarray | None:
        """Return defocus U, V in Å and their angle in degrees, shape (m, 3), or None if not in the file.

        Without ``rlnDefocusV`` it is U, and without the angle, which then says nothing, that is 0.
        """
        first = self.column("rlnDefocusU")
        if first is None:
            for name in ("rlnDefocusV", "rlnDefocusAngle"):
                if name in self.particles:
                    raise InputError(f"{self.path}: column {name} is there, but rlnDefocusU is missing")
            return None
        second = self.column("rlnDefocusV", first)
        angle = self.column("rlnDefocusAngle")
        if angle is None:
            differs = first != second
            if differs.any():
                row = int(np.argmax(differs))
                raise InputError(
                    f"{self.path}: column rlnDefocusAngle is missing, but rlnDefocusU and rlnDefocusV of row {row + 1}"
                    f" differ ({first[row]:.9g} and {second[row]:.9g}): the direction of the astigmatism is not known"
                )
            angle = np.zeros(len(self))
        return np.stack([first, second, angle], axis=1)


def read_particle_table(path: str | os.PathLike[str]) -> ParticleTable:
    """Read the particles and optics groups of a STAR file of RELION 3.0 or later; no image is looked for.

    Parameters
    ----------
    path : str or path-like
        STAR file with ``data_particles`` and ``data_optics``, or one table with both (version 3.0).

    Returns
    -------
    ParticleTable
        The rows.

    Raises
    ------
    InputError
        If the file is malformed, has no rows, lacks ``rlnImageName``, names an optics group that is not
        defined, or describes images that the forward model does not fit.
    """
    path = Path(path)
    blocks = read_star(path)
    particles = _particles_block(path, blocks)
    if "optics" in blocks:
        optics = _as_table(blocks["optics"])
        if optics.empty:
            raise InputError(f"{path}: the table data_optics has no rows")
    else:
        particles, optics = split_optics(particles, str(path))
    table = ParticleTable(path, particles, optics, _group_rows(path, particles, optics))
    _check_model(table)
    return table


def _as_table(block: Any) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame([block]) if isinstance(block, dict) else block


def _particles_block(path: Path, blocks: dict[str, Any]) -> "pd.DataFrame":
    names = ["particles"] if "particles" in blocks else list(blocks)
    block = next((blocks[name] for name in names if "rlnImageName" in blocks[name]), None)
    if block is None:
        listed = shortened(", ".join(f"data_{name}" for name in names))
        raise InputError(f"{path}: column rlnImageName is missing (looked in {listed}), is it a particle file?")
    table = _as_table(block)
    if table.empty:
        raise InputError(f"{path}: the particle table has no rows")
    missing = table["rlnImageName"].isna()
    if missing.any():
        raise InputError(f"{path}: rlnImageName of row {int(missing.argmax()) + 1} is missing")
    return table


def _group_rows(path: Path, particles: "pd.DataFrame", optics: "pd.DataFrame") -> np.ndarray:
    """Row of the optics table of each particle."""
    import pandas as pd

    if len(optics) == 1 and "rlnOpticsGroup" not in particles:
        return np.zeros(len(particles), dtype=np.int64)
    if len(optics) == 1 and "rlnOpticsGroup" not in optics:
        optics = optics.assign(rlnOpticsGroup=1)
    for table, name in ((optics, "optics"), (particles, "particles")):
        if "rlnOpticsGroup" not in table:
            raise InputError(f"{path}: column rlnOpticsGroup is missing in data_{name}")
    defined = pd.Index(numbers(optics, "rlnOpticsGroup", f"{path}, data_optics"))
    if not defined.is_unique:
        twice = defined[defined.duplicated()][0]
        raise InputError(f"{path}: optics group {twice:g} is defined twice")
    wanted = numbers(particles, "rlnOpticsGroup", str(path))
    rows = defined.get_indexer(wanted)
    if (rows < 0).any():
        row = int(np.argmin(rows))
        listed = ", ".join(f"{number:g}" for number in defined)
        raise InputError(
            f"{path}: row {row + 1} is of optics group {wanted[row]:g}, which is not defined (only {shortened(listed)})"
        )
    return rows.astype(np.int64)


def _check_model(table: ParticleTable) -> None:
    """Refuse images of another kind, and say which known effects are left out."""
    where = f"{table.path}, data_optics"
    for column, (expected, what) in _CHANGES_THE_MODEL.items():
        if column in table.optics and (numbers(table.optics, column, where) != expected).any():
            raise InputError(f"{where}: {what} ({column}), which is not supported")
    ignored = []
    for frame in (table.optics, table.particles):
        for column in frame.columns.intersection(list(_NOT_MODELLED)):
            if not np.allclose(numbers(frame, column, where), _NOT_MODELLED[column], rtol=0, atol=1e-6):
                ignored.append(column)
        ignored += [column for column in _ABERRATIONS if column in frame and _any_coefficient(frame[column])]
        if _DETECTOR in frame and not frame[_DETECTOR].isin(_NO_NAME).all():
            ignored.append(_DETECTOR)
    if ignored:
        message = f"{table.path}: not modelled and ignored: {', '.join(ignored)}"
        warnings.warn(message, InputWarning, stacklevel=4)


def _any_coefficient(lists: "pd.Series") -> bool:
    """Whether a list such as [0,-0.01,0] has an entry that is not zero; what is no list counts too."""
    for text in lists.astype(str).unique():
        try:
            values = [float(entry) for entry in text.strip("[]").split(",") if entry.strip()]
        except ValueError:
            return True
        if any(abs(value) > 1e-6 for value in values):
            return True
    return False
