"""The log of a training: a table, and the same for TensorBoard."""

from __future__ import annotations

import csv
import io
import logging
import time
from pathlib import Path
from typing import Any

from cryoinv.files import atomic_path

__all__ = ["TrainingLog"]

log = logging.getLogger(__name__)

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
        self._rows = [row for row in _read(self._path) if int(row["step"]) <= step] if step else []
        self._new: list[dict[str, float]] = []
        self._events = _event_writer(Path(folder) / _EVENTS)

    def write(self, row: dict[str, float]) -> None:
        """Take a row, by ``step``."""
        self._new.append(row)

    def flush(self) -> None:
        """Write what there is."""
        self._rows += self._new
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        text = io.StringIO()
        table = csv.DictWriter(text, names, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in self._rows)
        with atomic_path(self._path) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")
        self._write_events()
        self._new = []

    def _write_events(self) -> None:
        """Events of the new rows; where they cannot be written, that is the end of them, but not of the training."""
        if self._events is None:
            return
        try:
            for row in self._new:
                self._events.write(_event(row))
            self._events.flush()
        except OSError as error:
            log.warning("no more events for TensorBoard: %s", error)
            self._events = None


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        return [row for row in csv.DictReader(file) if (row.get("step") or "").isdigit()]


def _event(row: dict[str, float]) -> bytes:
    """One row as TensorBoard's record."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    values = [Summary.Value(tag=name, simple_value=value) for name, value in row.items() if name != "step"]
    return Event(wall_time=time.time(), step=int(row["step"]), summary=Summary(value=values)).SerializeToString()


def _event_writer(folder: Path) -> Any:
    """What writes event files, at once and in this thread; None where tensorboardX is not installed."""
    try:
        from tensorboardX.record_writer import RecordWriter
    except ImportError:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return RecordWriter(str(folder / f"events.out.tfevents.{time.time():.0f}.cryoinv"))
    except OSError as error:
        log.warning("no events for TensorBoard: %s", error)
        return None
