"""Compiled softmax over pairs of orientations, in place; `PairedGrid._plain_posterior` is its readable twin.

Three sweeps of memory become two, and exponentials are a polynomial that the compiler turns into vector instructions.
"""

from __future__ import annotations

import numba
import numpy as np
import torch

from cryoinv.operators.trilinear_numba import torch_threads

__all__ = ["paired_softmax"]

_LOWEST = np.float32(-80.0)  # exp of less is subnormal: slow, and nothing of the mass
_FAR = np.float32(-3e38)
_BIAS, _SHIFT = np.int32(127), np.int32(23)  # of a float's exponent
_NOTHING, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_LOG2_E = np.float32(1 / np.log(2))
_LN2_HIGH = np.float32(0.693359375)  # few bits, so that multiples are exact
_LN2_LOW = np.float32(np.log(2) - 0.693359375)
# Taylor coefficients: at most ln(2)/2 from zero the next term is 1e-7.
_C2, _C3, _C4, _C5, _C6 = (np.float32(1 / f) for f in (2, 6, 24, 120, 720))


def paired_softmax(
    even: torch.Tensor,
    odd: torch.Tensor,
    offset: torch.Tensor,
    log_translation_prior: torch.Tensor,
    mix: bool = True,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Turn products into sums and differences of exponentiated scores, in place.

    Scores are ``even + odd`` of the first and ``even - odd`` of the second orientation of a pair, plus `offset` and
    `log_translation_prior`; the largest of each image is taken off before they are exponentiated.

    Parameters
    ----------
    even, odd : torch.Tensor, shape (I T, pairs), float32
        Products, overwritten.
    offset : torch.Tensor, shape (I, 2 pairs), float32
        Of all firsts, then of all seconds.
    log_translation_prior : torch.Tensor, shape (T,), float32
        Of every translation.
    mix : bool
        Whether sums and differences are wanted; without, `even` and `odd` are left as they come.

    Returns
    -------
    orientations : torch.Tensor, shape (I, 2 pairs)
        Exponentiated scores, summed over translations.
    translations : torch.Tensor, shape (I, T)
        The same, summed over orientations.
    sums : torch.Tensor, shape (I, 4), float64
        Largest score s; sums of e = exp(score - s), of e log e, of e².
    best : torch.Tensor, shape (I,), int64
        Flat index into (T, 2 pairs) of the largest score.
    """
    images, pairs, count = len(offset), even.shape[1], len(log_translation_prior)
    orientations = np.empty((images, 2 * pairs), np.float32)
    translations = np.empty((images, count), np.float32)
    sums, best = np.empty((images, 4)), np.empty(images, np.int64)
    with torch_threads():
        _softmax(
            even.numpy(),
            odd.numpy(),
            np.ascontiguousarray(offset.numpy()),
            log_translation_prior.numpy(),
            orientations,
            translations,
            sums,
            best,
            mix,
        )
    return tuple(torch.from_numpy(a) for a in (orientations, translations, sums, best))  # type: ignore[return-value]


@numba.njit(cache=True, fastmath=True)
def _scores(even: np.ndarray, odd: np.ndarray, offset: np.ndarray, shift: np.float32) -> np.float32:
    """Scores of one row, in place, and the largest."""
    pairs = len(even)
    highest = _FAR
    for k in range(pairs):
        first = even[k] + odd[k] + offset[k] + shift
        second = even[k] - odd[k] + offset[pairs + k] + shift
        even[k], odd[k] = first, second
        highest = max(highest, max(first, second))
    return highest


@numba.njit(cache=True, inline="always")
def _whole(x: np.float32) -> np.int32:
    """Nearest power of two to exp(x), x <= 0."""
    return np.int32(x * _LOG2_E - _HALF)


@numba.njit(cache=True, inline="always")
def _rest(x: np.float32) -> np.float32:
    """Exponential of what that power of two leaves."""
    n = np.float32(_whole(x))
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    return ((((_C6 * r + _C5) * r + _C4) * r + _C3) * r + _C2) * r * r + r + _ONE


@numba.njit(cache=True, fastmath=True)
def _exponentiate(
    scores: np.ndarray, highest: np.float32, mass: np.ndarray, bits: np.ndarray, powers: np.ndarray, sums: np.ndarray
) -> np.float32:
    """Exponentials of scores in place, added to masses and sums; short loops over few arrays become vector code."""
    for k in range(len(scores)):
        x = max(scores[k] - highest, _LOWEST)
        bits[k] = (_whole(x) + _BIAS) << _SHIFT  # a float of this exponent
    total, entropy, square = _NOTHING, _NOTHING, _NOTHING
    for k in range(len(scores)):
        x = max(scores[k] - highest, _LOWEST)
        p = _rest(x) * powers[k] if scores[k] - highest >= _LOWEST else _NOTHING
        total += p
        entropy += p * x
        square += p * p
        mass[k] += p
        scores[k] = p
    sums[1] += total
    sums[2] += entropy
    sums[3] += square
    return total


@numba.njit(cache=True, fastmath=True)
def _mix(first: np.ndarray, second: np.ndarray) -> None:
    """Sums and differences, in place."""
    for k in range(len(first)):
        p, q = first[k], second[k]
        first[k], second[k] = p + q, p - q


@numba.njit(cache=True, parallel=True)
def _softmax(
    even: np.ndarray,
    odd: np.ndarray,
    offset: np.ndarray,
    shifts: np.ndarray,
    orientations: np.ndarray,
    translations: np.ndarray,
    sums: np.ndarray,
    best: np.ndarray,
    mix: bool,
) -> None:
    pairs, count = even.shape[1], len(shifts)
    for i in numba.prange(len(offset)):
        highest, row = _FAR, 0
        for t in range(count):
            largest = _scores(even[i * count + t], odd[i * count + t], offset[i], shifts[t])
            if largest > highest:
                highest, row = largest, t
        place = 0
        for k in range(pairs):
            if even[i * count + row, k] == highest:
                place = k
            elif odd[i * count + row, k] == highest:
                place = pairs + k
        best[i] = row * 2 * pairs + place
        orientations[i] = 0
        sums[i] = 0
        sums[i, 0] = highest
        bits = np.empty(pairs, np.int32)
        powers = bits.view(np.float32)
        for t in range(count):
            first, second = even[i * count + t], odd[i * count + t]
            translations[i, t] = _exponentiate(first, highest, orientations[i, :pairs], bits, powers, sums[i])
            translations[i, t] += _exponentiate(second, highest, orientations[i, pairs:], bits, powers, sums[i])
            if mix:
                _mix(first, second)
