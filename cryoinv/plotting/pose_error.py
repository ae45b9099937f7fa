"""Angular errors of poses."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from cryoinv.plotting.canvas import as_finite, line_style, new_chart, save_figure

_FILLED = 3  # more histograms than these would hide one another


def plot_angular_errors(
    errors: Mapping[str, ArrayLike], path: str | os.PathLike[str], title: str = ""
) -> Path:
    """Draw histograms of angular errors on a logarithmic axis, with each median.

    Parameters
    ----------
    errors : mapping of str to array_like, shape (m,)
        Angular errors in degrees, by name; such as ``PoseErrors.angle_degrees``.
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
        If there are no errors, one is not finite, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> plot_angular_errors({"all": np.linspace(1, 9, 50)}, folder / "errors.png").name
    'errors.png'
    """
    figure, axes = new_chart(errors, "angular error", 3.5, title)
    values = {name: as_finite(e, "set of angular errors", name).ravel() for name, e in errors.items()}
    smallest = min(float(np.percentile(v, 1)) for v in values.values())
    low = 10 ** np.floor(np.log10(np.clip(smallest, 1e-3, 1)))
    edges = np.geomspace(low, 180, 1 + 12 * round(np.log10(180 / low) * 1.6))
    for index, (name, degrees) in enumerate(values.items()):
        style = line_style(index)
        median, p90 = np.percentile(degrees, [50, 90])
        share, _ = np.histogram(np.clip(degrees, low, 180), edges)
        label = f"{name}: median {median:.3g}°, 90 % within {p90:.3g}°"
        if len(values) <= _FILLED:
            axes.stairs(100 * share / len(degrees), edges, color=style["color"], fill=True, alpha=0.2)
        axes.stairs(100 * share / len(degrees), edges, **style, linewidth=1.6, label=label)
        axes.axvline(np.clip(median, low, 180), color=style["color"], linewidth=1.2, linestyle=(0, (5, 3)))
    axes.set(xscale="log", xlim=(low, 180), xlabel="angular error (degrees)", ylabel="particles (%)")
    ticks = [t for t in (0.001, 0.01, 0.1, 0.3, 1, 3, 10, 30, 90, 180) if t >= low]
    axes.set_xticks(ticks, labels=[f"{t:g}" for t in ticks])
    axes.tick_params(which="minor", labelbottom=False)
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", fontsize=8.5, frameon=False)
    return save_figure(figure, path)
