"""What must agree within a set of particles."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryoinv.errors import InputError, InputWarning, shortened
from cryoinv.geometry import Poses
from cryoinv.io.checks import MOST_DEGREES, check_range
from cryoinv.io.mrc_header import same_pixel_size, sensible_pixel_size
from cryoinv.io.mrc_stack import MrcStack
from cryoinv.io.optics import OpticsGroup, common_pixel_size
from cryoinv.io.star import ANGLES

_LARGEST_DEFOCUS = 1e6  # Å: 100 µm
_LARGEST_B_FACTOR = 1e5  # Å²
# Natural logarithm of what a negative B-factor does to the highest frequency: of its square, exp(60), sums over many
# particles are finite in single precision, which those of exp(2 * 60) are not.
_MOST_AMPLIFIED = 30.0

if TYPE_CHECKING:
    from cryoinv.io.particles import ParticleStack


def check_particles(stack: "ParticleStack", where: str) -> None:
    """Raise an InputError unless every array of `stack` fits its particles and optics groups."""
    count = len(stack)
    for field in fields(stack):
        values = getattr(stack, field.name)
        if isinstance(values, np.ndarray | Poses) and len(values) != count:
            raise InputError(f"{where}: {len(values)} values of {field.name} for {count} particles")
        numeric = isinstance(values, np.ndarray) and values.dtype != object
        if numeric and not np.isfinite(values).all():
            raise InputError(f"{where}: {field.name} contains NaN or Inf")
    if not stack.pixel_size > 0:
        raise InputError(f"{where}: pixel size {stack.pixel_size} Å is not positive")
    if not sensible_pixel_size(stack.pixel_size):
        raise InputError(f"{where}: pixel size {stack.pixel_size:g} Å is none of an image")
    groups, highest = stack.optics, stack.optics_group.max()
    common_pixel_size([group.pixel_size for group in groups], [shortened(group.name) for group in groups], where)
    if stack.optics_group.min() < 0 or highest >= len(groups):
        raise InputError(f"{where}: optics groups (from 0) go up to {highest} of {len(groups)}")
    if stack.random_subset is not None and not np.isin(stack.random_subset, (1, 2)).all():
        raise InputError(f"{where}: a half-set is neither 1 nor 2")
    if stack.defocus is not None:
        _check_ctf(stack.defocus, count, groups, where)
    _check_values(stack, where)


def _check_values(stack: "ParticleStack", where: str) -> None:
    """Refuse numbers that are finite but none of a particle: they would end as NaN, or as a map of nothing."""
    if stack.defocus is not None:
        for name, values in zip("UV", stack.defocus.T[:2], strict=True):
            check_range(values, -_LARGEST_DEFOCUS, _LARGEST_DEFOCUS, f"defocus {name} (Å)", where)
        check_range(stack.defocus[:, 2], -MOST_DEGREES, MOST_DEGREES, "defocus angle (degrees)", where)
    if stack.phase_shift is not None:
        check_range(stack.phase_shift, -MOST_DEGREES, MOST_DEGREES, "phase shift (degrees)", where)
    if stack.ctf_bfactor is not None:
        # exp(-B/4 s^2) at s = 1/(2 pixel size): -120 Å² at 0.5 Å
        least = -_MOST_AMPLIFIED * 16 * stack.pixel_size**2
        check_range(stack.ctf_bfactor, least, _LARGEST_B_FACTOR, "B-factor of the CTF (Å²)", where)


def checked_poses(stack: "ParticleStack", where: str) -> Poses:
    """Return the poses of `stack`, for whoever uses them.

    Raises
    ------
    InputError
        If it has none, naming the columns that are missing, or an angle or shift is none of a particle.
    """
    columns = [] if stack.table is None else list(stack.table.particles)
    if stack.poses is None:
        missing = ", ".join(column for column in ANGLES if column not in columns)
        raise InputError(f"{where}: has no poses, {missing} missing of the columns {', '.join(ANGLES)}")
    for label in ANGLES:
        if stack.table is not None and label in columns:
            check_range(stack.table.column(label), -MOST_DEGREES, MOST_DEGREES, f"{label} (degrees)", where)
    box = stack.n * stack.pixel_size
    for axis, shifts in zip("XY", stack.poses.shifts.T, strict=True):
        label = f"rlnOrigin{axis}"  # minus the shift
        if f"{label}Angst" in columns:
            check_range(-shifts, -box, box, f"{label}Angst (Å)", where)
        elif label in columns:
            check_range(-shifts / stack.pixel_size, -stack.n, stack.n, f"{label} (pixels)", where)
        else:
            check_range(shifts, -box, box, f"shift in {axis.lower()} (Å)", where)
    return stack.poses


def _check_ctf(defocus: np.ndarray, count: int, groups: Sequence[OpticsGroup], where: str) -> None:
    if defocus.shape != (count, 3):
        raise InputError(f"{where}: defocus has shape {defocus.shape}, expected ({count}, 3)")
    for group in groups:
        if not group.has_ctf:
            raise InputError(
                f"{where}: particles have a defocus, but optics group {shortened(group.name)} has not all of"
                " rlnVoltage, rlnSphericalAberration and rlnAmplitudeContrast"
            )


def shared_pixel_size(path: Path, optics: Sequence[OpticsGroup], stacks: Sequence[MrcStack]) -> float:
    """Return the pixel size of the STAR file, or else of the MRC headers; warn where they differ."""
    stated = [(g.pixel_size, f"optics group {shortened(g.name)}") for g in optics if not math.isnan(g.pixel_size)]
    headers = [(s.pixel_size, str(s.path)) for s in stacks if s.pixel_size is not None]
    if stated:
        sizes, names = zip(*stated, strict=True)
        size = common_pixel_size(sizes, names, str(path))
        others = [(other, name) for other, name in headers if not same_pixel_size(other, size)]
        if others:
            other, name = others[0]
            message = f"{path}: pixel size {size:.4g} Å is used, not {other:.4g} Å as in the header of {name}"
            warnings.warn(message, InputWarning, stacklevel=3)
        return size
    if not headers:
        raise InputError(f"{path}: no pixel size in the STAR file (rlnImagePixelSize) or in the MRC headers")
    sizes, names = zip(*headers, strict=True)
    return common_pixel_size(sizes, names, str(path))
