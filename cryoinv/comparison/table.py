"""The comparison as a table: its columns, and the forms it is written in."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryoinv.specs import nearest

from .methods import BASELINE
from .result import MethodResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "UNKNOWN", "Column", "Comparison"]

UNKNOWN = "—"
Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One quantity of the table.

    Parameters
    ----------
    name : str
        Its name in files, with the unit.
    title : str
        Its name for readers.
    digits : int, optional
        Decimals shown; None for what is no number.
    better : {"", "lower", "higher"}
        Which end is good, if either.
    meaning : str
        What it is, in a sentence.
    """

    name: str
    title: str
    digits: int | None = None
    better: str = ""
    meaning: str = ""

    def text(self, row: Row) -> str:
        """The value as it is shown; a resolution at the Nyquist frequency says so."""
        value = row[self.name]
        if value is None or value == "":
            return UNKNOWN
        if isinstance(value, bool):
            return "yes" if value else "no"
        shown = f"{value:.{self.digits}f}" if self.digits is not None else str(value)
        return f"{shown} (Nyquist)" if row.get(self.flag) else shown

    @property
    def flag(self) -> str:
        """Entry that tells whether a resolution is the Nyquist frequency's; empty for what is no resolution."""
        return self.name.replace("_angstrom", "_reached_nyquist") if self.name.startswith("resolution") else ""


COLUMNS = (
    Column("method", "method"),
    Column("status", "status"),
    Column(
        "mean_fsc_truth_masked", "mean FSC to truth, in sphere", 4, "higher",
        "Mean over shells of the Fourier shell correlation (FSC) of the map and the true map, inside the particle's "
        "sphere: 1 is the truth. One number for all resolutions, and the table's order where the truth is known.",
    ),
    Column(
        "gain_over_masked_gaussian", "gain over masked Gaussian", 4, "higher",
        "The same number less that of the masked Gaussian prior, the baseline: above zero, the prior knows more than "
        "where the solvent is.",
    ),
    Column(
        "resolution_truth_05_masked_angstrom", "truth 0.5, in sphere (Å)", 2, "lower",
        "Resolution at which the FSC with the true map, inside the sphere, falls below 0.5.",
    ),
    Column(
        "resolution_truth_05_angstrom", "truth 0.5 (Å)", 2, "lower",
        "The same without the sphere: noise in the solvent counts.",
    ),
    Column(
        "resolution_truth_0143_masked_angstrom", "truth 0.143, in sphere (Å)", 2, "lower",
        "Resolution at which the FSC with the true map, inside the sphere, falls below 0.143.",
    ),
    Column("resolution_truth_0143_angstrom", "truth 0.143 (Å)", 2, "lower", "The same without the sphere."),
    Column(
        "resolution_half_0143_masked_angstrom", "half-maps 0.143, in sphere (Å)", 2, "lower",
        "Resolution at which the FSC of the two independent, unregularised half-maps, inside the sphere, falls below "
        "0.143: all that can be known without the truth. It measures agreement of the halves, not correctness.",
    ),
    Column(
        "resolution_half_0143_angstrom", "half-maps 0.143 (Å)", 2, "lower", "The same without the sphere.",
    ),
    Column(
        "angle_error_median_degrees", "angular error, median (°)", 2, "lower",
        "Half of the particles' orientations are nearer to the true ones than this.",
    ),
    Column(
        "angle_error_p90_degrees", "angular error, 90 % (°)", 2, "lower", "Nine of ten are nearer than this.",
    ),
    Column(
        "angle_error_median_near_symmetry_degrees", "angular error up to near-symmetry (°)", 2, "lower",
        "The median where rotations that hardly change the true map at the resolution reached count as none.",
    ),
    Column(
        "shift_error_median_angstrom", "shift error, median (Å)", 2, "lower",
        "Half of the particles' positions in the image are nearer to the true ones than this.",
    ),
    Column("iterations", "iterations", 0, "", "Passes over the particles before the final one."),
    Column(
        "converged", "converged", None, "",
        "Whether the rule to stop was met before the most iterations that were allowed.",
    ),
    Column(
        "wall_seconds", "time (s)", 1, "lower",
        "Wall time of the refinement, all legs of a resumed one together, on the machine as it was.",
    ),
    Column(
        "peak_memory_mib", "peak memory (MiB)", 0, "lower",
        "Most memory that the method's own process held, libraries included, in its last leg if it was resumed. Not "
        "known where methods share a process.",
    ),
    Column(
        "peak_device_memory_mib", "peak GPU memory (MiB)", 0, "lower",
        "Most memory that its arrays held on the GPU.",
    ),
    Column("device", "device"),
    Column("prior", "prior"),
    Column("m_step", "M-step"),
    Column("solver", "solver"),
    Column("output_prior", "output prior"),
    Column("output_m_step", "output M-step"),
    Column("folder", "folder"),
    Column("error", "error"),
)  # fmt: skip
_FLAGS = [column.flag for column in COLUMNS if column.flag]


@dataclass(eq=False)
class Comparison:
    """Many methods on one problem.

    Parameters
    ----------
    results : list of MethodResult
        One a method, in the order they were named.
    n : int
        Box size.
    pixel_size : float
        Å per pixel.
    particles : int
        How many.
    settings : dict
        What all methods share, of the refinement.
    finest : float
        Å; the mean FSC against the truth goes to the shell there.
    origin : dict
        Where all came from: files, the command, versions.
    """

    results: list[MethodResult]
    n: int
    pixel_size: float
    particles: int
    settings: dict[str, Any]
    finest: float
    origin: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, label: str) -> MethodResult:
        for result in self.results:
            if result.label == label:
                return result
        raise KeyError(f"no method {label!r}, {nearest(label, [result.label for result in self.results])}")

    @property
    def has_truth(self) -> bool:
        """Whether any method was held against the truth."""
        return any(result.evaluation is not None for result in self.results)

    @property
    def failed(self) -> list[MethodResult]:
        """Methods that came to no map."""
        return [result for result in self.results if not result.finished]

    def rows(self) -> list[Row]:
        """Values of all `COLUMNS`, a row a method, None where one is not known; and whether resolutions are Nyquist's.

        Returns
        -------
        list of dict
        """
        means = [result.mean_truth_fsc(self.pixel_size, self.finest) for result in self.results]
        baseline = next(
            (
                mean
                for result, mean in zip(self.results, means, strict=True)
                if result.method.prior.name == BASELINE and mean is not None
            ),
            None,
        )
        return [self._row(result, mean, baseline) for result, mean in zip(self.results, means, strict=True)]

    def _row(self, result: MethodResult, mean: float | None, baseline: float | None) -> Row:
        gain = None if mean is None or baseline is None else round(mean - baseline, 6)
        known = {
            **result.summary,
            **({} if result.evaluation is None else result.evaluation.to_dict()),
            **result.method.parts(),
            "method": result.label,
            "status": "finished" if result.finished else "failed",
            "mean_fsc_truth_masked": None if mean is None else round(mean, 6),
            "gain_over_masked_gaussian": gain,
            "folder": result.folder,
            "error": result.error,
        }
        return {name: known.get(name) for name in (*(column.name for column in COLUMNS), *_FLAGS)}

    def ranked(self) -> list[Row]:
        """Rows, the best first: by mean FSC against the truth, or by half-map resolution; failed ones last.

        Returns
        -------
        list of dict
        """
        name, sign = self.order
        far = float("inf")
        return sorted(self.rows(), key=lambda row: far if row[name] is None else sign * row[name])

    @property
    def order(self) -> tuple[str, int]:
        """Column by which rows are ranked, and -1 where more is better."""
        return ("mean_fsc_truth_masked", -1) if self.has_truth else ("resolution_half_0143_masked_angstrom", 1)

    def known_columns(self, rows: Sequence[Row]) -> list[Column]:
        """Columns in which at least one row has a value."""
        return [column for column in COLUMNS if any(column.text(row) != UNKNOWN for row in rows)]

    def to_dataframe(self) -> pd.DataFrame:
        """The table as a data frame, in the order the methods were named.

        Returns
        -------
        pandas.DataFrame
            A row a method, indexed by its name.
        """
        import pandas as pd

        names = [column.name for column in COLUMNS]
        return pd.DataFrame(self.rows(), columns=names).set_index("method")

    def to_csv(self) -> str:
        """The table as text with commas; what is not known is empty."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        names = [column.name for column in COLUMNS]
        writer.writerow(names)
        writer.writerows([_plain(row[name]) for name in names] for row in self.rows())
        return text.getvalue()

    def to_markdown(self) -> str:
        """The table in Markdown, the best method first, without columns in which nothing is known."""
        rows = self.ranked()
        columns = self.known_columns(rows)
        lines = [
            [column.title for column in columns],
            ["---" if column.digits is None else "---:" for column in columns],
            *([column.text(row) for column in columns] for row in rows),
        ]
        return "".join(f"| {' | '.join(map(_in_markdown, line))} |\n" for line in lines)

    def to_dict(self) -> dict[str, Any]:
        """All numbers and curves, units in their names, for JSON."""
        step = 1 / (self.n * self.pixel_size)
        return {
            **self.origin,
            "particles": self.particles,
            "box_pixels": self.n,
            "pixel_size_angstrom": self.pixel_size,
            "mean_fsc_truth_masked_to_angstrom": self.finest,
            "settings": self.settings,
            "frequency_per_angstrom": [round(shell * step, 6) for shell in range(self.n // 2 + 1)],
            "methods": [
                row
                | {
                    "warnings": result.summary.get("warnings", []),
                    "evaluation": None if result.evaluation is None else result.evaluation.to_dict(),
                    "curves": _curves(result),
                }
                for row, result in zip(self.rows(), self.results, strict=True)
            ],
        }

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``comparison.csv``, ``.md``, ``.json``, figures and ``report.html``, each whole or not at all.

        The JSON file is written last: where it is, the rest is, and belongs to it.

        Parameters
        ----------
        folder : str or path-like
            Made if need be.

        Returns
        -------
        Path
            The report.

        Raises
        ------
        InputError
            If a file cannot be written.
        """
        from .output import write_comparison

        return write_comparison(self, Path(folder))


def _curves(result: MethodResult) -> dict[str, list[float]]:
    known: dict[str, Any] = {"fsc_half": result.fsc, "fsc_half_masked": result.fsc_masked}
    if result.evaluation is not None:
        known |= {"fsc_truth": result.evaluation.fsc, "fsc_truth_masked": result.evaluation.fsc_masked}
    return {name: [round(float(v), 6) for v in curve] for name, curve in known.items() if curve is not None}


def _plain(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str):
        return " ".join(value.split())
    return str(value).lower() if isinstance(value, bool) else value


_ESCAPES: tuple[tuple[str, str], ...] = (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), ("[", "\\["), ("\n", " "))


def _in_markdown(text: str) -> str:
    for letter, escaped in _ESCAPES:
        text = text.replace(letter, escaped)
    return text
