"""Distribution of viewing directions."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cryoinv.errors import InputError
from cryoinv.plotting.canvas import as_finite, new_figure, save_figure


def plot_orientations(rotations: ArrayLike, path: str | os.PathLike[str], title: str = "") -> Path:
    """Draw the density of viewing directions on the sphere (Mollweide: equal areas), relative to uniform.

    Directions are counted in HEALPix pixels, coarse enough that each would hold 6 particles or more if the
    views were uniform. RELION's rot runs along the equator, the latitude is 90 degrees - tilt.

    Parameters
    ----------
    rotations : array_like, shape (m, 3, 3)
        Rotation matrices, object to image.
    path : str or path-like
        File to write (.png, .pdf or .svg).
    title : str
        Title of the figure.

    Returns
    -------
    Path
        The path.

    Raises
    ------
    InputError
        If the shape is not (m, 3, 3), there is no pose, one is not finite, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from cryoinv.geometry import random_rotations
    >>> folder = Path(tempfile.mkdtemp())
    >>> plot_orientations(random_rotations(99, np.random.default_rng(0)), folder / "views.png").name
    'views.png'
    """
    from matplotlib.patheffects import withStroke

    matrices = as_finite(rotations, "set of poses", "rotations")
    if matrices.ndim != 3 or matrices.shape[1:] != (3, 3):
        raise InputError(f"rotations must have shape (m, 3, 3), found {matrices.shape}")
    longitude, latitude, density = _density(matrices[:, 2])
    figure = new_figure(6.4, 3.2 + 0.3 * bool(title), title)
    axes: Any = figure.add_subplot(projection="mollweide")
    highest = max(2.0, density.max())  # the noise of a uniform distribution should not fill the scale
    mesh = axes.pcolormesh(longitude, latitude, density, vmin=0, vmax=highest, rasterized=True)
    if len(matrices) <= 500:
        x, y, z = matrices[:, 2].T
        axes.plot(np.arctan2(y, x), np.arcsin(np.clip(z, -1, 1)), ".", color="white", markersize=2.5)
    axes.grid(True, color="white", linewidth=0.5, alpha=0.35)
    axes.set_longitude_grid(60)
    axes.set_latitude_grid(30)
    rot, tilt = np.rad2deg(axes.get_xticks()).round(), 90 - np.rad2deg(axes.get_yticks()).round()
    outline = [withStroke(linewidth=1.5, foreground="#00000090")]
    axes.set_xticklabels([f"{t:g}°" for t in rot], color="white", fontsize=8, path_effects=outline)
    axes.set_yticklabels([f"{t:g}°" for t in tilt], fontsize=8)
    axes.set_ylabel("tilt")
    axes.set_xlabel(f"rot   ({len(matrices):,} particles)")
    figure.colorbar(mesh, ax=axes, label="density / uniform density", shrink=0.9, pad=0.02)
    return save_figure(figure, path)


def _density(directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return edges of longitude and latitude in radians and the density of every cell between them."""
    import healpix

    nside = max(k for k in (1, 2, 4, 8, 16) if k == 1 or 6 * 12 * k**2 <= len(directions))
    pixels = healpix.vec2pix(nside, *directions.T)
    counts = np.bincount(pixels, minlength=12 * nside**2)
    longitude, latitude = np.linspace(-np.pi, np.pi, 361), np.linspace(-np.pi / 2, np.pi / 2, 181)
    middle_lat, middle_lon = (latitude[1:] + latitude[:-1]) / 2, (longitude[1:] + longitude[:-1]) / 2
    tilt, rot = np.meshgrid(np.pi / 2 - middle_lat, middle_lon, indexing="ij")
    density = counts[healpix.ang2pix(nside, tilt, rot)] * (len(counts) / len(directions))
    return longitude, latitude, density
