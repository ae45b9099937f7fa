"""Radial filters of volumes."""

import numpy as np
from numpy.typing import NDArray

from cryoinv.errors import InputError


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


def low_pass(
    volume: NDArray[np.floating], pixel_size: float, resolution: float, edge: float = 2.0
) -> NDArray[np.float32]:
    r"""Low-pass filter :math:`\hat y_k = h(|k|)\, \hat x_k` with a raised-cosine edge.

    With :math:`s = n\,p / d` the cut-off in shells and w the `edge`, h is 1 below :math:`s - w/2`, 0 beyond
    :math:`s + w/2` and :math:`\tfrac12 + \tfrac12 \cos(\pi (|k| - s + w/2) / w)` between: ½ at d.

    Parameters
    ----------
    volume : ndarray, shape (n, n, n)
        Axes (z, y, x).
    pixel_size : float
        In Å.
    resolution : float
        d in Å; not below twice the pixel size.
    edge : float
        Width of the edge in shells.

    Returns
    -------
    ndarray, shape (n, n, n), float32

    Raises
    ------
    InputError
        If the resolution is beyond the Nyquist frequency or coarser than the box.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((16, 16, 16))
    >>> y = low_pass(x, pixel_size=3.0, resolution=12.0)
    >>> bool(np.isclose(x.mean(), y.mean())), bool(y.std() < 0.5 * x.std())
    (True, True)
    """
    n = len(volume)
    if not 2 * pixel_size <= resolution <= n * pixel_size:
        raise InputError(
            f"cannot low-pass to {resolution:g} Å: {n} pixels of {pixel_size:g} Å hold resolutions "
            f"from {n * pixel_size:g} to {2 * pixel_size:g} Å"
        )
    position = (frequency_radius(n) - n * pixel_size / resolution) / edge + 0.5
    return _filter(volume, 0.5 + 0.5 * np.cos(np.pi * position.clip(0, 1)))


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
    return _filter(volume, frequency_radius(n) <= (n - 1) / 2)


def _filter(volume: NDArray[np.floating], transfer: NDArray) -> NDArray[np.float32]:
    """Multiply the spectrum with a real, radial transfer function (which needs no phase origin)."""
    spectrum = np.fft.rfftn(np.asarray(volume, dtype=np.float64)) * transfer
    return np.fft.irfftn(spectrum, s=volume.shape, axes=(0, 1, 2)).astype(np.float32)
