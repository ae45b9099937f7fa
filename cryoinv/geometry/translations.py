"""Grids of in-plane translations."""

import numpy as np
from numpy.typing import NDArray

from cryoinv.errors import InputError


def translation_grid(radius_pixels: float, step_pixels: float = 1.0) -> NDArray[np.float64]:
    """Return the points ``(t_x, t_y)`` of a square lattice inside a disc, by increasing radius.

    Parameters
    ----------
    radius_pixels : float
        Radius of the disc in pixels; 0 gives the origin alone.
    step_pixels : float
        Lattice constant in pixels.

    Returns
    -------
    ndarray, shape (T, 2)
        ``(0, 0)`` comes first.

    Raises
    ------
    InputError
        If the step is not positive or the radius is negative.

    Examples
    --------
    >>> len(translation_grid(3, 1))
    29
    """
    if not (step_pixels > 0 and 0 <= radius_pixels < np.inf):
        raise InputError(
            f"a translation grid needs a step > 0 and a radius >= 0 pixels, "
            f"found step {step_pixels}, radius {radius_pixels}"
        )
    reach = int(radius_pixels / step_pixels + 1e-9)
    axis = np.arange(-reach, reach + 1)
    lattice = np.stack(np.meshgrid(axis, axis, indexing="xy"), axis=-1).reshape(-1, 2)
    squared = np.sum(lattice**2, axis=1)
    inside = squared <= (radius_pixels / step_pixels) ** 2 * (1 + 1e-9)
    order = np.argsort(squared[inside], kind="stable")
    return step_pixels * lattice[inside][order].astype(np.float64)


def translation_children(step_pixels: float) -> NDArray[np.float64]:
    """Return the 4 offsets ``(+-step/4, +-step/4)`` that halve a grid's step.

    Parameters
    ----------
    step_pixels : float
        Lattice constant of the parent grid in pixels; the children's is half of it.

    Returns
    -------
    ndarray, shape (4, 2)

    Examples
    --------
    >>> translation_children(2.0).tolist()
    [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]
    """
    if not step_pixels > 0:
        raise InputError(f"a translation grid needs a step > 0 pixels, found {step_pixels}")
    return step_pixels / 4 * np.array([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
