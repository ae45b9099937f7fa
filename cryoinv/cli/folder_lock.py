"""One run at a time in an output folder."""

from __future__ import annotations

import errno
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cryoinv.cli.reporting import say
from cryoinv.errors import InputError
from cryoinv.files import is_folder

if TYPE_CHECKING:
    from filelock import FileLock

__all__ = ["LOCK", "folder_lock", "refuse_if_locked"]

LOCK = ".cryoinv.lock"
_PATIENCE = 0.2  # seconds, in which a run that has just ended may have its lock file taken away
_NOT_YOURS = {errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # nothing else could be written either


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
        If another run holds it, whose process, machine and start it names, or the lock file cannot be opened. A lock
        file that was made for it is removed then.
    """
    from filelock import FileLock

    made = _make(folder)
    lock = FileLock(folder / LOCK, timeout=_PATIENCE, fallback_to_soft=False)
    try:
        _acquire(lock, folder)
        _sign(folder)
        try:
            yield
        finally:
            # Taken away while it is held: whoever waits for it sees that, and makes a new one.
            with suppress(OSError):
                (folder / LOCK).unlink(missing_ok=True)
            lock.release()
    finally:
        _remove(made)


def _acquire(lock: FileLock, folder: Path) -> None:
    """Take the lock; where the file system knows none, see that the file names no other run."""
    from filelock import Timeout

    made = _made_file(folder / LOCK)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(
            f"{folder}: another refinement is writing into this folder{_named(_holder(folder))}; expected one at a time"
        ) from None
    except OSError as error:
        holder = _holder(folder)
        refusal = _refusal(error, folder, holder)
        if refusal is None:  # what else goes wrong is a file system's that knows no locks, as those of some networks
            say(f"{folder}: cannot be locked ({error.strerror}), so a second run could go unnoticed", "warning")
            return
        if made and not holder:
            with suppress(OSError):
                (folder / LOCK).unlink(missing_ok=True)
        raise refusal from error


def _refusal(error: OSError, folder: Path, holder: dict[str, object]) -> InputError | None:
    """What to say of a lock that could not be taken; None if the run may go on without one."""
    place = folder / LOCK
    if error.errno in _NO_ROOM:
        return InputError(f"{place}: cannot be written ({error.strerror})")
    if error.errno in _NOT_YOURS:  # another user's lock file, most likely
        return InputError(
            f"{place}: cannot be locked ({error.strerror}){_named(holder)}; expected a folder of your own, in which no "
            "other refinement runs"
        )
    if _may_run(holder):
        return InputError(
            f"{folder}: another refinement may be writing into this folder{_named(holder)}, and its file system "
            f"knows no locks to tell; remove {place} if that process has ended"
        )
    return None


def _made_file(place: Path) -> bool:
    """Make an empty file; False if it is there, or cannot be made, which whoever opens it will find."""
    try:
        place.touch(exist_ok=False)
    except OSError:
        return False
    return True


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


def _holder(folder: Path) -> dict[str, object]:
    """What the lock file says of the run that wrote it; nothing where it says nothing of use."""
    try:
        found = json.loads((folder / LOCK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and found.keys() >= {"process", "machine", "since"} else {}


def _named(holder: dict[str, object]) -> str:
    return f" (process {holder['process']} on {holder['machine']}, since {holder['since']})" if holder else ""


def _may_run(holder: dict[str, object]) -> bool:
    """Whether a run that signed may go on still; of a process of another machine nobody knows."""
    number = holder.get("process")
    if holder.get("machine") != platform.node() or not isinstance(number, int) or os.name != "posix":
        return bool(holder)
    try:
        os.kill(number, 0)  # no signal is sent
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        pass
    return True
