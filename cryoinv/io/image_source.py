"""Where the images of a particle stack are: in files, or in memory."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from cryoinv.errors import InputError
from cryoinv.io.image_paths import ImageNames, find_image_files, split_image_names
from cryoinv.io.mrc_stack import MrcStack, open_stack


class ImageSource(Protocol):
    """Images by position, read when asked for."""

    @property
    def n(self) -> int:
        """Box size in pixels."""

    def __len__(self) -> int: ...

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Return images as a new float32 array, shape (k, n, n)."""

    def take(self, indices: np.ndarray) -> Self:
        """Return the source of some of the images."""

    def describe(self, index: int) -> str:
        """Say which image of which file it is."""

    def keys(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Return names of files, the file of each image and its place there: what makes images the same."""

    def paths(self) -> list[Path]:
        """Return the files that images are read from, under the names by which they were opened."""


@dataclass(frozen=True, eq=False)
class FileImages:
    """Images in MRC stacks, read when asked for.

    Parameters
    ----------
    stacks : sequence of MrcStack
        Stacks of one box size.
    file_index, sections : ndarray of int, shape (m,)
        Image i is section ``sections[i]`` (from 0) of stack ``file_index[i]``.
    """

    stacks: Sequence[MrcStack]
    file_index: np.ndarray
    sections: np.ndarray

    @property
    def n(self) -> int:
        """Box size in pixels."""
        return self.stacks[0].n

    def __len__(self) -> int:
        return len(self.sections)

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Return images as a new float32 array, shape (k, n, n); each file is read once, front to back."""
        images = np.empty((len(indices), self.n, self.n), dtype=np.float32)
        files, sections = self.file_index[indices], self.sections[indices]
        order = np.lexsort((sections, files))
        starts = np.flatnonzero(np.diff(files[order], prepend=-1))
        for rows in np.split(order, starts[1:]):
            if len(rows):
                self.stacks[files[rows[0]]].read_into(images, rows, sections[rows])
        return images

    def take(self, indices: np.ndarray) -> "FileImages":
        """Return the source of some of the images."""
        return replace(self, file_index=self.file_index[indices], sections=self.sections[indices])

    def describe(self, index: int) -> str:
        """Say which image of which file it is."""
        return f"{self.stacks[self.file_index[index]].path}: image {self.sections[index] + 1}"

    def keys(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Return real paths of the stacks, the stack of each image and its section; of a file's several names one."""
        names = [os.path.realpath(stack.path) for stack in self.stacks]
        first: dict[Any, str] = {}
        return [first.setdefault(_identity(name), name) for name in names], self.file_index, self.sections

    def paths(self) -> list[Path]:
        """Return the paths of all stacks, several of a file that has several names."""
        return [stack.path for stack in self.stacks]


def _identity(path: str) -> Any:
    """What hard links to a file share: device and inode, or the path where the system does not say."""
    try:
        status = os.stat(path)  # noqa: PTH116 - of a string
    except OSError:
        return path
    return (status.st_dev, status.st_ino) if status.st_ino else path


@dataclass(frozen=True, eq=False)
class ArrayImages:
    """Images in memory.

    Parameters
    ----------
    images : ndarray, shape (M, n, n)
        All images there are.
    rows : ndarray of int, shape (m,)
        Those that count.
    names : ndarray of str, shape (m,)
        Their names.
    """

    images: np.ndarray
    rows: np.ndarray
    names: np.ndarray

    @property
    def n(self) -> int:
        """Box size in pixels."""
        return self.images.shape[-1]

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Return images as a new float32 array, shape (k, n, n)."""
        return self.images[self.rows[indices]].astype(np.float32)

    def take(self, indices: np.ndarray) -> "ArrayImages":
        """Return the source of some of the images."""
        return replace(self, rows=self.rows[indices], names=self.names[indices])

    def describe(self, index: int) -> str:
        """Say which image it is."""
        return f"image {self.rows[index] + 1} in memory"

    def keys(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Return names of stacks as they are, the stack of each image and its section."""
        names = split_image_names(self.names, "images in memory")
        return names.files, names.file_index, names.sections

    def paths(self) -> list[Path]:
        """Return no file: the names are those of images in memory."""
        return []


def open_images(names: ImageNames, star: Path, allow_duplicates: bool = False) -> FileImages:
    """Open every stack that a STAR file names, and check that they fit together.

    Parameters
    ----------
    names : ImageNames
        Names from the file.
    star : Path
        The file.
    allow_duplicates : bool
        Whether rows may name the same image.

    Returns
    -------
    FileImages
        The images; none has been read.

    Raises
    ------
    InputError
        If a stack is missing or damaged, box sizes differ, an index is beyond its stack, or two rows name
        the same image without leave.
    """
    stacks = [open_stack(path) for path in find_image_files(names, star)]
    for stack in stacks:
        if stack.n != stacks[0].n:
            raise InputError(
                f"{star}: box sizes differ, {stacks[0].n} pixels in {stacks[0].path} but {stack.n} in {stack.path}"
            )
    counts = np.array([len(stack) for stack in stacks])
    beyond = names.sections >= counts[names.file_index]
    if beyond.any():
        row = int(np.argmax(beyond))
        stack = stacks[names.file_index[row]]
        raise InputError(
            f"{star}: row {row + 1} asks for image {names.sections[row] + 1} of {stack.path}, which has {len(stack)}"
        )
    source = FileImages(stacks, names.file_index, names.sections)
    if not allow_duplicates:
        refuse_duplicates(source, str(star))
    return source


def number_images(source: ImageSource) -> np.ndarray:
    """Number the different images of a source from 0, by first appearance.

    Parameters
    ----------
    source : ImageSource
        m images.

    Returns
    -------
    ndarray of int, shape (m,)
        Equal numbers where the image is the same: the same section of the same file, whatever its name.
    """
    files, file_index, sections = source.keys()
    codes = {name: code for code, name in enumerate(dict.fromkeys(files))}
    code = np.array([codes[name] for name in files])[file_index]
    order = np.lexsort((sections, code))
    new = (np.diff(code[order], prepend=-1) != 0) | (np.diff(sections[order], prepend=-1) != 0)
    group = np.empty(len(order), dtype=np.int64)
    group[order] = np.cumsum(new) - 1
    _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def refuse_duplicates(source: ImageSource, where: str) -> None:
    """Raise an InputError, naming both rows, if two particles are the same image."""
    images = number_images(source)
    # Numbered by first appearance: the first that is no new number is a duplicate.
    again = images <= np.concatenate([[-1], np.maximum.accumulate(images)[:-1]])
    if again.any():
        second = int(np.argmax(again))
        first = int(np.argmax(images == images[second]))
        raise InputError(
            f"{where}: rows {first + 1} and {second + 1} are the same particle ({source.describe(first)}); remove one,"
            " or allow duplicates (--allow-duplicates, allow_duplicates=True) if the set is symmetry-expanded"
        )
