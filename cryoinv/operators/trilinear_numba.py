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
    nothing = np.empty((0, 0), _numpy(sums).dtype)
    arrays = (nothing if data is None else _rows(data), nothing if weight is None else _numpy(weight))
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
    """Columns of scaled rotations that pixels are turned by, (M, 3, 2), and the pixels (P, 2)."""
    return _numpy(scale * rotations[:, :2].transpose(1, 2)), _numpy(pixels.to(rotations.dtype))


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
def _wrap(index: int, box: int) -> int:
    return index + box if index < 0 else (index - box if index >= box else index)


@numba.njit(cache=True, inline="always")
def _cell(turn: np.ndarray, kx: float, ky: float, box: int) -> tuple[int, int, int, int, float, float, float, bool]:
    """Entries of the sampled point's four lower-x corners, its place between corners, and whether it is a mate."""
    x = turn[0, 0] * kx + turn[0, 1] * ky
    y = turn[1, 0] * kx + turn[1, 1] * ky
    z = turn[2, 0] * kx + turn[2, 1] * ky
    flipped = x < 0
    if flipped:
        x, y, z = -x, -y, -z
    ix = min(int(x), box // 2 - 1)
    floor_y, floor_z = np.floor(y), np.floor(z)
    iy, iz = int(floor_y), int(floor_z)
    half = box // 2 + 1
    y0, y1 = _wrap(iy, box) * half + ix, _wrap(iy + 1, box) * half + ix
    z0, z1 = _wrap(iz, box) * box * half, _wrap(iz + 1, box) * box * half
    return z0 + y0, z0 + y1, z1 + y0, z1 + y1, x - turn.dtype.type(ix), y - floor_y, z - floor_z, flipped


@numba.njit(cache=True, parallel=True, fastmath={"contract", "nsz"})
def _slice(spectrum: np.ndarray, turns: np.ndarray, pixels: np.ndarray, out: np.ndarray, box: int) -> None:
    one = turns.dtype.type(1)
    for m in numba.prange(turns.shape[0]):
        for p in range(pixels.shape[0]):
            a, b, c, d, fx, fy, fz, flipped = _cell(turns[m], pixels[p, 0], pixels[p, 1], box)
            gx, gy, gz = one - fx, one - fy, one - fz
            wa, wb, wc, wd = gz * gy, gz * fy, fz * gy, fz * fy
            a, b, c, d = 2 * a, 2 * b, 2 * c, 2 * d
            real = gx * (wa * spectrum[a] + wb * spectrum[b] + wc * spectrum[c] + wd * spectrum[d])
            imag = gx * (wa * spectrum[a + 1] + wb * spectrum[b + 1] + wc * spectrum[c + 1] + wd * spectrum[d + 1])
            real += fx * (wa * spectrum[a + 2] + wb * spectrum[b + 2] + wc * spectrum[c + 2] + wd * spectrum[d + 2])
            imag += fx * (wa * spectrum[a + 3] + wb * spectrum[b + 3] + wc * spectrum[c + 3] + wd * spectrum[d + 3])
            out[m, 2 * p] = real
            out[m, 2 * p + 1] = -imag if flipped else imag


@numba.njit(cache=True, inline="always")
def _add(total: np.ndarray, entry: int, channels: int, share: float, real: float, imag: float, weight: float) -> None:
    at = entry * channels
    if channels > 1:
        total[at] += share * real
        total[at + 1] += share * imag
    if channels != 2:
        total[at + channels - 1] += share * weight


@numba.njit(cache=True, parallel=True, fastmath={"contract", "nsz"})
def _insert(
    data: np.ndarray, weights: np.ndarray, turns: np.ndarray, pixels: np.ndarray, out: np.ndarray, box: int
) -> None:
    parts, one = out.shape[0], turns.dtype.type(1)
    has_data, has_weights = len(data) > 0, len(weights) > 0
    channels = out.shape[1] // (box * box * (box // 2 + 1))
    share = (turns.shape[0] + parts - 1) // parts
    for part in numba.prange(parts):
        total = out[part]
        real = imag = weight = turns.dtype.type(0)
        for m in range(part * share, min((part + 1) * share, turns.shape[0])):
            for p in range(pixels.shape[0]):
                a, b, c, d, fx, fy, fz, flipped = _cell(turns[m], pixels[p, 0], pixels[p, 1], box)
                if has_data:
                    real, imag = data[m, 2 * p], data[m, 2 * p + 1]
                    imag = -imag if flipped else imag
                if has_weights:
                    weight = weights[m, p]
                gx, gy, gz = one - fx, one - fy, one - fz
                wa, wb, wc, wd = gz * gy, gz * fy, fz * gy, fz * fy
                _add(total, a, channels, wa * gx, real, imag, weight)
                _add(total, a + 1, channels, wa * fx, real, imag, weight)
                _add(total, b, channels, wb * gx, real, imag, weight)
                _add(total, b + 1, channels, wb * fx, real, imag, weight)
                _add(total, c, channels, wc * gx, real, imag, weight)
                _add(total, c + 1, channels, wc * fx, real, imag, weight)
                _add(total, d, channels, wd * gx, real, imag, weight)
                _add(total, d + 1, channels, wd * fx, real, imag, weight)
