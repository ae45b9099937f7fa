"""What all figures share: size, colours, axes in Å, and saving whole or not at all.

Figures are made without pyplot, so that drawing leaves no state behind and needs no display.
"""

import os
from collections.abc import Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cryoinv.errors import InputError
from cryoinv.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind readers too; the darkest first.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
GREY = "#606060"
_DASHES = ("-", (0, (6, 2)), (0, (2, 2)), (0, (6, 2, 2, 2)))
_FORMATS = (".png", ".pdf", ".svg")
_ROUND = (500, 200, 100, 50, 30, 20, 15, 12, 10, 9, 8, 7, 6, 5, 4.5, 4, 3.5, 3, 2.5, 2.2, 2, 1.8, 1.6, 1.4)


def new_figure(width: float, height: float, title: str = "") -> "Figure":
    """Return an empty figure with an Agg canvas.

    Parameters
    ----------
    width, height : float
        Inches.
    title : str
        Title, if any.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def new_chart(series: Sized, what: str, height: float, title: str = "") -> "tuple[Figure, Axes]":
    """Return a figure for named series with its only axes, free of what does not carry information.

    Parameters
    ----------
    series : mapping of str to array_like
        What will be drawn; each has a line in the legend below the axes.
    what : str
        One of the series, in words.
    height : float
        Inches, without the legend.
    title : str
        Title, if any.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : matplotlib.axes.Axes

    Raises
    ------
    InputError
        If there is nothing to draw.
    """
    require_series(series, what)
    figure = new_figure(6.4, height + 0.2 * len(series), title)
    axes = figure.add_subplot()
    axes.spines[["right", "top"]].set_visible(False)
    axes.grid(True, color="#E6E6E6", linewidth=0.7)
    axes.set_axisbelow(True)
    return figure, axes


def line_style(index: int) -> dict[str, Any]:
    """Colour and dashes of a curve among many: more than there are colours are told apart by their dashes.

    Examples
    --------
    >>> line_style(0), line_style(7)["color"], line_style(7)["linestyle"]
    ({'color': '#0072B2', 'linestyle': '-'}, '#0072B2', (0, (6, 2)))
    """
    round_, colour = divmod(index, len(COLOURS))
    return {"color": COLOURS[colour], "linestyle": _DASHES[round_ % len(_DASHES)]}


def save_figure(figure: "Figure", path: str | os.PathLike[str], dpi: int = 150) -> Path:
    """Write a figure under its name once it is complete.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : str or path-like
        Ends in .png, .pdf or .svg.
    dpi : int
        Pixels per inch.

    Returns
    -------
    Path
        The path.

    Raises
    ------
    InputError
        If the ending is another or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        raise InputError(f"{path}: a figure's name must end in {', '.join(_FORMATS)}, found {path.suffix!r}")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=dpi, format=path.suffix[1:].lower())
    return path


def angstrom_ticks(axis: "Axis", lowest: float, highest: float, room: float = 0.07) -> None:
    """Label an axis of spatial frequency (1/Å) by round resolutions in Å.

    Parameters
    ----------
    axis : matplotlib.axis.Axis
    lowest, highest : float
        Limits of the axis in 1/Å.
    room : float
        Least distance between labels as a part of the axis.
    """
    gap = room * (highest - lowest)
    chosen: list[float] = []
    for resolution in reversed(_ROUND):
        inside = lowest + gap <= 1 / resolution <= highest * (1 + 1e-9)
        if inside and (not chosen or 1 / chosen[-1] - 1 / resolution >= gap):
            chosen.append(resolution)
    axis.set_ticks([1 / r for r in chosen], labels=[f"{r:g}" for r in chosen])


def require_series(series: Sized, what: str) -> None:
    """Raise an `InputError` if there is nothing to draw."""
    if not len(series):
        raise InputError(f"there is no {what} to draw")


def as_finite(values: object, what: str, name: str) -> np.ndarray:
    """Return values as a float array, or raise an `InputError` that names what is not finite."""
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0 or not np.isfinite(array).all():
        raise InputError(f"the {what} {name!r} is empty or not finite")
    return array
