"""Files at the border of the library: check before reading, write whole or not at all."""

import errno
import os
import re
import secrets
import shutil
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
        If there is no such file, it is a folder, empty or not readable.

    Examples
    --------
    >>> existing_file("no/such.mrc", "MRC file")
    Traceback (most recent call last):
    ...
    cryoinv.errors.InputError: no/such.mrc: there is no such MRC file
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder, expected a {kind}")
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
        If the folder does not exist, `path` is a folder, or the disk refuses the write.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_path(folder / "note.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> [p.name for p in folder.iterdir()]
    ['note.txt']
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise InputError(f"{path}: cannot be written, there is no folder {target.parent}")
    if target.is_dir():
        raise InputError(f"{path}: cannot be written, it is a folder")
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
    if target.parent.is_dir():
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
