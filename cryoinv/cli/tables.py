"""Tables on stdout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from cryoinv.comparison import Comparison
    from cryoinv.metrics import Resolution
    from cryoinv.refinement.evaluation import Evaluation

Row = tuple[str, str]

__all__ = ["angstrom", "evaluation_rows", "print_comparison", "print_shells", "print_table", "refinement_rows"]

_INSIDE = "  inside the particle's sphere"
_LABEL = 24  # characters of a method's name that stay in one line
_COMPARED = {
    "method": "method",
    "status": "",
    "mean_fsc_truth_masked": "mean FSC",
    "resolution_truth_05_masked_angstrom": "truth 0.5 (Å)",
    "resolution_half_0143_masked_angstrom": "halves 0.143 (Å)",
    "angle_error_median_degrees": "angle (°)",
    "wall_seconds": "time (s)",
    "peak_memory_mib": "MiB",
}


def print_table(title: str, rows: Iterable[Row]) -> None:
    """Print names and values."""
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    Console().print(table)


def angstrom(value: float, reached_nyquist: bool = False) -> str:
    """Return a resolution as text."""
    return f"{value:.2f} Å" + (" (Nyquist)" if reached_nyquist else "")


def refinement_rows(summary: Mapping[str, Any]) -> list[Row]:
    """Result of a refinement, from its summary."""

    def resolution(name: str) -> str:
        return angstrom(summary[f"{name}_angstrom"], summary[f"{name}_reached_nyquist"])

    iterations = f"{summary['iterations']} and a final one"
    memory = summary["peak_memory_mib"]
    return [
        ("resolution, half-maps at 0.143", resolution("resolution_half_0143")),
        (_INSIDE, resolution("resolution_half_0143_masked")),
        ("iterations", iterations if summary["converged"] else f"{iterations}, not converged"),
        (
            "particles",
            f"{summary['particles']} of {summary['box_pixels']} pixels of {summary['pixel_size_angstrom']:.4g} Å, "
            f"diameter {summary['particle_diameter_angstrom']:.0f} Å",
        ),
        ("CTF", "applied" if summary["ctf_applied"] else "none"),
        ("time", f"{summary['wall_seconds']:.1f} s on {summary['device']}"),
        ("peak memory", "not known" if memory is None else f"{memory:.0f} MiB"),
    ]


def evaluation_rows(evaluation: Evaluation) -> list[Row]:
    """Distance from the truth."""
    poses = evaluation.poses
    hand = "mirrored" if poses.mirrored else "same hand"
    moved = float((evaluation.displacement**2).sum() ** 0.5)
    return [
        ("resolution, truth at 0.5", str(evaluation.resolution(0.5))),
        (_INSIDE, str(evaluation.resolution(0.5, masked=True))),
        ("resolution, truth at 0.143", str(evaluation.resolution(0.143))),
        (_INSIDE, str(evaluation.resolution(0.143, masked=True))),
        ("angular error", f"{poses.median_angle:.2f}° median, {poses.p90_angle:.2f}° at 90 %"),
        ("  up to the truth's near-symmetry", _near_symmetry(evaluation)),
        ("shift error", f"{poses.median_shift:.2f} Å median, {poses.p90_shift:.2f} Å at 90 %"),
        ("map against the truth", f"{hand}, turned {poses.global_angle:.2f}°, moved {moved:.2f} Å (undone)"),
    ]


def _near_symmetry(evaluation: Evaluation) -> str:
    near = evaluation.near_symmetry
    if near.order == 1:
        return "the same: none found"
    return f"{near.median_angle:.2f}° median, {near.p90_angle:.2f}° at 90 % (order {near.order})"


def print_shells(curve: Sequence[float], n: int, pixel_size: float, crossings: Mapping[float, Resolution]) -> None:
    """Print an FSC curve shell by shell, and where it crosses thresholds."""
    table = Table(box=None, pad_edge=False)
    for name in ("shell", "1/Å", "Å", "FSC"):
        table.add_column(name, justify="right")
    for shell, value in enumerate(curve):
        resolution = f"{n * pixel_size / shell:.2f}" if shell else "∞"
        table.add_row(str(shell), f"{shell / (n * pixel_size):.4f}", resolution, f"{value:.4f}")
    Console().print(table)
    for threshold, found in crossings.items():
        Console().print(f"FSC falls below {threshold:g} at {found}", highlight=False)


def print_comparison(title: str, comparison: Comparison) -> None:
    """Print the methods of a comparison, the best first, by a few of the quantities that are known.

    FSC and resolutions are those inside the particle's sphere.
    """
    rows = comparison.ranked()
    columns = [column for column in comparison.known_columns(rows) if column.name in _COMPARED]
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        justify: Literal["left", "right"] = "left" if column.digits is None else "right"
        width = min(_LABEL, max(len(column.text(row)) for row in rows)) if column.name == "method" else None
        table.add_column(_COMPARED[column.name], justify=justify, overflow="fold", min_width=width)
    for row in rows:
        table.add_row(*(Text(column.text(row)) for column in columns))
    Console().print(table)
