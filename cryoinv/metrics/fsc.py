"""Fourier shell correlation and gain: two maps compared shell by shell."""

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoinv.errors import InputError
from cryoinv.spaces.spectrum import centred_rfft, radial_mean

Array = TypeVar("Array", Tensor, NDArray[np.floating])


def fourier_shell_correlation(a: Array, b: Array) -> Array:
    r"""Return :math:`FSC_s = \mathrm{Re}\langle A,B\rangle_s / (\|A\|_s\|B\|_s)` of two maps.

    The sums run over the shells ``floor(|k| + 1/2) = s`` of the full spectrum. For a masked FSC, mask the
    maps beforehand.

    Parameters
    ----------
    a, b : Tensor or ndarray, shape (n, n, n), real
        Two maps of equal box size. Images of shape (n, n) give the ring correlation.

    Returns
    -------
    Tensor or ndarray, shape (n//2 + 1,), float64
        Shells 0 to ``n//2``; of the kind of `a`. A shell where either map has no power counts as 0.

    Raises
    ------
    InputError
        If the maps are not cubic or their sizes differ.

    References
    ----------
    Harauz, van Heel (1986), Optik 73, 146.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((8, 8, 8))
    >>> fourier_shell_correlation(x, 2 * x).round(6)
    array([1., 1., 1., 1., 1.])
    """
    A, B, n, ndim = _spectra(a, b)
    fsc = fsc_from_spectra(A, B, n, ndim)
    return fsc if isinstance(a, Tensor) else fsc.numpy()


def fsc_from_spectra(A: Tensor, B: Tensor, n: int, ndim: int = 3) -> Tensor:
    """Return the FSC of two half-spectra that share a phase origin.

    Parameters
    ----------
    A, B : Tensor, shape (n, ..., n, n//2 + 1), complex
        Half-spectra in the layout of ``rfftn``.
    n : int
        Box size.
    ndim : int
        Number of axes.

    Returns
    -------
    Tensor, shape (n//2 + 1,), float64

    Examples
    --------
    >>> X = torch.ones(4, 4, 3, dtype=torch.complex64)
    >>> fsc_from_spectra(X, -X, 4).tolist()
    [-1.0, -1.0, -1.0]
    """
    A, B = A.to(torch.complex128), B.to(torch.complex128)
    cross = radial_mean((A * B.conj()).real, n, ndim)
    norm = radial_mean(A.abs() ** 2, n, ndim).sqrt() * radial_mean(B.abs() ** 2, n, ndim).sqrt()
    return torch.where(norm == 0, 0, cross / norm.masked_fill(norm == 0, 1))


def shell_gain(estimate: Array, truth: Array) -> Array:
    r"""Return :math:`g_s = \mathrm{Re}\langle E,T\rangle_s / \|T\|_s^2`, the truth's amplitude in E.

    1 is a faithful amplitude, 0 none of it; noise in the estimate leaves the expected gain unchanged.

    Parameters
    ----------
    estimate, truth : Tensor or ndarray, shape (n, n, n), real
        Two maps of equal box size and grey scale.

    Returns
    -------
    Tensor or ndarray, shape (n//2 + 1,), float64
        Shells 0 to ``n//2``; of the kind of `estimate`. A shell where the truth has no power counts as 0.

    Raises
    ------
    InputError
        If the maps are not cubic or their sizes differ.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((7, 7, 7))
    >>> shell_gain(0.5 * x, x).round(6)
    array([0.5, 0.5, 0.5, 0.5])
    """
    E, T, n, ndim = _spectra(estimate, truth)
    power = radial_mean(T.abs() ** 2, n, ndim)
    cross = radial_mean((E * T.conj()).real, n, ndim)
    gain = torch.where(power == 0, 0, cross / power.masked_fill(power == 0, 1))
    return gain if isinstance(estimate, Tensor) else gain.numpy()


def _spectra(a: Array, b: Array) -> tuple[Tensor, Tensor, int, int]:
    """Return both half-spectra in double precision, the box size and the number of axes."""
    first, second = (x if isinstance(x, Tensor) else torch.from_numpy(np.array(x, "float64")) for x in (a, b))
    if first.shape != second.shape or len(set(first.shape)) != 1:
        raise InputError(
            f"maps to be compared must be cubic and of one size, "
            f"found shapes {tuple(first.shape)} and {tuple(second.shape)}"
        )
    n, ndim = first.shape[0], first.ndim
    first, second = first.double(), second.to(first.device).double()
    return centred_rfft(first, ndim), centred_rfft(second, ndim), n, ndim
