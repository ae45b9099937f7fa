"""What slices and insertions do at a point: find its neighbours in the half-spectrum, and share a value among them."""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["STRIP", "deposit", "locate", "shares", "wrap"]

STRIP = 256  # pixels located at a time: few enough to stay in the nearest cache


@numba.njit(cache=True, inline="always")
def wrap(index: int | np.int32, box: int) -> int | np.int32:
    """Row of a periodic axis, for an index that is at most one period off."""
    return index + box if index < 0 else (index - box if index >= box else index)


# Rounded as IEEE says, so that insertion by tiles finds the very same neighbours when it sorts: no fused operations.
@numba.njit(cache=True, error_model="numpy")
def locate(
    turn: np.ndarray, columns: np.ndarray, rows: np.ndarray, box: int, corners: np.ndarray, places: np.ndarray
) -> None:
    """Where the points of a strip of pixels lie, which are given as frequencies kx and ky.

    Found are entries of each point's four lower-x corners, its place (x, y, z) between corners, and its sign, negative
    where the Hermitian mate is sampled. There are no branches and no gathers here, so that the compiler makes vector
    instructions of the loop; what reads and writes the spectrum is scalar.
    """
    kind, half = turn.dtype.type, box // 2 + 1
    xx, xy, yx, yy, zx, zy = turn[0, 0], turn[0, 1], turn[1, 0], turn[1, 1], turn[2, 0], turn[2, 1]
    for p in range(len(columns)):
        kx, ky = columns[p], rows[p]
        x, y, z = xx * kx + xy * ky, yx * kx + yy * ky, zx * kx + zy * ky
        sign = kind(1) if x >= 0 else kind(-1)
        x, y, z = sign * x, sign * y, sign * z
        floor_y, floor_z = np.floor(y), np.floor(z)
        ix, iy, iz = min(np.int32(x), np.int32(box // 2 - 1)), np.int32(floor_y), np.int32(floor_z)
        y0, y1 = wrap(iy, box) * half + ix, wrap(iy + 1, box) * half + ix
        z0, z1 = wrap(iz, box) * box * half, wrap(iz + 1, box) * box * half
        corners[0, p], corners[1, p], corners[2, p], corners[3, p] = z0 + y0, z0 + y1, z1 + y0, z1 + y1
        places[0, p], places[1, p], places[2, p], places[3, p] = x - kind(ix), y - floor_y, z - floor_z, sign


@numba.njit(cache=True, inline="always")
def shares(x: float, y: float, z: float, one: float) -> tuple[float, float, float, float, float]:
    """Coefficients of the four corners in y and z, and that of the lower x."""
    return (one - z) * (one - y), (one - z) * y, z * (one - y), z * y, one - x


@numba.njit(cache=True, error_model="numpy", fastmath={"contract", "nsz"}, forceinline=True)
def deposit(
    data: np.ndarray | None,
    weights: np.ndarray | None,
    pixel: int,
    corners: np.ndarray,
    places: np.ndarray,
    p: int,
    total: np.ndarray,
) -> None:
    """Add a pixel of a slice, located at p, to its eight neighbours."""
    # What is None is known when this is compiled: branches cost nothing, and entries are seen not to be negative.
    if data is None:
        channels = 1
    elif weights is None:
        channels = 2
    else:
        channels = 3
    fx = places[0, p]
    wa, wb, wc, wd, gx = shares(fx, places[1, p], places[2, p], total.dtype.type(1))
    a, b, c, d = corners[0, p], corners[1, p], corners[2, p], corners[3, p]
    a, b, c, d = channels * a, channels * b, channels * c, channels * d
    if data is not None:
        real, imag = data[2 * pixel], places[3, p] * data[2 * pixel + 1]
        for entry, w in ((a, wa), (b, wb), (c, wc), (d, wd)):
            total[entry] += w * (gx * real)
            total[entry + 1] += w * (gx * imag)
            total[entry + channels] += w * (fx * real)
            total[entry + channels + 1] += w * (fx * imag)
    if weights is not None:
        weight, last = weights[pixel], channels - 1
        for entry, w in ((a, wa), (b, wb), (c, wc), (d, wd)):
            total[entry + last] += w * (gx * weight)
            total[entry + channels + last] += w * (fx * weight)
