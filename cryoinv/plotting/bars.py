"""Single numbers side by side."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cryoinv.errors import InputError
from cryoinv.plotting.canvas import COLOURS, GREY, new_figure, require_series, save_figure


def plot_bars(
    panels: Mapping[str, Mapping[str, float | None]], path: str | os.PathLike[str], title: str = ""
) -> Path:
    """Draw horizontal bars from zero with their values, one panel a quantity, one bar a name.

    Parameters
    ----------
    panels : mapping of str to mapping of str to float or None
        Values by name, by the quantity with its unit; the same names in all. None is what is not known.
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
        If there is nothing to draw, panels have other names, a value is negative or not finite, or the file cannot be
        written.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> plot_bars({"time (s)": {"one": 3.0, "two": 4.5}, "memory (MiB)": {"one": 700, "two": None}},
    ...           folder / "cost.png").name
    'cost.png'
    """
    require_series(panels, "quantity")
    names = list(next(iter(panels.values())))
    require_series(names, "bar")
    figure = new_figure(max(6.4, 4.2 * len(panels)), max(2.4, 1.0 + 0.38 * len(names)) + 0.3 * bool(title), title)
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)
    for axes, (quantity, values) in zip(grid[0], panels.items(), strict=True):
        if list(values) != names:
            raise InputError(f"the panel {quantity!r} has the names {list(values)}, expected {names}")
        known = np.array([0.0 if value is None else value for value in values.values()], dtype=np.float64)
        if not np.isfinite(known).all() or known.min() < 0:
            raise InputError(f"the panel {quantity!r} has a value that is negative or not finite")
        highest = known.max() or 1.0
        axes.barh(names, known, height=0.65, color=COLOURS[0])
        for row, value in enumerate(values.values()):
            text, colour = ("not known", GREY) if value is None else (f"{value:.4g}", "black")
            axes.text(known[row] + 0.02 * highest, row, text, va="center", color=colour, fontsize=8.5)
        axes.set(xlim=(0, 1.22 * highest), xlabel=quantity)
        axes.spines[["right", "top"]].set_visible(False)
    grid[0, 0].invert_yaxis()
    return save_figure(figure, path)
