"""Figures of a comparison, and what each shows, in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .methods import distinct
from .table import Comparison

__all__ = ["FIGURES", "draw_figures"]

FIGURES: dict[str, tuple[str, str]] = {
    "fsc_truth_masked.png": (
        "Correlation with the truth, inside the particle's sphere",
        "Fourier shell correlation of each method's map with the true map, shell by shell: 1 is the truth, 0 is "
        "nothing in common. Left is coarse, right is fine detail. A curve above another is a better map at that "
        "resolution; the legend states where each falls below 0.5 and below 0.143.",
    ),
    "fsc_truth.png": (
        "Correlation with the truth, whole box",
        "The same without the sphere: noise left in the solvent lowers the curve.",
    ),
    "fsc_half_masked.png": (
        "Correlation of the half-maps, inside the particle's sphere",
        "Each method refines two halves of the particles apart. This is the correlation of the two maps as the data "
        "give them, before any prior acts on them. It tells how well the halves agree, not whether they are right: a "
        "prior can lead both halves astray in the same way. Where there is a truth, that is the judge.",
    ),
    "fsc_half.png": ("Correlation of the half-maps, whole box", "The same without the sphere."),
    "slices.png": (
        "Slices through the centre",
        "One column a map, the truth first where it is known; the maps are turned and moved into its frame. All share "
        "one grey scale, so what is fainter is fainter in the map.",
    ),
    "angular_errors.png": (
        "Errors of the orientations",
        "How many particles are how far from their true orientation, on a logarithmic scale; dashed lines are medians. "
        "A bump near 180° is particles that lie upside down.",
    ),
    "cost.png": (
        "Time and memory",
        "Wall time of each refinement, and the most memory its process held. They hold for this machine and what else "
        "ran on it.",
    ),
}


def draw_figures(comparison: Comparison, folder: Path) -> list[str]:
    """Draw what there is data for; return the names of the files, in the order of `FIGURES`.

    Parameters
    ----------
    comparison : Comparison
        What to draw.
    folder : Path
        An existing folder.

    Returns
    -------
    list of str
    """
    from cryoinv.plotting import plot_angular_errors, plot_bars, plot_central_slices, plot_fsc

    n, pixel_size = comparison.n, comparison.pixel_size
    finished = [result for result in comparison.results if result.finished]
    judged = {result.label: result.evaluation for result in finished if result.evaluation is not None}
    curves: dict[str, dict[str, Any]] = {
        "fsc_truth_masked.png": {label: found.fsc_masked for label, found in judged.items()},
        "fsc_truth.png": {label: found.fsc for label, found in judged.items()},
        "fsc_half_masked.png": {result.label: result.fsc_masked for result in finished},
        "fsc_half.png": {result.label: result.fsc for result in finished},
    }
    drawn = []
    for name, these in curves.items():
        if these:
            thresholds = (0.143,) if "half" in name else (0.5, 0.143)
            plot_fsc(_shown(these), n, pixel_size, folder / name, thresholds)
            drawn.append(name)
    if finished:
        maps = {"truth": next(iter(judged.values())).truth} if judged else {}
        maps |= _shown({result.label: result.shown_map for result in finished}, taken=maps)
        plot_central_slices(maps, pixel_size, folder / "slices.png", shared_scale=True)
        drawn.append("slices.png")
    if judged:
        errors = {label: found.poses.angle_degrees for label, found in judged.items()}
        plot_angular_errors(_shown(errors), folder / "angular_errors.png")
        drawn.append("angular_errors.png")
    costs = _costs(comparison)
    if costs:
        plot_bars(costs, folder / "cost.png")
        drawn.append("cost.png")
    return drawn


def _costs(comparison: Comparison) -> dict[str, dict[str, float | None]]:
    """Time and memory of the methods that finished; only what is known of one of them at least."""
    rows = {row["method"]: row for row in comparison.rows() if row["status"] == "finished"}
    columns = {
        "time (s)": "wall_seconds",
        "peak memory (MiB)": "peak_memory_mib",
        "peak GPU memory (MiB)": "peak_device_memory_mib",
    }
    panels = {title: _shown({label: row[name] for label, row in rows.items()}) for title, name in columns.items()}
    return {title: values for title, values in panels.items() if any(v is not None for v in values.values())}


def _shown(series: Mapping[str, Any], taken: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The same by names that figures can show: short, told apart, neither formulas nor, as after a _, left out."""
    short = [label if len(label) <= 40 else f"{label[:39]}…" for label in series]
    names = distinct(short, list(taken or ()))
    plain = [name.replace("$", r"\$") for name in names]
    return {f" {n}" if n.startswith("_") else n: value for n, value in zip(plain, series.values(), strict=True)}

