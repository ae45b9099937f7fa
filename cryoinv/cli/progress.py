"""Progress on stderr: a bar with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import rich.progress
from rich.console import Console
from rich.text import Text

from cryoinv.cli.reporting import say
from cryoinv.refinement import RefinementObserver
from cryoinv.refinement.schedule import STAGES

if TYPE_CHECKING:
    from cryoinv.refinement.gold_standard import HalfMaps

__all__ = ["Progress", "RefinementProgress"]

_HEARTBEAT = 60.0  # seconds between signs of life in a log


class _Rate(rich.progress.ProgressColumn):
    """Particles per second."""

    def render(self, task: rich.progress.Task) -> Text:
        """Show the speed, or nothing before it is known."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.3g}/s" if speed else "", style="progress.data.speed")


class Progress:
    """Bars on a terminal; elsewhere a line a minute. To be used as a context.

    Parameters
    ----------
    unit : str
        What is counted.
    """

    def __init__(self, unit: str = "particles") -> None:
        self._unit = unit
        console = Console(stderr=True)
        self._bars = rich.progress.Progress(
            "{task.description}",
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            _Rate(),
            rich.progress.TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: Any = None
        self._name, self._total, self._done = "", 0, 0
        self._started = self._spoken = 0.0

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._bars.stop()

    def begin(self, name: str, total: int) -> None:
        """Begin a pass over `total` particles (0: unknown)."""
        self.end()
        self._name, self._total, self._done = name, total, 0
        self._started = self._spoken = time.monotonic()
        self._task = self._bars.add_task(name, total=total or None)

    def advance(self, count: int) -> None:
        """Count `count` more particles as done."""
        self._done += count
        if self._task is not None:
            self._bars.advance(self._task, count)
        now = time.monotonic()
        if self._bars.disable and now - self._spoken > _HEARTBEAT and self._done < self._total:
            self._spoken = now
            left = (now - self._started) * (self._total - self._done) / self._done
            say(f"{self._name}: {self._done}/{self._total} {self._unit}, {self.rate:.3g}/s, {left:.0f} s left")

    def end(self) -> None:
        """Take the bar away."""
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None

    @property
    def rate(self) -> float:
        """Particles per second of this pass."""
        return self._done / max(time.monotonic() - self._started, 1e-9)

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """One pass: gives the function that counts."""
        self.begin(name, total)
        try:
            yield self.advance
        finally:
            self.end()


class RefinementProgress(RefinementObserver):
    """Shows a refinement: its passes as `Progress`, and one line an iteration.

    Parameters
    ----------
    progress : Progress
        Where to show it.
    also : RefinementObserver
        Told everything first.
    """

    def __init__(self, progress: Progress, also: RefinementObserver):
        self.progress, self.also = progress, also

    def stage(self, name: str, particles: int) -> None:
        """Begin a pass."""
        self.also.stage(name, particles)
        self.progress.begin(name, particles)

    def advance(self, particles: int) -> None:
        """Count particles."""
        self.also.advance(particles)
        self.progress.advance(particles)

    def half_maps(self, iteration: int, maps: HalfMaps) -> None:
        """Hand the maps on."""
        self.also.half_maps(iteration, maps)

    def iteration(self, record: dict) -> None:
        """Say where the refinement is."""
        self.also.iteration(record)
        search = STAGES[record["stage"]]
        say(
            f"iteration {record['iteration']:2d}: {search} search {record['search_degrees']:.3g}°, "
            f"half-maps {record['resolution_half_0143_angstrom']:.2f} Å "
            f"({record['resolution_half_0143_masked_angstrom']:.2f} Å in the sphere), "
            f"poses moved {record['orientation_change_mean_degrees']:.2f}°, "
            f"{self.progress.rate:.3g} particles/s, {record['seconds']:.0f} s"
        )
