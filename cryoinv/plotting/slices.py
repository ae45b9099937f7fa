"""Central slices of maps."""

import os
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from cryoinv.errors import InputError
from cryoinv.plotting.canvas import as_finite, new_figure, require_series, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LETTERS = 24  # that fit above a slice
_PLANES = (("xy", 0), ("xz", 1), ("yz", 2))


def plot_central_slices(
    volumes: Mapping[str, ArrayLike],
    pixel_size: float,
    path: str | os.PathLike[str],
    shared_scale: bool = False,
    title: str = "",
) -> Path:
    """Draw the three slices through the centre of every map, one column per map, with a scale bar.

    Parameters
    ----------
    volumes : mapping of str to array_like, shape (n, n, n)
        Maps, axes (z, y, x), by name.
    pixel_size : float
        Å, the same for all.
    path : str or path-like
        File to write (.png, .pdf or .svg).
    shared_scale : bool
        One grey scale for all maps; by default each map has its own (0.5 to 99.8 % of its slices' values).
    title : str
        Title of the figure.

    Returns
    -------
    Path
        The path.

    Raises
    ------
    InputError
        If there is no map, one is not cubic or not finite, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> plot_central_slices({"map": np.random.rand(8, 8, 8)}, pixel_size=3.0, path=folder / "map.png").name
    'map.png'
    """
    require_series(volumes, "map")
    slices = {name: _central_slices(volume, name) for name, volume in volumes.items()}
    ranges = {name: np.percentile(planes, [0.5, 99.8]) for name, planes in slices.items()}
    if shared_scale:
        every = np.array(list(ranges.values()))
        ranges = dict.fromkeys(ranges, (every[:, 0].min(), every[:, 1].max()))
    figure = new_figure(0.3 + 2.1 * len(slices), 6.5 + 0.3 * bool(title), title)
    grid = figure.subplots(3, len(slices), squeeze=False)
    for column, (name, planes) in enumerate(slices.items()):
        for row, (plane, _) in enumerate(_PLANES):
            axes = grid[row, column]
            low, high = ranges[name]
            axes.imshow(
                planes[row], cmap="gray", vmin=low, vmax=high, origin="lower", interpolation="nearest"
            )
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if column == 0:
                axes.set_ylabel(f"{plane[1]}   ({plane} plane)")
        grid[0, column].set_title(textwrap.fill(name, _LETTERS), fontsize=10)
        _scale_bar(grid[2, column], planes.shape[-1], pixel_size)
    return save_figure(figure, path)


def _central_slices(volume: ArrayLike, name: str) -> np.ndarray:
    array = as_finite(volume, "map", name)
    if array.ndim != 3 or len(set(array.shape)) != 1:
        raise InputError(f"the map {name!r} must be cubic, found shape {array.shape}")
    return np.stack([np.take(array, len(array) // 2, axis=axis) for _, axis in _PLANES])


def _scale_bar(axes: "Axes", n: int, pixel_size: float) -> None:
    """Draw a bar of a round length, about a quarter of the box."""
    target = n * pixel_size / 4
    decade = 10 ** np.floor(np.log10(target))
    length = max(step * decade for step in (1, 2, 5) if step * decade <= target * (1 + 1e-9))
    begin, end, height = 0.06 * n - 0.5, 0.06 * n - 0.5 + length / pixel_size, 0.06 * n
    axes.plot([begin, end], [height, height], color="white", linewidth=3, solid_capstyle="butt")
    middle, label = (begin + end) / 2, f"{length:g} Å"
    axes.text(middle, 1.6 * height, label, color="white", ha="center", va="bottom", fontsize=8.5)
