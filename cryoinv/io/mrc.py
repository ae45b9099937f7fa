"""Volumes and image stacks in MRC files: float32 in memory, whatever the file stores."""

import gzip
import os
import warnings
from contextlib import AbstractContextManager, ExitStack
from typing import IO, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from cryoinv.errors import InputError, InputWarning
from cryoinv.files import atomic_path
from cryoinv.io.checks import check_cubic, check_volume
from cryoinv.io.mrc_header import (
    BROKEN_GZIP,
    HEADER_BYTES,
    LARGEST_PIXEL,
    SMALLEST_PIXEL,
    MrcHeader,
    make_header,
    open_plain,
    read_header,
    sensible_pixel_size,
    too_short,
)

_CHUNK_BYTES = 1 << 20


def read_array(path: str | os.PathLike[str], cubic: bool = False) -> tuple[np.ndarray, float | None]:
    """Read any real three-dimensional MRC file, its axes put in the order (z, y, x).

    Parameters
    ----------
    path : str or path-like
        MRC file of mode 0, 1, 2, 6 or 12, plain or gzipped.
    cubic : bool
        Whether to refuse a file whose sides differ, such as a stack of many images, before its values are read.

    Returns
    -------
    array : ndarray of float32, shape (nz, ny, nx)
        The values; not checked.
    pixel_size : float or None
        Voxel edge in Å, None where the header states none.

    Raises
    ------
    InputError
        If the file is missing, empty, truncated or no MRC file, holds several volumes, or its voxels are no cubes.
    """
    header = read_header(path)
    voxel_size = header.voxel_size
    return _read_values(header, path, cubic), voxel_size


def _read_values(header: MrcHeader, path: str | os.PathLike[str], cubic: bool) -> np.ndarray:
    if cubic:
        check_cubic(header.shape, str(path))
    with open_plain(header.path, header.compressed) as stream:
        try:
            stream.seek(header.offset)
            raw = _read_bytes(stream, header.data_bytes)
            # The checksum of a gzip file is compared only at its end.
            extra = header.compressed and stream.read(1)
        except BROKEN_GZIP as error:
            raise InputError(f"{path}: truncated or damaged gzip file ({error})") from None
    if len(raw) < header.data_bytes:
        raise too_short(header, header.offset + len(raw))
    if extra:
        message = f"{path}: bytes after the values its header counts are ignored"
        warnings.warn(message, InputWarning, stacklevel=4)
    stored = np.frombuffer(raw, header.dtype).reshape(header.shape).astype(np.float32, copy=False)
    if sorted(header.axes) != [1, 2, 3]:
        raise InputError(f"{path}: the MRC header orders its axes {header.axes}, not 1, 2, 3 somehow")
    sections_rows_columns = header.axes[::-1]
    array = stored.transpose([sections_rows_columns.index(axis) for axis in (3, 2, 1)])
    return np.ascontiguousarray(array)


def _read_bytes(stream: IO[bytes], count: int) -> bytearray:
    """Read `count` bytes or what there is, piecewise: memory follows the file and not its header."""
    raw = bytearray()
    while len(raw) < count and (piece := stream.read(min(_CHUNK_BYTES, count - len(raw)))):
        raw += piece
    return raw


def read_volume(
    path: str | os.PathLike[str], pixel_size: float | None = None, cubic: bool = True
) -> tuple[np.ndarray, float]:
    """Read a volume V(z, y, x) and its pixel size.

    The start and origin fields of the header are ignored: the origin is voxel n//2.

    Parameters
    ----------
    path : str or path-like
        MRC file (.mrc, .map, also gzipped).
    pixel_size : float, optional
        Voxel edge in Å, to be believed instead of the header, whose cell is not looked at then.
    cubic : bool
        Whether to refuse a volume whose sides differ.

    Returns
    -------
    volume : ndarray of float32, shape (n, n, n)
        Values in the file's grey scale.
    pixel_size : float
        Voxel edge in Å.

    Raises
    ------
    InputError
        If the file cannot be read, or the volume is not cubic, contains NaN or Inf, is zero everywhere, or
        its pixel size is neither given nor in the header, or the one given is none.

    Examples
    --------
    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/map.mrc.gz"
    >>> write_volume(path, np.eye(4)[None] * np.ones((4, 1, 1)), pixel_size=1.5)
    >>> volume, pixel_size = read_volume(path)
    >>> volume.shape, volume.dtype, pixel_size
    ((4, 4, 4), dtype('float32'), 1.5)
    """
    if pixel_size is None:
        volume, size = read_array(path, cubic)
    else:
        _check_pixel_size(pixel_size, str(path))
        header = read_header(path)
        header.check_one_volume()
        volume, size = _read_values(header, path, cubic), pixel_size
    check_volume(volume, str(path), cubic=False)
    if size is None:
        raise InputError(f"{path}: the MRC header states no pixel size and none was given")
    return volume, float(size)


def _check_pixel_size(pixel_size: float, where: str) -> None:
    if not sensible_pixel_size(pixel_size):
        raise InputError(
            f"{where}: the pixel size given is {pixel_size:g} Å, expected {SMALLEST_PIXEL:g} to {LARGEST_PIXEL:g}"
        )


def write_volume(path: str | os.PathLike[str], volume: ArrayLike, pixel_size: float) -> None:
    """Write a volume as float32 MRC, whole or not at all.

    Parameters
    ----------
    path : str or path-like
        The file; gzipped if its name ends in ``.gz``.
    volume : array_like, shape (nz, ny, nx)
        Finite values.
    pixel_size : float
        Voxel edge in Å.

    Raises
    ------
    InputError
        If the values are not finite or not three-dimensional, the pixel size is none, or the file cannot be written.
    """
    _check_pixel_size(pixel_size, str(path))
    values = np.ascontiguousarray(np.asarray(volume), dtype=np.float32)
    if values.ndim != 3 or not values.size or not np.isfinite(values).all():
        raise InputError(f"{path}: not written, the values of shape {values.shape} are not a finite volume")
    statistics = float(values.min()), float(values.max()), float(values.mean()), float(values.std())
    header = make_header(values.shape, values.dtype, pixel_size, stack=False, statistics=statistics)
    with atomic_path(path) as temporary:
        compressed = str(path).endswith(".gz")
        with gzip.open(temporary, "wb", compresslevel=6) if compressed else temporary.open("wb") as stream:
            stream.write(header)
            stream.write(values.tobytes())


class StackWriter(AbstractContextManager["StackWriter"]):
    """Write a stack of `count` images block by block; the file appears when all are there.

    Parameters
    ----------
    path : str or path-like
        The stack, usually ``.mrcs``.
    count : int
        Number of images m.
    n : int
        Box size in pixels.
    pixel_size : float
        Pixel size in Å.
    dtype : {"float32", "float16"}
        Type of the stored values; RELION reads float16 from version 4 on.

    Examples
    --------
    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/images.mrcs"
    >>> with StackWriter(path, count=4, n=8, pixel_size=1.0) as writer:
    ...     for _ in range(2):
    ...         writer.write(np.random.default_rng(0).standard_normal((2, 8, 8)))
    >>> from cryoinv.io import open_stack
    >>> len(open_stack(path))
    4
    """

    def __init__(self, path: str | os.PathLike[str], count: int, n: int, pixel_size: float, dtype: str = "float32"):
        if dtype not in ("float32", "float16"):
            raise InputError(f"{path}: a stack is written as float32 or float16, not {dtype}")
        if count < 1 or n < 1:
            raise InputError(f"{path}: cannot hold {count} images of {n} pixels")
        _check_pixel_size(pixel_size, str(path))
        self.path = path
        self.shape = (count, n, n)
        self.pixel_size = pixel_size
        self.dtype = np.dtype(dtype)
        self.written = 0
        self._low, self._high, self._sum, self._squares = np.inf, -np.inf, 0.0, 0.0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.path))
            self._stream = stack.enter_context(temporary.open("wb"))
            self._stream.write(bytes(HEADER_BYTES))
            stack.push(self._finish)
            self._files = stack.pop_all()
        return self

    def write(self, images: ArrayLike) -> None:
        """Append images.

        Parameters
        ----------
        images : array_like, shape (k, n, n)
            Finite values.

        Raises
        ------
        InputError
            If their box is another, they are too many, or not finite in the stored type.
        """
        with np.errstate(over="ignore"):
            block = np.ascontiguousarray(np.asarray(images), dtype=self.dtype)
        if block.shape[1:] != self.shape[1:] or self.written + len(block) > len(self):
            raise InputError(
                f"{self.path}: {block.shape} images after {self.written} do not fit the stack of {self.shape}"
            )
        if not np.isfinite(block).all():
            raise InputError(f"{self.path}: images {self.written + 1} onwards contain NaN or Inf")
        self._stream.write(block.data)
        self.written += len(block)
        if block.size:
            self._low, self._high = min(self._low, block.min()), max(self._high, block.max())
            self._sum += float(block.sum(dtype=np.float64))
            self._squares += float(np.square(block, dtype=np.float64).sum())

    def __len__(self) -> int:
        return self.shape[0]

    def __exit__(self, *error: Any) -> bool | None:
        return self._files.__exit__(*error)

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        """Put the header before the images, unless the writing failed."""
        if kind is not None:
            return
        if self.written != len(self):
            raise InputError(f"{self.path}: not written, got {self.written} images of {len(self)}")
        size = float(np.prod(self.shape))
        mean = self._sum / size
        deviation = max(self._squares / size - mean**2, 0.0) ** 0.5
        statistics = float(self._low), float(self._high), mean, deviation
        header = make_header(self.shape, self.dtype, self.pixel_size, stack=True, statistics=statistics)
        self._stream.seek(0)
        self._stream.write(header)


def write_stack(path: str | os.PathLike[str], images: ArrayLike, pixel_size: float, dtype: str = "float32") -> None:
    """Write images as an MRC stack, whole or not at all.

    Parameters
    ----------
    path : str or path-like
        The stack, usually ``.mrcs``.
    images : array_like, shape (m, n, n)
        Finite values.
    pixel_size : float
        Pixel size in Å.
    dtype : {"float32", "float16"}
        Type of the stored values.

    Raises
    ------
    InputError
        If the images are not finite or not square, or the file cannot be written.
    """
    images = np.asarray(images)
    if images.ndim != 3 or images.shape[1] != images.shape[2]:
        raise InputError(f"{path}: not written, expected square images (m, n, n), got shape {images.shape}")
    with StackWriter(path, len(images), images.shape[1], pixel_size, dtype) as writer:
        writer.write(images)
