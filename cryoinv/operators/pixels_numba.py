"""Compiled placing and collecting of a Fourier disc's pixels on the CPU; `FourierDisc` holds the readable twins."""

from __future__ import annotations

import numba
import numpy as np
from torch import Tensor

from .trilinear_numba import torch_threads

__all__ = ["collect", "place"]


def place(values: Tensor, factors: Tensor | None, tables: tuple[Tensor, Tensor, Tensor], size: int) -> Tensor:
    """Flattened half-spectra (m, size) of values (m, P) times factors (P,).

    Tables are positions, paired pixels and their mates.
    """
    index, paired, mates = map(_numpy, tables)
    out = values.new_empty(len(values), size)
    multiples = None if factors is None else _numpy(factors.to(out.dtype))
    with torch_threads():
        _place(_numpy(values), multiples, index, paired, mates, _numpy(out))
    return out


def collect(spectra: Tensor, weights: Tensor, tables: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Values (m, P) of flattened half-spectra (m, size), mates averaged, times real or complex weights (P,)."""
    index, paired, mates = map(_numpy, tables)
    out = spectra.new_empty(len(spectra), len(weights))
    kind = out.dtype if weights.is_complex() else out.real.dtype
    with torch_threads():
        _collect(_numpy(spectra), index, paired, mates, _numpy(weights.to(kind)), _numpy(out))
    return out


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().resolve_conj().contiguous().numpy()


@numba.njit(cache=True, parallel=True)
def _place(
    values: np.ndarray,
    factors: np.ndarray | None,
    index: np.ndarray,
    paired: np.ndarray,
    mates: np.ndarray,
    out: np.ndarray,
) -> None:
    for m in numba.prange(len(values)):
        row = out[m]
        row[:] = 0
        for p in range(len(index)):
            row[index[p]] = values[m, p] if factors is None else factors[p] * values[m, p]
        for j in range(len(paired)):
            row[mates[j]] = np.conj(row[index[paired[j]]])


@numba.njit(cache=True, parallel=True)
def _collect(
    spectra: np.ndarray,
    index: np.ndarray,
    paired: np.ndarray,
    mates: np.ndarray,
    weights: np.ndarray,
    out: np.ndarray,
) -> None:
    half = weights.real.dtype.type(0.5)
    for m in numba.prange(len(spectra)):
        row = spectra[m]
        for p in range(len(index)):
            out[m, p] = weights[p] * row[index[p]]
        for j in range(len(paired)):
            p = paired[j]
            out[m, p] = weights[p] * half * (row[index[p]] + np.conj(row[mates[j]]))
