"""Compiled trilinear slices and insertions on the CPU; `trilinear` holds the readable twin and the documentation.

Arrays are flat and real, arithmetic is that of their own type: complex numbers of one precision met by coordinates of
another would be computed in the higher one, at half the speed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numba
import numpy as np
import torch
from torch import Tensor

__all__ = ["accumulators", "add_slices", "insert", "slice_complex", "torch_threads"]

_ACCUMULATOR_BYTES = 1 << 31  # of all threads together: at large boxes fewer of them insert
_STRIP = 256  # pixels located at a time: few enough to stay in the nearest cache


def slice_complex(spectrum: Tensor, rotations: Tensor, pixels: Tensor, scale: float) -> Tensor:
    """Slices (M, P) of a half-spectrum."""
    out = spectrum.new_empty(len(rotations), len(pixels))
    with torch_threads():
        _slice(_flat(spectrum), *_coordinates(rotations, pixels, scale), _rows(out), spectrum.shape[0])
    return out


def insert(values: Tensor, rotations: Tensor, pixels: Tensor, scale: float, box: int) -> Tensor:
    """Spectrum (box, box, box//2+1) into which values (M, P) are inserted; real ones are weights."""
    data, weight = (values, None) if values.is_complex() else (None, values)
    sums = accumulators(box, 2 if values.is_complex() else 1, values.real.dtype, len(rotations))
    add_slices(sums, rotations, pixels, scale, data, weight)
    total = sums[0] if len(sums) == 1 else sums.sum(0)
    return torch.view_as_complex(total) if values.is_complex() else total[..., 0]


def accumulators(box: int, channels: int, dtype: torch.dtype, most: int = 1 << 30) -> Tensor:
    """Zeros (parts, box, box, box//2+1, channels): one part a thread, `most` of them at most.

    Summed in order they give a result that depends on the number of threads, never on their timing.
    """
    shape = (box, box, box // 2 + 1, channels)
    fitting = _ACCUMULATOR_BYTES // (dtype.itemsize * int(np.prod(shape)))
    parts = max(1, min(torch.get_num_threads(), most, fitting))
    return torch.zeros((parts, *shape), dtype=dtype)


def add_slices(
    sums: Tensor, rotations: Tensor, pixels: Tensor, scale: float, data: Tensor | None, weight: Tensor | None
) -> None:
    """Add slices to accumulators: complex data (M, P) to the first two channels, weights (M, P) to the last."""
    arrays = (None if data is None else _rows(data), None if weight is None else _numpy(weight))
    with torch_threads():
        parts = _numpy(sums).reshape(len(sums), -1)
        _insert(*arrays, *_coordinates(rotations, pixels, scale), parts, sums.shape[1])


def _numpy(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().resolve_conj().numpy())


def _flat(values: Tensor) -> np.ndarray:
    """Complex array as a flat real one."""
    return _numpy(values).reshape(-1).view(_numpy(values.real[:0]).dtype)


def _rows(values: Tensor) -> np.ndarray:
    """Complex rows (M, P) as real ones (M, 2P)."""
    return _flat(values).reshape(len(values), 2 * values.shape[1])


def _coordinates(rotations: Tensor, pixels: Tensor, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Columns of scaled rotations that pixels are turned by, (M, 3, 2), and the pixels, (2, P)."""
    return _numpy(scale * rotations[:, :2].transpose(1, 2)), _numpy(pixels.T.to(rotations.dtype))


@contextmanager
def torch_threads() -> Iterator[None]:
    """Run on as many threads as torch does, and leave torch's number alone: numba's first call would reset it."""
    threads = torch.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


@numba.njit(cache=True, inline="always")
def _wrap(index: int | np.int32, box: int) -> int | np.int32:
    return index + box if index < 0 else (index - box if index >= box else index)


@numba.njit(cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def _locate(
    turn: np.ndarray, pixels: np.ndarray, start: int, count: int, box: int, corners: np.ndarray, places: np.ndarray
) -> None:
    """Entries of each point's four lower-x corners, its place (x, y, z) between corners, and its sign.

    The sign is negative where the Hermitian mate is sampled. There are no branches and no gathers here, so that the
    compiler makes vector instructions of the loop; what reads and writes the spectrum is scalar.
    """
    kind, half = turn.dtype.type, box // 2 + 1
    xx, xy, yx, yy, zx, zy = turn[0, 0], turn[0, 1], turn[1, 0], turn[1, 1], turn[2, 0], turn[2, 1]
    for p in range(count):
        kx, ky = pixels[0, start + p], pixels[1, start + p]
        x, y, z = xx * kx + xy * ky, yx * kx + yy * ky, zx * kx + zy * ky
        sign = kind(1) if x >= 0 else kind(-1)
        x, y, z = sign * x, sign * y, sign * z
        floor_y, floor_z = np.floor(y), np.floor(z)
        ix, iy, iz = min(np.int32(x), np.int32(box // 2 - 1)), np.int32(floor_y), np.int32(floor_z)
        y0, y1 = _wrap(iy, box) * half + ix, _wrap(iy + 1, box) * half + ix
        z0, z1 = _wrap(iz, box) * box * half, _wrap(iz + 1, box) * box * half
        corners[0, p], corners[1, p], corners[2, p], corners[3, p] = z0 + y0, z0 + y1, z1 + y0, z1 + y1
        places[0, p], places[1, p], places[2, p], places[3, p] = x - kind(ix), y - floor_y, z - floor_z, sign


@numba.njit(cache=True, inline="always")
def _shares(x: float, y: float, z: float, one: float) -> tuple[float, float, float, float, float]:
    """Coefficients of the four corners in y and z, and that of the lower x."""
    return (one - z) * (one - y), (one - z) * y, z * (one - y), z * y, one - x


@numba.njit(cache=True, parallel=True, error_model="numpy", fastmath={"contract", "nsz"})
def _slice(spectrum: np.ndarray, turns: np.ndarray, pixels: np.ndarray, out: np.ndarray, box: int) -> None:
    one, pixel_count = turns.dtype.type(1), pixels.shape[1]
    for m in numba.prange(len(turns)):
        corners, places = np.empty((4, _STRIP), np.uint32), np.empty((4, _STRIP), turns.dtype)
        for start in range(0, pixel_count, _STRIP):
            count = min(_STRIP, pixel_count - start)
            _locate(turns[m], pixels, start, count, box, corners, places)
            for p in range(count):
                a, b, c, d = 2 * corners[0, p], 2 * corners[1, p], 2 * corners[2, p], 2 * corners[3, p]
                fx = places[0, p]
                wa, wb, wc, wd, gx = _shares(fx, places[1, p], places[2, p], one)
                real = gx * (wa * spectrum[a] + wb * spectrum[b] + wc * spectrum[c] + wd * spectrum[d])
                imag = gx * (
                    wa * spectrum[a + 1] + wb * spectrum[b + 1] + wc * spectrum[c + 1] + wd * spectrum[d + 1]
                )
                real += fx * (
                    wa * spectrum[a + 2] + wb * spectrum[b + 2] + wc * spectrum[c + 2] + wd * spectrum[d + 2]
                )
                imag += fx * (
                    wa * spectrum[a + 3] + wb * spectrum[b + 3] + wc * spectrum[c + 3] + wd * spectrum[d + 3]
                )
                out[m, 2 * (start + p)] = real
                out[m, 2 * (start + p) + 1] = places[3, p] * imag


@numba.njit(cache=True, parallel=True, error_model="numpy", fastmath={"contract", "nsz"})
def _insert(
    data: np.ndarray | None,
    weights: np.ndarray | None,
    turns: np.ndarray,
    pixels: np.ndarray,
    out: np.ndarray,
    box: int,
) -> None:
    # What is None is known when this is compiled: branches cost nothing, and entries are seen not to be negative.
    if data is None:
        channels = 1
    elif weights is None:
        channels = 2
    else:
        channels = 3
    parts, pixel_count, one = len(out), pixels.shape[1], turns.dtype.type(1)
    share = (len(turns) + parts - 1) // parts
    for part in numba.prange(parts):
        total = out[part]
        corners, places = np.empty((4, _STRIP), np.uint32), np.empty((4, _STRIP), turns.dtype)
        for m in range(part * share, min((part + 1) * share, len(turns))):
            for start in range(0, pixel_count, _STRIP):
                count = min(_STRIP, pixel_count - start)
                _locate(turns[m], pixels, start, count, box, corners, places)
                for p in range(count):
                    fx = places[0, p]
                    wa, wb, wc, wd, gx = _shares(fx, places[1, p], places[2, p], one)
                    a, b, c, d = corners[0, p], corners[1, p], corners[2, p], corners[3, p]
                    a, b, c, d = channels * a, channels * b, channels * c, channels * d
                    if data is not None:
                        real, imag = data[m, 2 * (start + p)], places[3, p] * data[m, 2 * (start + p) + 1]
                        for entry, w in ((a, wa), (b, wb), (c, wc), (d, wd)):
                            total[entry] += w * (gx * real)
                            total[entry + 1] += w * (gx * imag)
                            total[entry + channels] += w * (fx * real)
                            total[entry + channels + 1] += w * (fx * imag)
                    if weights is not None:
                        weight, last = weights[m, start + p], channels - 1
                        for entry, w in ((a, wa), (b, wb), (c, wc), (d, wd)):
                            total[entry + last] += w * (gx * weight)
                            total[entry + channels + last] += w * (fx * weight)
