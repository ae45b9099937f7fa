"""Compiled placing and collecting of a Fourier disc's pixels on the CPU; `FourierDisc` holds the readable twins."""

from __future__ import annotations

import numba
import numpy as np
from torch import Tensor

from .trilinear_numba import torch_threads

__all__ = ["collect", "place"]


def place(values: Tensor, tables: tuple[Tensor, Tensor, Tensor], size: int) -> Tensor:
    """Flattened half-spectra (m, size) of values (m, P); tables are positions, paired pixels and their mates."""
    index, paired, mates = map(_numpy, tables)
    out = values.new_empty(len(values), size)
    with torch_threads():
        _place(_numpy(values), index, paired, mates, _numpy(out))
    return out


def collect(spectra: Tensor, tables: tuple[Tensor, Tensor, Tensor], weights: Tensor) -> Tensor:
    """Weighted values (m, P) of flattened half-spectra (m, size), those of mates averaged."""
    index, paired, mates = map(_numpy, tables)
    out = spectra.new_empty(len(spectra), len(weights))
    with torch_threads():
        _collect(_numpy(spectra), index, paired, mates, _numpy(weights.to(out.real.dtype)), _numpy(out))
    return out


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().resolve_conj().contiguous().numpy()


@numba.njit(cache=True, parallel=True)
def _place(values: np.ndarray, index: np.ndarray, paired: np.ndarray, mates: np.ndarray, out: np.ndarray) -> None:
    for m in numba.prange(len(values)):
        row = out[m]
        row[:] = 0
        for p in range(len(index)):
            row[index[p]] = values[m, p]
        for j in range(len(paired)):
            row[mates[j]] = np.conj(values[m, paired[j]])


@numba.njit(cache=True, parallel=True)
def _collect(
    spectra: np.ndarray,
    index: np.ndarray,
    paired: np.ndarray,
    mates: np.ndarray,
    weights: np.ndarray,
    out: np.ndarray,
) -> None:
    for m in numba.prange(len(spectra)):
        row = spectra[m]
        for p in range(len(index)):
            out[m, p] = weights[p] * row[index[p]]
        for j in range(len(paired)):
            p = paired[j]
            out[m, p] = weights[p] / 2 * (row[index[p]] + np.conj(row[mates[j]]))
