"""What the processes of one refinement settle between them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from cryoinv.errors import InputError
from cryoinv.parallel import Processes

from .fingerprint import Fingerprint, different_parts
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


def check_same_run(fingerprint: Fingerprint, device: torch.device, processes: Processes) -> None:
    """Refuse processes with different particles, references or settings, or a GPU in some only; it names what differs.

    Sums on GPUs and on CPUs travel by different ways: such processes would wait for each other.
    """
    parts = {**fingerprint, "kind of device": device.type}
    told = {name: np.frombuffer(text.encode(), np.uint8) for name, text in parts.items()}
    found = [{name: text.tobytes().decode() for name, text in each.items()} for each in processes.gather(told)]
    for rank, one in enumerate(found):
        other = different_parts(found[0], one)
        if other == ["kind of device"]:
            first, this = (each["kind of device"] for each in (found[0], one))
            raise InputError(
                f"process {rank} (from 0) computes on {this}, process 0 on {first}, expected the same kind of device "
                "in all: name one that every machine has (--device)"
            )
        if other:
            raise InputError(
                f"process {rank} (from 0) differs from process 0 in {', '.join(other)}, expected the same in all"
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
