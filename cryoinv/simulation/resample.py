"""Volumes on another grid."""

import numpy as np
from numpy.typing import NDArray

from cryoinv.simulation.lowpass import band_limit


def resample(
    volume: NDArray[np.floating], pixel_size: float, n: int, new_pixel_size: float
) -> NDArray[np.float32]:
    r"""Volume on another grid about the same centre by band-limited interpolation.

    Along each axis :math:`y_j = \frac1m \sum_{|k| \le K} \sum_i x_i\, e^{2 \pi \imath k (j q/p - i) / m}`,
    indices counted from the central voxels, p and q the old and new pixel sizes, and K below the Nyquist
    frequency of both grids: Fourier cropping (q > p) or padding (q < p) for any ratio. New voxels outside the
    old box are zero. Grey values are kept.

    Parameters
    ----------
    volume : ndarray, shape (m, m, m)
        Axes (z, y, x).
    pixel_size : float
        p in Å.
    n : int
        New box size.
    new_pixel_size : float
        q in Å.

    Returns
    -------
    ndarray, shape (n, n, n), float32

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((9, 9, 9))
    >>> finer = resample(x, 2.0, 18, 1.0)
    >>> bool(np.allclose(finer[1::2, 1::2, 1::2], x, atol=1e-5))
    True
    """
    m, ratio = len(volume), new_pixel_size / pixel_size
    highest = int(min((m - 1) // 2, m / (2 * ratio)))
    k = np.arange(highest + 1)
    old, new = np.arange(m) - m // 2, (np.arange(n) - n // 2) * ratio
    waves = np.exp(2j * np.pi * np.outer(new, k) / m) * np.where(k == 0, 1, 2)
    matrix = (waves @ np.exp(-2j * np.pi * np.outer(k, old) / m)).real / m
    matrix[(new < old[0] - 0.5) | (new > old[-1] + 0.5)] = 0
    resampled = np.asarray(volume, dtype=np.float64)
    for _ in range(3):  # the last axis is contracted and its successor put first: z, y, x again after three
        resampled = np.tensordot(matrix, resampled, axes=(1, 2))
    return band_limit(resampled)
