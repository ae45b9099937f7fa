"""Particle STAR files that RELION reads back."""

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from cryoinv.errors import InputError, InputWarning, shortened
from cryoinv.geometry import Poses
from cryoinv.io.image_paths import name_for_folder, rename_files
from cryoinv.io.image_source import FileImages
from cryoinv.io.optics import OpticsGroup, table_from_groups
from cryoinv.io.particles import ParticleStack
from cryoinv.io.star_blocks import write_star

if TYPE_CHECKING:
    import pandas as pd

_PIXEL_ORIGINS = ["rlnOriginX", "rlnOriginY", "rlnOriginZ"]
# An earlier run's priors would pull a local search away from new poses.
_POSE_PRIORS = [
    "rlnAngleRotPrior", "rlnAngleTiltPrior", "rlnAnglePsiPrior", "rlnAnglePsiFlipRatio",
    "rlnOriginXPrior", "rlnOriginYPrior", "rlnOriginXPriorAngst", "rlnOriginYPriorAngst",
]  # fmt: skip


def write_particles_star(
    path: str | os.PathLike[str],
    particles: ParticleStack | Mapping[str, ArrayLike],
    poses: Poses | None = None,
    random_subset: ArrayLike | None = None,
    extra_columns: Mapping[str, ArrayLike] | None = None,
    optics: Sequence[OpticsGroup] | None = None,
    n: int | None = None,
) -> None:
    """Write particles and optics groups as a STAR file of RELION 3.1, whole or not at all.

    Of a stack that came from a STAR file every column and the optics table are kept, and image names are
    changed only where they would not lead to their stack from the new folder. RELION ignores columns that
    it does not know.

    Parameters
    ----------
    path : str or path-like
        The new STAR file.
    particles : ParticleStack or mapping of str to array_like
        The particles; or columns by RELION's label, ``rlnImageName`` among them, each of shape (m,).
    poses : Poses, optional
        Written as ``rlnAngleRot``, ``rlnAngleTilt``, ``rlnAnglePsi`` (degrees) and ``rlnOriginXAngst``,
        ``rlnOriginYAngst`` (Å, minus the shift); those of the particles if left out.
    random_subset : array_like of int, shape (m,), optional
        Half-sets 1 and 2, as ``rlnRandomSubset``; those of the particles if left out.
    extra_columns : mapping of str to array_like, optional
        More columns by label, each of shape (m,).
    optics : sequence of OpticsGroup, optional
        The groups, where `particles` is a mapping; its ``rlnOpticsGroup`` counts them from 1.
    n : int, optional
        Box size in pixels, where `particles` is a mapping.

    Raises
    ------
    InputError
        If a column has another length or an unusable label or entry, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from cryoinv.io import read_star
    >>> path = tempfile.mkdtemp() + "/particles.star"
    >>> columns = {"rlnImageName": ["1@a.mrcs", "2@a.mrcs"]}
    >>> write_particles_star(path, columns, optics=[OpticsGroup("krios", 1.5)], n=64)
    >>> list(read_star(path))
    ['optics', 'particles']
    """
    import pandas as pd

    if isinstance(particles, ParticleStack):
        table, optics_table = _tables_of_stack(particles, Path(path))
    elif optics is None or n is None or "rlnImageName" not in particles:
        raise InputError(f"{path}: columns need rlnImageName, and optics groups and a box size beside them")
    else:
        _check_columns(path, particles, len(np.asarray(particles["rlnImageName"])))
        table = pd.DataFrame({label: np.asarray(values) for label, values in particles.items()})
        table = table if "rlnOpticsGroup" in table else table.assign(rlnOpticsGroup=1)
        optics_table = table_from_groups(optics, n)
    new: dict[str, ArrayLike] = {}
    if poses is not None:
        table = table.drop(columns=_POSE_PRIORS, errors="ignore")
        new.update(poses.to_relion())
    if random_subset is not None:
        new["rlnRandomSubset"] = subset = np.asarray(random_subset, dtype=np.int64)
        if not np.isin(subset, (1, 2)).all():
            raise InputError(f"{path}: a half-set is neither 1 nor 2")
    new.update(extra_columns or {})
    _check_columns(path, new, len(table))
    # One concatenation: a column at a time fragments a wide table.
    kept = table.drop(columns=list(new), errors="ignore")
    added = pd.DataFrame({label: np.asarray(values) for label, values in new.items()}, index=table.index)
    write_star(path, {"optics": optics_table, "particles": pd.concat([kept, added], axis=1)})


def _check_columns(path: str | os.PathLike[str], columns: Mapping[str, ArrayLike], count: int) -> None:
    for label, given in columns.items():
        values = np.asarray(given)
        if not re.fullmatch(r"[A-Za-z]\w*", label):
            raise InputError(f"{path}: {shortened(repr(label))} is no label of a STAR column")
        if values.shape != (count,):
            raise InputError(f"{path}: column {label} has shape {values.shape}, expected ({count},)")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            raise InputError(f"{path}: column {label} is {values[row]} for particle {row + 1}")


def _tables_of_stack(stack: ParticleStack, path: Path) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Particles and optics of a stack in the form of RELION 3.1."""
    if stack.table is None:
        return _table_from_arrays(stack), table_from_groups(stack.optics, stack.n)
    optics, table = stack.table.optics.copy(), stack.table.particles
    numbers = optics.get("rlnOpticsGroup", range(1, len(optics) + 1))
    made = table_from_groups(stack.optics, stack.n).assign(rlnOpticsGroup=np.asarray(numbers))
    for column in made.columns.difference(optics.columns, sort=False):
        optics[column] = made[column].to_numpy()
    table = table.assign(rlnOpticsGroup=optics["rlnOpticsGroup"].to_numpy()[stack.optics_group])
    table["rlnImageName"] = names = _names_for(stack, path.parent)
    odd = next((name for name in names if "#" in name), None)
    if odd is not None:
        name = shortened(repr(odd))
        message = f"{path}: an image name has a # ({name}), which RELION takes for something else; rename the folder"
        warnings.warn(message, InputWarning, stacklevel=3)
    for column in table.columns.intersection(_PIXEL_ORIGINS):
        if f"{column}Angst" not in table:
            table[f"{column}Angst"] = stack.table.column(column) * stack.pixel_size
    return table.drop(columns=_PIXEL_ORIGINS, errors="ignore"), optics


def _names_for(stack: ParticleStack, folder: Path) -> np.ndarray:
    """Image names that lead to the stacks from another folder."""
    assert isinstance(stack.source, FileImages)
    assert stack.table is not None
    names = stack.table.particles["rlnImageName"]
    file_index, stacks = stack.source.file_index, stack.source.stacks
    first_rows = dict(zip(*np.unique(file_index, return_index=True), strict=True))
    files = [""] * len(stacks)
    for file, row in first_rows.items():
        before, _, after = str(names.iloc[row]).partition("@")
        files[file] = name_for_folder(after or before, stacks[file].path, folder)
    return rename_files(names, files, file_index)


def _table_from_arrays(stack: ParticleStack) -> "pd.DataFrame":
    import pandas as pd

    columns: dict[str, np.ndarray] = {
        "rlnImageName": stack.image_names,
        "rlnOpticsGroup": stack.optics_group + 1,
    }
    if stack.defocus is not None:
        for position, label in enumerate(("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")):
            columns[label] = stack.defocus[:, position]
    optional = {
        "rlnPhaseShift": stack.phase_shift,
        "rlnCtfBfactor": stack.ctf_bfactor,
        "rlnRandomSubset": stack.random_subset,
    }
    columns.update({label: values for label, values in optional.items() if values is not None})
    if stack.poses is not None:
        columns.update(stack.poses.to_relion())
    return pd.DataFrame(columns)
