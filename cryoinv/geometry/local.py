"""Neighbourhoods of a pose in the tangent space of SO(3), for local searches.

The neighbours of a rotation ``R`` are ``D @ R`` with ``D`` from here: small rotations in the image frame.
"""

import numpy as np
from numpy.typing import NDArray

from cryoinv.errors import InputError
from cryoinv.geometry.rotations import exp_rotation


def tangent_ball(step_degrees: float, radius_degrees: float) -> NDArray[np.float64]:
    """Return ``exp(v)`` for ``v`` on a cubic lattice inside a ball, by increasing angle.

    Parameters
    ----------
    step_degrees : float
        Lattice constant in degrees.
    radius_degrees : float
        Largest rotation angle in degrees, at most 180.

    Returns
    -------
    ndarray, shape (L, 3, 3)
        The identity comes first.

    Raises
    ------
    InputError
        If the step is not positive or the radius is outside [0, 180].

    Examples
    --------
    >>> len(tangent_ball(7.5, 22.5))
    123
    """
    if not (step_degrees > 0 and 0 <= radius_degrees <= 180):
        raise InputError(
            f"a tangent ball needs a step > 0 and a radius in [0, 180] degrees, "
            f"found step {step_degrees}, radius {radius_degrees}"
        )
    reach = int(radius_degrees / step_degrees + 1e-9)
    axis = np.arange(-reach, reach + 1)
    lattice = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    squared = np.sum(lattice**2, axis=1)
    inside = squared <= (radius_degrees / step_degrees) ** 2 * (1 + 1e-9)
    order = np.argsort(squared[inside], kind="stable")
    return exp_rotation(np.deg2rad(step_degrees * lattice[inside][order]))
