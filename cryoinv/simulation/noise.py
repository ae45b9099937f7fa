r"""Simulated noise: Gaussian, independent between particles, of unit variance, with a radial power."""

import numpy as np
from numpy.typing import NDArray

from cryoinv.errors import InputError
from cryoinv.spaces.spectrum import hermitian_weights, shell_indices

NOISE_KINDS = ("white", "coloured")

COLOURED_EXCESS = 9.0
"""Power of coloured noise at frequency 0 above its white floor, in units of the floor."""

COLOURED_LENGTH = 40.0
"""Length in Å at whose frequency that excess has halved."""


def noise_power(n: int, pixel_size: float, kind: str = "white") -> NDArray[np.float64]:
    r"""Power :math:`\sigma^2_s` of the orthonormal image transform on every shell s, the corners included.

    White noise has :math:`\sigma^2_s = 1`. Coloured noise has a white floor and an excess that falls off with
    frequency, :math:`\sigma^2_s = c\,(1 + 9 / (1 + (s / s_0)^2))`, with shell :math:`s_0` at 1/40 Å;
    c makes the mean over all pixels of the spectrum, which is the variance per pixel, equal to 1.

    Parameters
    ----------
    n : int
        Box size.
    pixel_size : float
        p in Å.
    kind : {"white", "coloured"}
        Which of the two.

    Returns
    -------
    ndarray, shape (shells,)
        Shells 0 to that of the corner, beyond ``n//2``.

    Raises
    ------
    InputError
        If `kind` is neither.

    Examples
    --------
    >>> power = noise_power(64, 3.0, "coloured")
    >>> round(float(power[0] / power[32]), 1)
    8.3
    """
    if kind not in NOISE_KINDS:
        raise InputError(f"noise is {kind!r}, expected one of {', '.join(NOISE_KINDS)}")
    shells = shell_indices(n, ndim=2).numpy()
    profile = np.ones(shells.max() + 1)
    if kind == "coloured":
        scaled = np.arange(len(profile)) * COLOURED_LENGTH / (n * pixel_size)
        profile += COLOURED_EXCESS / (1 + scaled**2)
    return profile * n**2 / (hermitian_weights(n).numpy() * profile[shells]).sum()


def draw_noise(n: int, power: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    """One image of noise with the given power on its shells.

    Parameters
    ----------
    n : int
        Box size.
    power : ndarray, shape (shells,)
        As from `noise_power`.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray, shape (n, n), float32

    Examples
    --------
    >>> draw_noise(8, noise_power(8, 1.0), np.random.default_rng(0)).shape
    (8, 8)
    """
    noise = rng.standard_normal((n, n), dtype=np.float32)
    if np.all(power == power[0]):
        return noise * np.float32(np.sqrt(power[0]))
    amplitude = np.sqrt(power[shell_indices(n, ndim=2).numpy()])
    return np.fft.irfft2(np.fft.rfft2(noise) * amplitude, s=(n, n)).astype(np.float32)
