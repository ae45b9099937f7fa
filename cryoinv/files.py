"""Files at the border of the library: check before reading, write whole or not at all."""

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cryoinv.errors import InputError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_CANNOT_WRITE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.EFBIG, errno.EIO, *_FULL}
_MARK_BYTES = 6  # of the random part of temporary names


def existing_file(path: str | os.PathLike[str], kind: str = "file") -> Path:
    """Return `path` if it is a readable file with at least one byte in it.

    Parameters
    ----------
    path : str or path-like
        The file to be read.
    kind : str
        What the file should be, for the message ("STAR file", "MRC file").

    Returns
    -------
    Path
        The same path.

    Raises
    ------
    InputError
        If there is no such file, it is a folder, a device, a pipe or a socket, empty or not readable.

    Examples
    --------
    >>> existing_file("no/such.mrc", "MRC file")
    Traceback (most recent call last):
    ...
    cryoinv.errors.InputError: no/such.mrc: there is no such MRC file
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{path}: is a folder, expected a {kind}")
        if not stat.S_ISREG(mode):  # before it is opened: a pipe waits for its writer, a device may have no end
            advice = "; write it to a file first" if stat.S_ISFIFO(mode) else ""
            raise InputError(f"{path}: is {_named(mode)}, expected a {kind}{advice}")
        with path.open("rb") as stream:
            first = stream.read(1)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such {kind}") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{str(path)!r}: the {kind} cannot be read ({reason})") from None
    if not first:
        raise InputError(f"{path}: the {kind} is empty")
    return path


def _named(mode: int) -> str:
    """What is in the place of a file."""
    if stat.S_ISFIFO(mode):
        return "a pipe"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a device" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "not a regular file"


@contextmanager
def atomic_path(path: str | os.PathLike[str], size: int | None = None) -> Iterator[Path]:
    """Yield a temporary name beside `path` that becomes `path` only if the block succeeds.

    A reader sees the old file or the whole new one, never a part, whenever the process is killed or the power cut. A
    link is followed, so what it points to is replaced and not the link.

    Parameters
    ----------
    path : str or path-like
        The file to write; its folder must exist.
    size : int, optional
        Bytes it will take, where that is known, for the message if the disk is full.

    Yields
    ------
    Path
        A name in the same folder with the same ending, to be written by the block.

    Raises
    ------
    InputError
        If the folder does not exist, `path` is a folder, a device or a pipe, or the disk refuses the write.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_path(folder / "note.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> [p.name for p in folder.iterdir()]
    ['note.txt']
    """
    target = _checked_target(path)
    temporary = target.with_name(f".{secrets.token_hex(_MARK_BYTES)}.{target.name}")
    with _refused_writes(path, temporary, size):
        try:
            yield temporary
            _to_disk(temporary, os.O_RDWR)
            os.replace(temporary, target)  # noqa: PTH105 - one call for both names
        finally:
            temporary.unlink(missing_ok=True)
    with suppress(OSError):  # some systems cannot open a folder; the file itself is safe
        _to_disk(target.parent, os.O_RDONLY)


def file_mode(path: str | os.PathLike[str]) -> int | None:
    """Return the mode of what has a place, links followed, or None if nothing has it.

    Parameters
    ----------
    path : str or path-like
        The place.

    Returns
    -------
    int or None
        To be asked by the functions of `stat`.

    Raises
    ------
    InputError
        If the system does not say: the name is too long, or a folder above may not be searched.
    """
    try:
        return os.stat(path).st_mode  # noqa: PTH116 - any path-like
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{str(path)!r}: cannot be used ({reason})") from None


def is_folder(path: str | os.PathLike[str]) -> bool | None:
    """Whether a place is that of a folder; None if nothing has it.

    Parameters
    ----------
    path : str or path-like
        The place.

    Returns
    -------
    bool or None

    Raises
    ------
    InputError
        If the system does not say.
    """
    mode = file_mode(path)
    return None if mode is None else stat.S_ISDIR(mode)


def _checked_target(path: str | os.PathLike[str]) -> Path:
    """Place that a name leads to; refused in no folder, and where something other than a file would be replaced."""
    mode = file_mode(path)
    target = Path(os.path.realpath(path))
    if not is_folder(target.parent):
        raise InputError(f"{path}: cannot be written, there is no folder {target.parent}")
    if mode is not None and stat.S_ISDIR(mode):
        raise InputError(f"{path}: cannot be written, it is a folder")
    if mode is not None and not stat.S_ISREG(mode):
        raise InputError(f"{path}: cannot be written, it is not a regular file")
    return target


@contextmanager
def _refused_writes(path: str | os.PathLike[str], temporary: Path, size: int | None) -> Iterator[None]:
    """Turn the system's refusal to write a file into an `InputError` that says why."""
    try:
        yield
    except OSError as error:
        # What else goes wrong counts where it is the file itself that cannot be opened.
        if error.errno not in _CANNOT_WRITE and error.filename != str(temporary):
            raise
        reason = error.strerror
        if error.errno in _FULL:
            needs = "" if size is None else f"it needs {size / 2**20:.1f} MiB, "
            free = shutil.disk_usage(Path(os.path.realpath(path)).parent).free
            reason = f"{reason}: {needs}{free / 2**20:.1f} MiB are free"
        raise InputError(f"{path}: cannot be written ({reason})") from error


def remove_temporaries(path: str | os.PathLike[str]) -> None:
    """Remove what killed processes have left of files that were to become `path`."""
    target = Path(os.path.realpath(path))
    name = re.compile(rf"\.[0-9a-f]{{{2 * _MARK_BYTES}}}\." + re.escape(target.name))
    # A folder that may be written but not listed does not say what is left in it.
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        for found in target.parent.iterdir():
            if name.fullmatch(found.name) and found.is_file():
                found.unlink(missing_ok=True)


def _to_disk(path: Path, flags: int) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # what is no file on a disk cannot be waited for
            raise
    finally:
        os.close(handle)
