"""One run at a time in an output folder."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cryoinv.cli.reporting import say
from cryoinv.errors import InputError
from cryoinv.files import is_folder

__all__ = ["LOCK", "folder_lock", "refuse_if_locked"]

LOCK = ".cryoinv.lock"
_PATIENCE = 0.2  # seconds, in which a run that has just ended may have its lock file taken away


def refuse_if_locked(folder: Path) -> None:
    """Raise an `InputError` that names the run that holds the folder, if there is one."""
    if is_folder(folder / LOCK) is False:
        with folder_lock(folder):
            pass


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold a folder, which is made if need be, against other runs; the system lets go of it if this process is killed.

    A folder that was made for it and is still empty in the end is removed.

    Raises
    ------
    InputError
        If another run holds it; it names that run's process, machine and start.
    """
    from filelock import FileLock, Timeout

    made = _make(folder)
    lock = FileLock(folder / LOCK, timeout=_PATIENCE, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(
            f"{folder}: another refinement is writing into this folder{_holder(folder)}; expected one at a time"
        ) from None
    except OSError as error:  # some network file systems know no locks
        say(f"{folder}: cannot be locked ({error.strerror}), so a second run would go unnoticed", "warning")
    try:
        _sign(folder)
        yield
    finally:
        # Taken away while it is held: whoever waits for it sees that, and makes a new one.
        (folder / LOCK).unlink(missing_ok=True)
        lock.release()
        _remove(made)


def _make(folder: Path) -> list[Path]:
    from cryoinv.refinement.output import make_folder

    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    make_folder(folder)
    return missing


def _remove(folders: list[Path]) -> None:
    """Remove folders, innermost first, as far as they are empty."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _sign(folder: Path) -> None:
    entries = {"process": os.getpid(), "machine": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    with suppress(OSError):  # a full disk: the lock holds without a name
        (folder / LOCK).write_text(json.dumps(entries), encoding="utf-8")


def _holder(folder: Path) -> str:
    try:
        found = json.loads((folder / LOCK).read_text(encoding="utf-8"))
        return f" (process {found['process']} on {found['machine']}, since {found['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
