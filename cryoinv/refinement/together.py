"""What the processes of one refinement settle between them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from cryoinv.errors import InputError
from cryoinv.parallel import Processes

from .result import RefinementObserver
from .state import RefinementState

__all__ = ["agreed_state", "check_same_run", "particle_counter", "quiet"]


def agreed_state(
    state: RefinementState | None, processes: Processes, device: torch.device | str
) -> RefinementState | None:
    """State of the first process: others may differ in the last digit, and must not go another way."""
    if processes.size == 1:
        return state
    arrays = processes.broadcast({} if state is None else state.to_arrays())
    return RefinementState.from_arrays(arrays, device) if arrays else None


def check_same_run(fingerprint: str, processes: Processes) -> None:
    """Refuse processes that were given different particles, references or settings."""
    found = processes.gather({"run": np.frombuffer(fingerprint.encode(), np.uint8)})
    other = [rank for rank, arrays in enumerate(found) if arrays["run"].tobytes() != found[0]["run"].tobytes()]
    if other:
        raise InputError(
            f"process {other[0]} (from 0) has other particles, reference or settings than process 0, expected the same "
            "in all"
        )


def particle_counter(
    observer: RefinementObserver, name: str, total: int, own: int, first: bool
) -> Callable[[int], None] | None:
    """Begin a pass over `total` particles; what counts them: the first process's `own` stand for all."""
    if not first:
        return None
    observer.stage(name, total)
    done = told = 0

    def advance(particles: int) -> None:
        nonlocal done, told
        done += particles
        due = done * total // own
        observer.advance(due - told)
        told = due

    return advance


@contextmanager
def quiet(silent: bool) -> Iterator[None]:
    """Keep the library's log to itself: the first process speaks for all."""
    log = logging.getLogger("cryoinv")
    level = log.level
    if silent:
        log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
