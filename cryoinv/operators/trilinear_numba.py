"""Compiled trilinear slices and insertions on the CPU; `trilinear` holds the readable twin and the documentation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numba
import numpy as np
import torch
from torch import Tensor

__all__ = ["insert", "slice_complex"]

_ACCUMULATOR_BYTES = 1 << 31  # of all threads together: at large boxes fewer of them insert


def slice_complex(spectrum: Tensor, rotations: Tensor, pixels: Tensor, scale: float) -> Tensor:
    """Slices (M, P) of a half-spectrum."""
    out = np.empty((len(rotations), len(pixels)), _numpy(spectrum).dtype)
    with _torch_threads():
        _slice(_numpy(spectrum), _numpy(rotations), _pixel_array(pixels, rotations), out, scale)
    return torch.from_numpy(out)


def insert(values: Tensor, rotations: Tensor, pixels: Tensor, scale: float, box: int) -> Tensor:
    """Spectrum (box, box, box//2+1) into which values (M, P) are inserted; real ones are weights."""
    # One accumulator a thread, summed in order: the result depends on the thread count, never on their timing.
    array, shape = _numpy(values), (box, box, box // 2 + 1)
    most = _ACCUMULATOR_BYTES // (array.itemsize * int(np.prod(shape)))
    parts = max(1, min(torch.get_num_threads(), len(rotations), most))
    out = np.zeros((parts, *shape), array.dtype)
    with _torch_threads():
        _insert(array, _numpy(rotations), _pixel_array(pixels, rotations), out, scale)
    return torch.from_numpy(out[0] if parts == 1 else out.sum(0))


def _numpy(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().resolve_conj().numpy())


def _pixel_array(pixels: Tensor, rotations: Tensor) -> np.ndarray:
    return _numpy(pixels.to(rotations.dtype))


@contextmanager
def _torch_threads() -> Iterator[None]:
    """Run on as many threads as torch does, and leave torch's number alone: numba's first call would reset it."""
    threads = torch.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


@numba.njit(cache=True, inline="always")
def _locate(
    rotation: np.ndarray, kx: float, ky: float, scale: float, box: int
) -> tuple[int, int, int, float, float, float, bool]:
    """Lower corner, upper coefficients and mate flag of the sampled point."""
    x = scale * (rotation[0, 0] * kx + rotation[1, 0] * ky)
    y = scale * (rotation[0, 1] * kx + rotation[1, 1] * ky)
    z = scale * (rotation[0, 2] * kx + rotation[1, 2] * ky)
    flipped = x < 0
    if flipped:
        x, y, z = -x, -y, -z
    x0 = min(int(x), box // 2 - 1)
    y0, z0 = int(np.floor(y)), int(np.floor(z))
    return x0, y0, z0, x - x0, y - y0, z - z0, flipped


@numba.njit(cache=True, inline="always")
def _wrap(index: int, box: int) -> int:
    return index + box if index < 0 else (index - box if index >= box else index)


@numba.njit(cache=True, parallel=True, fastmath={"contract", "nsz"})
def _slice(spectrum: np.ndarray, rotations: np.ndarray, pixels: np.ndarray, out: np.ndarray, scale: float) -> None:
    box = spectrum.shape[0]
    one = rotations.dtype.type(1)
    step = rotations.dtype.type(scale)
    for m in numba.prange(rotations.shape[0]):
        rotation = rotations[m]
        for p in range(pixels.shape[0]):
            x, y, z, fx, fy, fz, flipped = _locate(rotation, pixels[p, 0], pixels[p, 1], step, box)
            y0, y1 = _wrap(y, box), _wrap(y + 1, box)
            z0, z1 = _wrap(z, box), _wrap(z + 1, box)
            gx, gy, gz = one - fx, one - fy, one - fz
            value = gz * (
                gy * (gx * spectrum[z0, y0, x] + fx * spectrum[z0, y0, x + 1])
                + fy * (gx * spectrum[z0, y1, x] + fx * spectrum[z0, y1, x + 1])
            ) + fz * (
                gy * (gx * spectrum[z1, y0, x] + fx * spectrum[z1, y0, x + 1])
                + fy * (gx * spectrum[z1, y1, x] + fx * spectrum[z1, y1, x + 1])
            )
            out[m, p] = np.conj(value) if flipped else value


@numba.njit(cache=True, inline="always")
def _add(
    total: np.ndarray,
    x: int,
    y: int,
    z: int,
    fx: float,
    fy: float,
    fz: float,
    value: complex,
    one: float,
) -> None:
    box = total.shape[0]
    y0, y1 = _wrap(y, box), _wrap(y + 1, box)
    z0, z1 = _wrap(z, box), _wrap(z + 1, box)
    gx, gy, gz = one - fx, one - fy, one - fz
    total[z0, y0, x] += gz * gy * gx * value
    total[z0, y0, x + 1] += gz * gy * fx * value
    total[z0, y1, x] += gz * fy * gx * value
    total[z0, y1, x + 1] += gz * fy * fx * value
    total[z1, y0, x] += fz * gy * gx * value
    total[z1, y0, x + 1] += fz * gy * fx * value
    total[z1, y1, x] += fz * fy * gx * value
    total[z1, y1, x + 1] += fz * fy * fx * value


@numba.njit(cache=True, parallel=True)
def _insert(values: np.ndarray, rotations: np.ndarray, pixels: np.ndarray, out: np.ndarray, scale: float) -> None:
    parts, box = out.shape[0], out.shape[1]
    one = rotations.dtype.type(1)
    step = rotations.dtype.type(scale)
    share = (rotations.shape[0] + parts - 1) // parts
    for part in numba.prange(parts):
        for m in range(part * share, min((part + 1) * share, rotations.shape[0])):
            for p in range(pixels.shape[0]):
                x, y, z, fx, fy, fz, flipped = _locate(rotations[m], pixels[p, 0], pixels[p, 1], step, box)
                value = np.conj(values[m, p]) if flipped else values[m, p]  # of a real weight: itself
                _add(out[part], x, y, z, fx, fy, fz, value, one)
