"""FSC curves."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from cryoinv.metrics.resolution import resolution_at
from cryoinv.plotting.canvas import GREY, angstrom_ticks, as_finite, line_style, new_chart, save_figure


def plot_fsc(
    curves: Mapping[str, ArrayLike],
    n: int,
    pixel_size: float,
    path: str | os.PathLike[str],
    thresholds: Sequence[float] = (0.5, 0.143),
    title: str = "",
) -> Path:
    """Draw FSC curves against spatial frequency, with the resolution at every threshold.

    Parameters
    ----------
    curves : mapping of str to array_like, shape (n//2 + 1,)
        FSC of shells 0 to ``n//2`` by the name of the curve.
    n : int
        Box size.
    pixel_size : float
        Å.
    path : str or path-like
        File to write (.png, .pdf or .svg).
    thresholds : sequence of float
        Levels drawn; the legend states each curve's resolution there (see `resolution_at` for the rule).
    title : str
        Title of the figure.

    Returns
    -------
    Path
        The path.

    Raises
    ------
    InputError
        If there is no curve, one has the wrong length or is not finite, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> plot_fsc({"half-maps": np.linspace(1, 0, 33)}, n=64, pixel_size=3.0, path=folder / "fsc.png").name
    'fsc.png'
    """
    figure, axes = new_chart(curves, "FSC curve", 3.9, title)
    nyquist = 1 / (2 * pixel_size)
    axes.axhline(0, color=GREY, linewidth=0.8)
    for level in thresholds:
        axes.axhline(level, color=GREY, linewidth=1, linestyle=(0, (5, 3)))
        axes.annotate(
            f"{level:g}", (0.995, level), xycoords=("axes fraction", "data"), xytext=(0, 2),
            textcoords="offset points", ha="right", va="bottom", color=GREY, fontsize=8.5,
        )  # fmt: skip
    lowest = -0.1
    for index, (name, values) in enumerate(curves.items()):
        values = as_finite(values, "FSC curve", name)
        lowest = min(lowest, values.min())
        style = line_style(index)
        found = [resolution_at(values, level, n, pixel_size) for level in thresholds]
        reached = ", ".join(f"{r} at {level:g}" for r, level in zip(found, thresholds, strict=True))
        frequency = np.arange(len(values)) / (n * pixel_size)
        axes.plot(
            frequency, values, **style, linewidth=1.8, label=f"{name}: {reached}" if found else name
        )
        for r, level in zip(found, thresholds, strict=True):
            if not r.reached_nyquist and r.shell > 1:
                axes.plot(1 / r.angstrom, level, "o", color=style["color"], markersize=5, markeredgecolor="white")
    axes.set(xlim=(0, nyquist), ylim=(lowest - 0.02, 1.04), ylabel="Fourier shell correlation")
    axes.set_xlabel("spatial frequency (1/Å)")
    top = axes.secondary_xaxis("top")
    angstrom_ticks(top.xaxis, 0, nyquist)
    top.set_xlabel("resolution (Å)")
    # Below the axes: curves may be anywhere inside.
    figure.legend(loc="outside lower center", fontsize=8.5, frameon=False)
    return save_figure(figure, path)
