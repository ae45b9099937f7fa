"""Frequencies of half-spectra, and the ideal low-pass filter of a grid."""

import numpy as np
from numpy.typing import NDArray


def frequency_radius(n: int, ndim: int = 3) -> NDArray[np.float64]:
    """Frequency ``|k|`` of every half-spectrum coefficient, in units of ``1 / (n * pixel_size)``.

    Parameters
    ----------
    n : int
        Box size.
    ndim : int
        Number of axes.

    Returns
    -------
    ndarray, shape (n, ..., n, n//2 + 1)

    Examples
    --------
    >>> frequency_radius(4, ndim=2)[1].round(2).tolist()
    [1.0, 1.41, 2.24]
    """
    half = np.arange(n // 2 + 1.0) ** 2
    full = np.fft.fftfreq(n, 1 / n) ** 2
    return np.sqrt(sum((full.reshape((n,) + (1,) * axis) for axis in range(1, ndim)), half))


def band_limit(volume: NDArray[np.floating]) -> NDArray[np.float32]:
    r"""Keep the frequencies with :math:`|k| \le (n-1)/2`, those that projections in every direction have.

    Parameters
    ----------
    volume : ndarray, shape (n, n, n)
        Axes (z, y, x).

    Returns
    -------
    ndarray, shape (n, n, n), float32

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((8, 8, 8))
    >>> bool(np.allclose(band_limit(band_limit(x)), band_limit(x), atol=1e-6))
    True
    """
    n = len(volume)
    spectrum = np.fft.rfftn(np.asarray(volume, dtype=np.float64)) * (frequency_radius(n) <= (n - 1) / 2)
    return np.fft.irfftn(spectrum, s=volume.shape, axes=(0, 1, 2)).astype(np.float32)
