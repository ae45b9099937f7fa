"""Files at the border of the library: check before reading, write whole or not at all."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryoinv.errors import InputError

_CANNOT_WRITE = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG, errno.EFBIG, errno.EIO
}  # fmt: skip


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
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside `path` that becomes `path` only if the block succeeds.

    A reader sees the old file or the whole new one, never a part. A link is followed, so what it points to
    is replaced and not the link.

    Parameters
    ----------
    path : str or path-like
        The file to write; its folder must exist.

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
    temporary = target.with_name(f".{secrets.token_hex(6)}.{target.name}")
    try:
        yield temporary
        os.replace(temporary, target)  # noqa: PTH105 - one call for both names
    except OSError as error:
        # What else goes wrong counts where it is the file itself that cannot be opened.
        if error.errno not in _CANNOT_WRITE and error.filename != str(temporary):
            raise
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        temporary.unlink(missing_ok=True)
