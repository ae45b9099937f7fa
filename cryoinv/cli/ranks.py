"""The command as one of several processes that ``torchrun`` started: who speaks, and who must not."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cryoinv.errors import InputError
from cryoinv.parallel import Launch, launched

if TYPE_CHECKING:
    from cryoinv.parallel import Processes

__all__ = [
    "alone",
    "among_all",
    "let_the_first_speak",
    "may_end_with_a_message",
    "only_alone",
    "silence_all_but_the_first",
]

_PATIENCE = 30.0  # seconds that a process which may not speak gives the first to say the same
_joined: list[Processes] = []  # those of the command that runs


def alone() -> bool:
    """Whether this process was started by itself, or told a place that cannot be: each process then says so."""
    return _place().size == 1


def silence_all_but_the_first() -> None:
    """Let the first process alone write to stdout and stderr: all others would say the same."""
    if _place().rank != 0:
        sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process lives


def let_the_first_speak() -> None:
    """Keep a process that failed before it joined the others alive for a while, unless it is the first.

    ``torchrun`` terminates all once one has ended: the first would be gone before it has said what is wrong.
    """
    if _place().rank != 0 and not _joined:
        time.sleep(_PATIENCE)  # until SIGTERM: `torchrun` sends it when the first has ended


def _place() -> Launch:
    try:
        return launched()
    except InputError:  # the command will say it
        return Launch()


@contextmanager
def among_all() -> Iterator[Processes]:
    """All processes of this run, this one alone where there is no other."""
    from cryoinv.parallel import joined

    with joined() as processes:
        _joined[:] = [processes]
        yield processes
    _joined.clear()


def only_alone(command: str) -> None:
    """Refuse a command that several processes would each do in full."""
    count = launched().size
    if count > 1:
        raise InputError(f"{command} was started as {count} processes, expected one: only refine shares its work")


def may_end_with_a_message() -> bool:
    """Whether this process, which is about to end, is the first to say why; stderr is given back to it then."""
    if alone():
        return True
    speaks = _joined[0].speaks() if _joined else _place().rank == 0
    if speaks and sys.__stderr__ is not None:
        sys.stderr = sys.__stderr__
    return speaks
