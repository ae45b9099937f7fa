"""The log of a training: a table, and the same for TensorBoard."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from cryoinv.files import atomic_path

__all__ = ["TrainingLog"]

_TABLE, _EVENTS = "log.csv", "tensorboard"


class TrainingLog:
    """Rows of a training, kept as ``log.csv``, and as event files in ``tensorboard`` where tensorboardX is installed.

    Parameters
    ----------
    folder : Path
        Of the training.
    step : int
        Where it goes on; rows of later steps, which an interrupted training has left, are dropped.
    """

    def __init__(self, folder: Path, step: int):
        self._path = Path(folder) / _TABLE
        self._rows = [row for row in _read(self._path) if step and int(row["step"]) <= step]
        self._events = _event_writer(Path(folder) / _EVENTS, step)

    def write(self, row: dict[str, float]) -> None:
        """Take a row, by ``step``."""
        self._rows.append(row)
        if self._events is not None:
            for name, value in row.items():
                if name != "step":
                    self._events.add_scalar(name, value, int(row["step"]))

    def flush(self) -> None:
        """Write what there is."""
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        text = io.StringIO()
        table = csv.DictWriter(text, names, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in self._rows)
        with atomic_path(self._path) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")
        if self._events is not None:
            self._events.flush()


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if (row.get("step") or "").isdigit()]


def _event_writer(folder: Path, step: int) -> Any:
    """What writes event files; None where tensorboardX is not installed."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)
