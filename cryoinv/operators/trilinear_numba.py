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

from .trilinear_point_numba import STRIP, deposit, locate, shares
from .trilinear_tiles_numba import insert_by_tiles, tiles_for

__all__ = ["accumulators", "add_slices", "insert", "parts_for", "slice_complex", "torch_threads"]

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
    channels, dtype = 2 if values.is_complex() else 1, values.real.dtype
    most = parts_for(pixels, scale, channels * dtype.itemsize)
    sums = accumulators(box, channels, dtype, min(most, len(rotations)))
    add_slices(sums, rotations, pixels, scale, data, weight)
    total = sums[0] if len(sums) == 1 else sums.sum(0)
    return torch.view_as_complex(total) if values.is_complex() else total[..., 0]


def parts_for(pixels: Tensor, scale: float, entry_bytes: int) -> int:
    """How many accumulators are of use: one where insertion goes by tiles, as many as there are threads elsewhere."""
    return 1 if tiles_for(pixels, scale, entry_bytes) else torch.get_num_threads()


def accumulators(box: int, channels: int, dtype: torch.dtype, most: int) -> Tensor:
    """Zeros (parts, box, box, box//2+1, channels): `most` parts, fewer where they would take too much memory.

    Summed in order they give a result that depends on the number of threads, never on their timing.
    """
    shape = (box, box, box // 2 + 1, channels)
    fitting = _ACCUMULATOR_BYTES // (dtype.itemsize * int(np.prod(shape)))
    parts = max(1, min(most, fitting))
    return torch.zeros((parts, *shape), dtype=dtype)


def add_slices(
    sums: Tensor, rotations: Tensor, pixels: Tensor, scale: float, data: Tensor | None, weight: Tensor | None
) -> None:
    """Add slices to accumulators: complex data (M, P) to the first two channels, weights (M, P) to the last."""
    values, lumps = None if data is None else _rows(data), None if weight is None else _numpy(weight)
    turns, columns = _coordinates(rotations, pixels, scale)
    parts, box = _numpy(sums).reshape(len(sums), -1), sums.shape[1]
    tiles = tiles_for(pixels, scale, sums.shape[-1] * sums.dtype.itemsize)
    with torch_threads():
        if tiles:
            insert_by_tiles(values, lumps, turns, columns, parts[0], box, tiles)
        else:
            _insert(values, lumps, turns, columns, parts, box)


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


@numba.njit(cache=True, parallel=True, error_model="numpy", fastmath={"contract", "nsz"})
def _slice(spectrum: np.ndarray, turns: np.ndarray, pixels: np.ndarray, out: np.ndarray, box: int) -> None:
    one, pixel_count = turns.dtype.type(1), pixels.shape[1]
    for m in numba.prange(len(turns)):
        corners, places = np.empty((4, STRIP), np.uint32), np.empty((4, STRIP), turns.dtype)
        for start in range(0, pixel_count, STRIP):
            columns, rows = pixels[0, start : start + STRIP], pixels[1, start : start + STRIP]
            locate(turns[m], columns, rows, box, corners, places)
            for p in range(len(columns)):
                a, b, c, d = 2 * corners[0, p], 2 * corners[1, p], 2 * corners[2, p], 2 * corners[3, p]
                fx = places[0, p]
                wa, wb, wc, wd, gx = shares(fx, places[1, p], places[2, p], one)
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
    parts, pixel_count = len(out), pixels.shape[1]
    share = (len(turns) + parts - 1) // parts
    for part in numba.prange(parts):
        corners, places = np.empty((4, STRIP), np.uint32), np.empty((4, STRIP), turns.dtype)
        for m in range(part * share, min((part + 1) * share, len(turns))):
            values = None if data is None else data[m]
            lumps = None if weights is None else weights[m]
            for start in range(0, pixel_count, STRIP):
                columns, rows = pixels[0, start : start + STRIP], pixels[1, start : start + STRIP]
                locate(turns[m], columns, rows, box, corners, places)
                for p in range(len(columns)):
                    deposit(values, lumps, start + p, corners, places, p, out[part])
