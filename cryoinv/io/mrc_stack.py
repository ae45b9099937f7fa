"""Stacks of images in MRC files, read image by image when asked for."""

import itertools
import os
from io import FileIO
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cryoinv.errors import InputError
from cryoinv.io.mrc_header import MrcHeader, read_header

# Bounds what is read before it is turned into float32.
_PIECE_BYTES = 1 << 24


class MrcStack:
    """Images of one MRC file, read from the disk when asked for.

    The file is read and not mapped into memory: a mapped file that another program cuts short, or a disk that fails,
    ends the process with a signal, where a read ends in an error that says so.

    Parameters
    ----------
    header : MrcHeader
        Checked header of a plain MRC file with square images.
    """

    def __init__(self, header: MrcHeader):
        rows, columns = header.shape[1:]
        if header.compressed:
            raise InputError(f"{header.path}: a gzipped stack cannot be read image by image; unpack it first")
        if rows != columns:
            raise InputError(f"{header.path}: images are not square, {columns} x {rows} pixels")
        if header.axes != (1, 2, 3):  # images would be transposed, or rows of different ones
            raise InputError(f"{header.path}: axes of a stack are {header.axes} in the MRC header, expected (1, 2, 3)")
        self.header = header
        self.path = header.path
        self.shape = header.shape
        self.pixel_size = header.pixel_size
        self.n = columns

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"MrcStack({str(self.path)!r}, {len(self)} images of {self.n} x {self.n})"

    def __getitem__(self, indices: int | slice | ArrayLike) -> np.ndarray:
        """Return images as float32: (n, n) for one 0-based index, else (m, n, n)."""
        key: Any = indices if isinstance(indices, (int, slice)) else np.asarray(indices)
        sections = np.asarray(np.arange(len(self))[key])
        flat = sections.reshape(-1)
        out = np.empty((len(flat), self.n, self.n), dtype=np.float32)
        order = np.argsort(flat, kind="stable")
        self.read_into(out, order, flat[order])
        return out.reshape(*sections.shape, self.n, self.n)

    def read_into(self, out: np.ndarray, rows: np.ndarray, indices: np.ndarray) -> None:
        """Set out[rows] to the images at `indices`.

        Parameters
        ----------
        out : ndarray of float32, shape (m, n, n)
            Where the images go.
        rows : ndarray of int, shape (k,)
            Rows of `out`.
        indices : ndarray of int, shape (k,)
            0-based sections, ascending.

        Raises
        ------
        InputError
            If the file is gone or not as long as it was when it was opened, or the disk fails.
        """
        if not len(indices):
            return
        same, most = self.header.dtype == out.dtype, max(1, _PIECE_BYTES // self._image_bytes)
        try:
            with FileIO(self.path) as stream:
                self._check_unchanged(os.fstat(stream.fileno()).st_size)
                if same and out.flags.c_contiguous:
                    self._fill(stream, out, rows, indices)
                    return
                for start in range(0, len(indices), most):
                    part = slice(start, start + most)
                    stored = np.empty((len(rows[part]), self.n, self.n), self.header.dtype)
                    self._fill(stream, stored, np.arange(len(stored)), indices[part])
                    out[rows[part]] = stored
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"{self.path}: changed since it was opened, or cannot be read ({reason})") from None

    def _check_unchanged(self, file_bytes: int) -> None:
        # The time of change is not held against it: whoever copies or touches a file does not change its images.
        expected = self.header.version[1]
        if file_bytes != expected:
            raise InputError(
                f"{self.path}: changed since it was opened, expected {expected} bytes but it has {file_bytes}"
            )

    def _fill(self, stream: FileIO, images: np.ndarray, rows: np.ndarray, indices: np.ndarray) -> None:
        """Set images[rows] to sections, the bytes going where they belong; runs of neighbours in one read."""
        size, offset = self._image_bytes, self.header.offset
        view = images.reshape(-1).view(np.uint8).data
        # Slices, and not numpy.diff: this is called for every stack of a block, of which there may be hundreds.
        ends = (indices[1:] - indices[:-1] != 1) | (rows[1:] - rows[:-1] != 1)
        bounds = [0, *(ends.nonzero()[0] + 1).tolist(), len(indices)]
        for start, stop in itertools.pairwise(bounds):
            row, section, count = int(rows[start]), int(indices[start]), stop - start
            stream.seek(offset + section * size)
            left = view[row * size : (row + count) * size]
            # The system reads at most 2 GiB at a time, and less where it is interrupted.
            while (got := stream.readinto(left)) and got < len(left):
                left = left[got:]
            if not got:
                raise InputError(
                    f"{self.path}: changed since it was opened, truncated within images {section + 1} to"
                    f" {section + count}"
                )

    @property
    def _image_bytes(self) -> int:
        return self.n * self.n * self.header.dtype.itemsize


def open_stack(path: str | os.PathLike[str]) -> MrcStack:
    """Open a stack of images without reading them.

    Parameters
    ----------
    path : str or path-like
        MRC file (.mrcs, .mrc), not compressed.

    Returns
    -------
    MrcStack
        Its ``shape`` (m, n, n), ``pixel_size`` in Å (or None) and, by index, its images.

    Raises
    ------
    InputError
        If the file is missing, empty, truncated, compressed, no MRC file, or its images are not square or
        its axes in another order than x, y, image.

    Examples
    --------
    >>> import tempfile
    >>> from cryoinv.io import write_stack
    >>> path = tempfile.mkdtemp() + "/images.mrcs"
    >>> write_stack(path, np.arange(48).reshape(3, 4, 4), pixel_size=2.0)
    >>> stack = open_stack(path)
    >>> stack.shape, stack.pixel_size, stack[[2, 0]][:, 0, 0]
    ((3, 4, 4), 2.0, array([32.,  0.], dtype=float32))
    """
    return MrcStack(read_header(path))
