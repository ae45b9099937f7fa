"""The folder a comparison leaves behind."""

from __future__ import annotations

from pathlib import Path

from cryoinv.files import atomic_path, remove_temporaries
from cryoinv.refinement.output import make_folder, write_json

from .figures import FIGURES, draw_figures
from .report import report_html
from .table import Comparison

__all__ = ["COMPARISON_FILES", "LAST_WRITTEN", "METHODS_FOLDER", "remove_comparison", "write_comparison"]

METHODS_FOLDER = "methods"
LAST_WRITTEN = "comparison.json"
COMPARISON_FILES = (
    "comparison.csv",
    "comparison.md",
    "report.html",
    *(f"figures/{name}" for name in FIGURES),
    LAST_WRITTEN,
)


def write_comparison(comparison: Comparison, folder: Path) -> Path:
    """Write all `COMPARISON_FILES`, but figures there are no data for; return the report's place.

    Parameters
    ----------
    comparison : Comparison
        What to write.
    folder : Path
        Made if need be.

    Returns
    -------
    Path
    """
    make_folder(folder / "figures")
    remove_comparison(folder)
    drawn = draw_figures(comparison, folder / "figures")
    images = {name: (folder / "figures" / name).read_bytes() for name in drawn}
    _write(folder / "comparison.csv", comparison.to_csv())
    _write(folder / "comparison.md", comparison.to_markdown())
    _write(folder / "report.html", report_html(comparison, images))
    write_json(folder / LAST_WRITTEN, comparison.to_dict())
    return folder / "report.html"


def remove_comparison(folder: Path) -> None:
    """Remove what `write_comparison` writes, and what killed processes have left of it; the last written first."""
    for name in reversed(COMPARISON_FILES):
        (folder / name).unlink(missing_ok=True)
        remove_temporaries(folder / name)


def _write(path: Path, text: str) -> None:
    content = text.encode()
    with atomic_path(path, len(content)) as temporary:
        temporary.write_bytes(content)
