r"""Atoms to a map of the electrostatic potential, exact on the Fourier grid.

The map is the sum over atoms of Gaussian-smeared electron scattering factors,

.. math:: \hat V(f) = \frac{h^2}{2 \pi m_e e}
          \sum_a o_a\, f_{e,a}(|f|)\, e^{-B_a |f|^2 / 4}\, e^{-2 \pi i f \cdot r_a},

in volts after the inverse transform, and positive: protein is brighter than the solvent. The solvent is flat
and zero, as vacuum (no bulk-solvent or ice term), hydrogens are not added, anisotropic B-factors not used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cryoinv.errors import InputError
from cryoinv.simulation.atoms import elements_of, potential_of

if TYPE_CHECKING:
    from cryoinv.io import AtomicModel

DEFAULT_B_FACTOR = 80.0
"""B-factor in Å^2 of atoms whose own is not known (not positive)."""


def potential_map(
    model: AtomicModel,
    n: int,
    pixel_size: float,
    b_factor: float = 0.0,
    default_b_factor: float = DEFAULT_B_FACTOR,
) -> NDArray[np.float32]:
    r"""Potential map :math:`V(r) = \sum_a V_a(r - r_a)` in volts, band-limited to :math:`|k| \le (n-1)/2`.

    There is no sampling error: the Fourier coefficients inside the sphere are those of the continuous
    potential (repeated with the period of the box), those outside are zero. Sharp features therefore ripple
    slightly into the solvent, as in Fourier-cropped images; a larger `b_factor` damps that.

    Parameters
    ----------
    model : AtomicModel
        Atoms; their centre of mass is put at voxel ``n//2``.
    n : int
        Box size.
    pixel_size : float
        In Å.
    b_factor : float
        Added to the B-factor of every atom, in Å^2.
    default_b_factor : float
        B-factor in Å^2 of atoms whose own is not positive, which means not known.

    Returns
    -------
    ndarray, shape (n, n, n), float32
        Axes (z, y, x).

    Raises
    ------
    InputError
        If the molecule does not fit into the box, a total B-factor is negative, an element has no scattering
        factor, or an argument is not positive.

    References
    ----------
    L.-M. Peng et al., Acta Cryst. A52 (1996) 257-276; D. Kimanius et al. (2020), section 3.1 (flat solvent).

    Examples
    --------
    The mean of the map is the forward scattering of its atoms:

    >>> from cryoinv.io import AtomicModel
    >>> carbon = AtomicModel(np.zeros((1, 3)), np.array([6]), np.array([100.0]), np.ones(1), "C")
    >>> volume = potential_map(carbon, n=8, pixel_size=3.0)
    >>> round(float(volume.sum()) * 3.0**3 / 47.877647, 3)
    2.509
    """
    _check_grid(n, pixel_size)
    centre = centre_of_mass(model)
    check_fits(model.positions - centre, n, pixel_size)
    b_factors = np.where(model.b_factors > 0, model.b_factors, default_b_factor) + b_factor
    if not (b_factors >= 0).all():
        raise InputError(f"total B-factors must be finite and not negative, found {np.min(b_factors):g} Å^2")
    return potential_of(elements_of(model, centre, default_b_factor), n, pixel_size, b_factor).float().numpy()


def centre_of_mass(model: AtomicModel) -> NDArray[np.float64]:
    """Centre of mass in Å, (x, y, z), weighted with atomic masses and occupancies.

    Parameters
    ----------
    model : AtomicModel
        At least one atom.

    Returns
    -------
    ndarray, shape (3,)

    Raises
    ------
    InputError
        If no atom has a positive occupancy.

    Examples
    --------
    >>> from cryoinv.io import AtomicModel
    >>> model = AtomicModel([[0.0, 0, 0], [2.0, 0, 0]], [6, 6], [0.0, 0], [1.0, 1], "C2")
    >>> centre_of_mass(model).tolist()
    [1.0, 0.0, 0.0]
    """
    import gemmi

    masses = np.array([gemmi.Element(int(z)).weight for z in model.atomic_numbers]) * model.occupancies
    if not masses.sum() > 0:
        raise InputError(f"structure {model.name!r} has no atoms of positive occupancy")
    return np.average(model.positions, axis=0, weights=masses)


def model_diameter(model: AtomicModel) -> float:
    """Largest distance between two atoms, in Å.

    Parameters
    ----------
    model : AtomicModel
        At least one atom.

    Returns
    -------
    float

    Examples
    --------
    >>> from cryoinv.io import AtomicModel
    >>> model = AtomicModel([[0.0, 0, 0], [3.0, 4.0, 0]], [6, 6], [0.0, 0], [1.0, 1], "C2")
    >>> model_diameter(model)
    5.0
    """
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import pdist

    points = model.positions
    if len(points) > 100:  # two farthest points are vertices of the hull ("QJ": also where it is flat)
        points = points[ConvexHull(points, qhull_options="QJ").vertices]
    return float(pdist(points).max(initial=0.0))


def check_fits(positions: NDArray[np.float64], n: int, pixel_size: float, max_shift: float = 0.0) -> None:
    """Raise unless atoms about the origin stay inside the box in every orientation and at every shift.

    Parameters
    ----------
    positions : ndarray, shape (N, 3)
        In Å, about the point that is put at the centre of the box.
    n : int
        Box size.
    pixel_size : float
        In Å.
    max_shift : float
        Largest shift in Å.

    Raises
    ------
    InputError
        If ``2 * (largest radius + max_shift)`` exceeds the box.

    Examples
    --------
    >>> check_fits(np.array([[0.0, 0.0, 50.0]]), 32, 3.0)
    Traceback (most recent call last):
    ...
    cryoinv.errors.InputError: the molecule needs 100 Å in every orientation about its centre of mass,
    the box is 96 Å (32 pixels of 3 Å): use at least 34 pixels
    """
    radius = float(np.sqrt((positions**2).sum(axis=1).max()))
    needed, box = 2 * (radius + max_shift), n * pixel_size
    if needed > box:
        shifted = f" with shifts up to {max_shift:g} Å" if max_shift else ""
        raise InputError(
            f"the molecule needs {needed:.0f} Å in every orientation about its centre of mass{shifted}, "
            f"the box is {box:g} Å ({n} pixels of {pixel_size:g} Å): "
            f"use at least {int(np.ceil(needed / pixel_size))} pixels"
        )


def _check_grid(n: int, pixel_size: float) -> None:
    if n < 4:
        raise InputError(f"box size is {n}, expected at least 4")
    if not (np.isfinite(pixel_size) and pixel_size > 0):
        raise InputError(f"pixel size is {pixel_size} Å, expected a positive number")
