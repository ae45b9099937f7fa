"""Resolution from iteration to iteration."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cryoinv.errors import InputError
from cryoinv.plotting.canvas import COLOURS, GREY, angstrom_ticks, as_finite, new_chart, save_figure


def plot_resolution_history(
    records: Mapping[str, Sequence[float]],
    path: str | os.PathLike[str],
    pixel_size: float | None = None,
    stages: Mapping[int, str] | None = None,
    first_iteration: int = 1,
    title: str = "",
) -> Path:
    """Draw the resolution of every iteration; the axis is linear in spatial frequency, finer is higher.

    Parameters
    ----------
    records : mapping of str to sequence of float
        Resolution in Å of successive iterations, by the name of the curve.
    path : str or path-like
        File to write (.png, .pdf or .svg).
    pixel_size : float, optional
        Å; if given, the Nyquist resolution is drawn.
    stages : mapping of int to str, optional
        Names of stages by the iteration in which they begin, such as ``{4: "local search"}``.
    first_iteration : int
        Number of the first iteration.
    title : str
        Title of the figure.

    Returns
    -------
    Path
        The path.

    Raises
    ------
    InputError
        If there is no curve, a resolution is not positive and finite, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> plot_resolution_history({"half-maps, 0.143": [30, 14, 9.1]}, folder / "history.png").name
    'history.png'
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_chart(records, "resolution history", 3.5, title)
    highest, last = 0.0, first_iteration
    for index, (name, values) in enumerate(records.items()):
        resolution = as_finite(values, "resolution history", name)
        if resolution.min() <= 0:
            raise InputError(
                f"the resolution history {name!r} must be positive, found {resolution.min():g} Å"
            )
        iteration = first_iteration + np.arange(len(resolution))
        label = f"{name}: {resolution[-1]:.2f} Å"
        axes.plot(
            iteration, 1 / resolution, "o-", color=COLOURS[index % len(COLOURS)], markersize=4.5, label=label
        )
        highest, last = max(highest, (1 / resolution).max()), max(last, int(iteration[-1]))
    if pixel_size is not None:
        axes.axhline(1 / (2 * pixel_size), color=GREY, linewidth=1, linestyle=(0, (5, 3)))
        axes.annotate(
            f"Nyquist {2 * pixel_size:g} Å", (0.01, 1 / (2 * pixel_size)), xycoords=("axes fraction", "data"),
            xytext=(0, 3), textcoords="offset points", color=GREY, fontsize=8.5,
        )  # fmt: skip
        highest = max(highest, 1 / (2 * pixel_size))
    for begin, stage in (stages or {}).items():
        axes.axvline(begin - 0.5, color=GREY, linewidth=1, linestyle=":")
        axes.annotate(
            stage, (begin - 0.5, 0.02), xycoords=("data", "axes fraction"), xytext=(4, 0),
            textcoords="offset points", color=GREY, fontsize=8.5,
        )  # fmt: skip
    axes.set(xlim=(first_iteration - 0.5, last + 0.5), ylim=(0, 1.1 * highest))
    axes.set(xlabel="iteration", ylabel="resolution (Å)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    angstrom_ticks(axes.yaxis, 0, 1.1 * highest)
    figure.legend(loc="outside lower center", fontsize=8.5, frameon=False)
    return save_figure(figure, path)
