"""Electron scattering factors of neutral atoms, as sums of five Gaussians."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoinv.errors import InputError

VOLT_SQUARE_ANGSTROM = 47.877647
r"""Potential in V of 1 Å of scattering amplitude in 1 Å^3, :math:`h^2 / (2 \pi m_e e)` in V Å^2 (CODATA)."""


def gaussian_coefficients(atomic_number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Coefficients of :math:`f_e(f) = \sum_{i=1}^5 a_i\, e^{-b_i f^2 / 4}` of one element, f in 1/Å.

    Parameters
    ----------
    atomic_number : int
        1 (hydrogen) to 98 (californium).

    Returns
    -------
    a : ndarray, shape (5,)
        Amplitudes in Å.
    b : ndarray, shape (5,)
        Widths in Å^2, in the units of B-factors.

    Raises
    ------
    InputError
        If the table has no such element.

    References ---------- International Tables for Crystallography C (2006), table 4.3.2.2 (L.-M. Peng et al.,
    Acta Cryst. A52 (1996) 257-276), as it comes with gemmi.

    Examples
    --------
    >>> a, b = gaussian_coefficients(6)
    >>> float(a.sum().round(4))
    2.5088
    """
    import gemmi

    if not 1 <= atomic_number <= 98:
        raise InputError(f"no electron scattering factor for atomic number {atomic_number}, expected 1 to 98")
    table = gemmi.Element(int(atomic_number)).c4322
    return np.array(table.a), np.array(table.b)


def scattering_factor(atomic_number: int, frequency: ArrayLike) -> NDArray[np.float64]:
    r"""Electron scattering factor :math:`f_e(f)` in Å; :math:`f = 2 \sin\theta / \lambda` in 1/Å.

    Parameters
    ----------
    atomic_number : int
        1 to 98.
    frequency : array_like
        Spatial frequency in 1/Å.

    Returns
    -------
    ndarray, same shape
        Amplitude in Å.

    Examples
    --------
    Oxygen scatters less than carbon at low frequency and more at high:

    >>> (scattering_factor(8, [0.1, 1.0]) > scattering_factor(6, [0.1, 1.0])).tolist()
    [False, True]
    """
    a, b = gaussian_coefficients(atomic_number)
    quarter_square = np.asarray(frequency, dtype=np.float64)[..., None] ** 2 / 4
    return (a * np.exp(-b * quarter_square)).sum(axis=-1)
