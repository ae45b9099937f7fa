"""What no image and no volume may be."""

import numpy as np

from cryoinv.errors import InputError

# Sums over a box of squares of larger values overflow single precision.
LARGEST_VALUE = 1e15
MOST_DEGREES = 1e5


def first_bad_image(images: np.ndarray) -> tuple[int, str] | None:
    """Find the first image that is not finite, is constant or has values too large to be squared and summed.

    Parameters
    ----------
    images : ndarray, shape (m, n, n)
        Real images.

    Returns
    -------
    tuple of int and str, or None
        Position of the image and what it contains; None if all are sound.

    Examples
    --------
    >>> first_bad_image(np.stack([np.eye(4), np.full((4, 4), 7.0)]))
    (1, 'is constant (every pixel is 7)')
    """
    flat = images.reshape(len(images), images.shape[1] * images.shape[2])
    with np.errstate(invalid="ignore"):
        low, high = flat.min(axis=1, initial=np.inf), flat.max(axis=1, initial=-np.inf)
    # Written so that NaN, which compares false to everything, counts as bad.
    sound = (high > low) & (high <= LARGEST_VALUE) & (low >= -LARGEST_VALUE)
    if sound.all():
        return None
    row = int(np.argmin(sound))
    if np.isnan(flat[row]).any():
        return row, "contains NaN"
    if np.isinf(flat[row]).any():
        return row, "contains Inf"
    if high[row] > low[row]:
        return row, f"has values from {low[row]:g} to {high[row]:g}, expected none beyond {LARGEST_VALUE:g}"
    return row, f"is constant (every pixel is {low[row]:g})"


def check_cubic(shape: tuple[int, ...], name: str) -> None:
    """Refuse a shape (nz, ny, nx) that is no cube; `name` is what to call it in the message."""
    if len(set(shape)) != 1:
        sides = " x ".join(str(side) for side in reversed(shape))
        raise InputError(f"{name}: the volume is not cubic, {sides} voxels")


def check_volume(volume: np.ndarray, name: str, cubic: bool = True) -> None:
    """Refuse a volume that is not finite, all zero, of senseless size or, where it must be, not a cube.

    Parameters
    ----------
    volume : ndarray, shape (nz, ny, nx)
        Real volume.
    name : str
        What to call it in the message, such as its path.
    cubic : bool
        Whether the three sides must be equal.

    Raises
    ------
    InputError
        If it is not what it must be.
    """
    if cubic:
        check_cubic(volume.shape, name)
    with np.errstate(invalid="ignore"):
        low, high = volume.min(), volume.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        kind = "NaN" if np.isnan(low) else "Inf"
        count = np.count_nonzero(~np.isfinite(volume))
        raise InputError(f"{name}: the volume contains {kind} ({count} of {volume.size} voxels not finite)")
    if low == high == 0:
        raise InputError(f"{name}: the volume is zero everywhere")
    if max(-low, high) > LARGEST_VALUE:
        raise InputError(f"{name}: values from {low:g} to {high:g}, expected none beyond {LARGEST_VALUE:g}")


def check_varies(volume: np.ndarray, name: str) -> None:
    """Refuse a map of one value, in which there is nothing to compare or to project.

    Parameters
    ----------
    volume : ndarray, shape (nz, ny, nx)
        Real and finite volume.
    name : str
        What to call it in the message, such as its path.

    Raises
    ------
    InputError
        If every voxel is the same.
    """
    if volume.min() == volume.max():
        raise InputError(f"{name}: the map is constant, every voxel is {volume.min():g}")


def check_range(values: np.ndarray, low: float, high: float, name: str, where: str) -> None:
    """Refuse numbers outside of a range; the message counts rows from 1.

    Parameters
    ----------
    values : ndarray, shape (m,)
        One number a row.
    low, high : float
        Least and largest that may be.
    name : str
        What they are, with the unit.
    where : str
        File, for the message.

    Raises
    ------
    InputError
        If one is outside.

    Examples
    --------
    >>> check_range(np.array([1.0, 1e300]), 0, 360, "angle (degrees)", "a.star")
    Traceback (most recent call last):
    ...
    cryoinv.errors.InputError: a.star: angle (degrees) of row 2 is 1e+300, expected 0 to 360
    """
    inside = (values >= low) & (values <= high)
    if not inside.all():
        row = int(np.argmin(inside))
        raise InputError(f"{where}: {name} of row {row + 1} is {values[row]:g}, expected {low:g} to {high:g}")
