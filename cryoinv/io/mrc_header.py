"""The first kilobyte of an MRC file, believed only after it has been held against the size of the file."""

import gzip
import os
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from mrcfile.constants import IMAGE_STACK_SPACEGROUP, MAP_ID, VOLUME_SPACEGROUP
from mrcfile.dtypes import HEADER_DTYPE
from mrcfile.utils import dtype_from_mode, machine_stamp_from_byte_order, mode_from_dtype

from cryoinv.errors import InputError, InputWarning
from cryoinv.files import existing_file

HEADER_BYTES = 1024
REAL_MODES = (0, 1, 2, 6, 12)
_MODE_NAMES = "0 (int8), 1 (int16), 2 (float32), 6 (uint16), 12 (float16)"
_GZIP_MAGIC = b"\x1f\x8b"
# No stream of zlib's inflates to more than this many times its size.
_GZIP_MOST = 1040
# Real maps shrink to no less than a tenth and masks to a few hundredths: what claims more is not taken on trust
# once it would fill the memory.
_GZIP_LARGE_BYTES, _GZIP_PLAUSIBLE = 1 << 30, 100
# No microscope's or map's voxel is outside; the header of a file that says so is not believed.
SMALLEST_PIXEL, LARGEST_PIXEL = 0.005, 2000.0  # Å
_RIGHT_ANGLE_WITHIN = 0.1  # degrees
_VOLUME_STACKS = range(401, 631)  # space groups
# IMOD's mark and its flags, of which the first says that bytes are signed.
_IMOD_STAMP, _IMOD_PLACE, _IMOD_SIGNED = 1146047817, 152, 1
BROKEN_GZIP = (EOFError, gzip.BadGzipFile, zlib.error)


@dataclass(frozen=True)
class MrcHeader:
    """What the header of an MRC file says, checked: enough to map or read its values.

    Parameters
    ----------
    path : Path
        The file.
    shape : tuple of int
        Sections, rows, columns: (nz, ny, nx).
    dtype : numpy.dtype
        Type of the stored values, with the byte order of the file.
    offset : int
        Bytes before the first value.
    voxel : tuple of float
        Voxel edges along (x, y, z) in Å; 0 where the header states none, or a senseless one.
    angles : tuple of float
        Angles of the cell in degrees.
    space_group : int
        0 for a stack of images, 1 for a volume (and, by many programs, for a stack too), 401 on for volumes in a row.
    depth : int
        Sections of one volume, or 1 for images.
    axes : tuple of int
        Which axis (1 = x, 2 = y, 3 = z) the columns, rows and sections are.
    compressed : bool
        Whether the file is gzipped.
    version : tuple of int
        Inode, size and time of change of the file, so that a replaced file is another header.
    """

    path: Path
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    voxel: tuple[float, float, float]
    angles: tuple[float, float, float]
    space_group: int
    depth: int
    axes: tuple[int, int, int]
    compressed: bool
    version: tuple[int, int, int]

    @property
    def data_bytes(self) -> int:
        """Bytes the values take: nz * ny * nx * itemsize."""
        nz, ny, nx = self.shape
        return nz * ny * nx * self.dtype.itemsize

    @property
    def pixel_size(self) -> float | None:
        """Pixel size in the plane of an image, in Å; None where the header states none."""
        x, y = self.voxel[:2]
        if not (x > 0 and y > 0):
            return None
        if not same_pixel_size(x, y):
            raise InputError(f"{self.path}: pixels are not square, {x:.4g} x {y:.4g} Å in the MRC header")
        return x

    @property
    def voxel_size(self) -> float | None:
        """Edge of a volume's voxels in Å; None where the header states none.

        Raises
        ------
        InputError
            If the voxels are no cubes, or the file holds several volumes.
        """
        self.check_one_volume()
        if self.space_group == 0 and self.depth <= 1:  # images: the third axis is none of space
            return self.pixel_size
        if any(self.angles) and not all(abs(angle - 90) < _RIGHT_ANGLE_WITHIN for angle in self.angles):
            listed = ", ".join(f"{angle:g}" for angle in self.angles)
            raise InputError(f"{self.path}: the cell's angles are {listed} degrees in the MRC header, expected 90")
        x, z = self.pixel_size, self.voxel[2]
        if x is not None and z > 0 and not same_pixel_size(x, z):
            if not (self.space_group == 1 and self.depth == 1 < self.shape[0]):
                raise InputError(
                    f"{self.path}: voxels are no cubes, {x:.4g} Å in x but {z:.4g} Å in z in the MRC header"
                )
            message = (
                f"{self.path}: the MRC header counts 1 section along z where there are {self.shape[0]}, so its voxel"
                f" size in z is ignored and taken to be {x:.4g} Å as in x"
            )
            warnings.warn(message, InputWarning, stacklevel=3)
        return x

    def check_one_volume(self) -> None:
        """Raise an `InputError` if the file holds several volumes."""
        if self.space_group in _VOLUME_STACKS and self.depth != self.shape[0]:
            raise InputError(
                f"{self.path}: a stack of volumes, {self.shape[0]} sections of which {self.depth} make one (space group"
                f" {self.space_group} in the MRC header), expected one volume"
            )


def sensible_pixel_size(size: float) -> bool:
    """Whether a number may be a pixel size in Å: finite, positive, and neither too small nor too large.

    Examples
    --------
    >>> [sensible_pixel_size(size) for size in (1.06, 0.0, float("nan"), 1e30)]
    [True, False, False, False]
    """
    return SMALLEST_PIXEL <= size <= LARGEST_PIXEL


def same_pixel_size(a: float, b: float) -> bool:
    """Whether two pixel sizes are equal within 1 %: ``|a - b| <= 0.01 max(|a|, |b|)``.

    Parameters
    ----------
    a, b : float
        Pixel sizes in Å.

    Returns
    -------
    bool
        True if they may be taken for the same.

    Examples
    --------
    >>> same_pixel_size(1.06, 1.0625), same_pixel_size(1.0, 1.02)
    (True, False)
    """
    return abs(a - b) <= 0.01 * max(abs(a), abs(b))


def open_plain(path: Path, compressed: bool) -> IO[bytes]:
    """Open a file for reading its bytes, through gzip where it is compressed."""
    return cast(IO[bytes], gzip.open(path, "rb")) if compressed else path.open("rb")


def read_header(path: str | os.PathLike[str]) -> MrcHeader:
    """Read and check the header of an MRC file; nothing of the size it claims is allocated.

    Parameters
    ----------
    path : str or path-like
        MRC file, plain or gzipped (told by content, not by name).

    Returns
    -------
    MrcHeader
        Shape, type and place of the values.

    Raises
    ------
    InputError
        If the file is missing, empty, shorter than its header says, of a mode that is not real-valued, or
        no MRC file.
    """
    path = existing_file(path, "MRC file")
    with path.open("rb") as stream:
        compressed = stream.read(2) == _GZIP_MAGIC
        status = os.fstat(stream.fileno())
    try:
        with open_plain(path, compressed) as plain:
            raw = plain.read(HEADER_BYTES)
    except BROKEN_GZIP as error:
        raise InputError(f"{path}: truncated or damaged gzip file ({error})") from None
    if len(raw) < HEADER_BYTES:
        raise InputError(f"{path}: not an MRC file, {len(raw)} bytes are too few for its header of 1024")
    header = _parse(path, raw, compressed, (status.st_ino, status.st_size, status.st_mtime_ns))
    _check_size(header, raw[208:211] == MAP_ID[:3], status.st_size)
    return header


def _parse(path: Path, raw: bytes, compressed: bool, version: tuple[int, int, int]) -> MrcHeader:
    fields, order = _fields_in_byte_order(raw)
    nx, ny, nz = (int(fields[name]) for name in ("nx", "ny", "nz"))
    mode, extended = int(fields["mode"]), int(fields["nsymbt"])
    if min(nx, ny, nz) < 1:
        raise InputError(f"{path}: not an MRC file, its header gives {nx} x {ny} x {nz} values")
    if extended < 0:
        raise InputError(f"{path}: not an MRC file, its header gives an extended header of {extended} bytes")
    if mode not in REAL_MODES:
        if bytes(fields["map"])[:3] != MAP_ID[:3]:
            raise InputError(f"{path}: not an MRC file, there is no 'MAP ' in its header")
        raise InputError(f"{path}: MRC mode {mode} is not supported, expected {_MODE_NAMES}")
    grid = [int(fields[name]) for name in ("mx", "my", "mz")]
    cell = [float(fields["cella"][axis]) for axis in "xyz"]
    edges = [length / count if count > 0 else 0.0 for length, count in zip(cell, grid, strict=True)]
    voxel = [edge if sensible_pixel_size(edge) else 0.0 for edge in edges]
    angles = [float(fields["cellb"][name]) for name in ("alpha", "beta", "gamma")]
    axes = tuple(int(fields[name]) for name in ("mapc", "mapr", "maps"))
    kind: Any = np.uint8 if mode == 0 and _bytes_are_unsigned(raw, order) else dtype_from_mode(mode)
    dtype = np.dtype(kind)
    native = dtype.newbyteorder(order).isnative
    return MrcHeader(
        path=path,
        shape=(nz, ny, nx),
        dtype=dtype if native else dtype.newbyteorder(order),
        offset=HEADER_BYTES + extended,
        voxel=(voxel[0], voxel[1], voxel[2]),
        angles=(angles[0], angles[1], angles[2]),
        space_group=int(fields["ispg"]),
        depth=grid[2],
        axes=(1, 2, 3) if axes == (0, 0, 0) else cast(tuple[int, int, int], axes),
        compressed=compressed,
        version=version,
    )


def _bytes_are_unsigned(raw: bytes, order: str) -> bool:
    """Whether IMOD wrote the file without saying that its bytes are signed, as those of other programs are."""
    stamp, flags = struct.unpack_from(f"{order}2i", raw, _IMOD_PLACE)
    return stamp == _IMOD_STAMP and not flags & _IMOD_SIGNED


def _fields_in_byte_order(raw: bytes) -> tuple[np.void, str]:
    """Read the header in the byte order its machine stamp states, or in whichever gives a known mode."""
    little, big = ((np.frombuffer(raw, HEADER_DTYPE.newbyteorder(order))[0], order) for order in "<>")
    stated, other = (big, little) if little[0]["machst"][0] == 0x11 else (little, big)
    swapped = stated[0]["mode"] not in REAL_MODES and other[0]["mode"] in REAL_MODES
    return other if swapped else stated


def _check_size(header: MrcHeader, named: bool, file_bytes: int) -> None:
    """Refuse a file that cannot hold what its header claims, and one that by no sign is an MRC file."""
    expected = header.offset + header.data_bytes
    if not named and (header.compressed or expected != file_bytes):
        raise InputError(f"{header.path}: not an MRC file, there is no 'MAP ' in its header")
    if expected > file_bytes * (_GZIP_MOST if header.compressed else 1):
        raise too_short(header, file_bytes)
    if header.compressed and expected > max(_GZIP_LARGE_BYTES, _GZIP_PLAUSIBLE * file_bytes):
        raise InputError(
            f"{header.path}: a gzipped file of {file_bytes} bytes claims to hold {expected}, more than"
            f" {_GZIP_PLAUSIBLE} times as many; if that is true, unpack it first"
        )
    if expected < file_bytes and not header.compressed:
        extra = file_bytes - expected
        message = f"{header.path}: {extra} bytes after the values its header counts are ignored"
        warnings.warn(message, InputWarning, stacklevel=4)


def too_short(header: MrcHeader, file_bytes: int) -> InputError:
    """Return the error for a file that holds fewer bytes than its header claims."""
    nz, ny, nx = header.shape
    return InputError(
        f"{header.path}: truncated MRC file, {nx} x {ny} x {nz} values of {header.dtype.name} need"
        f" {header.offset + header.data_bytes} bytes but the file has {file_bytes}"
    )


def make_header(
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    pixel_size: float,
    stack: bool,
    statistics: tuple[float, float, float, float],
) -> bytes:
    """Build the 1024 bytes of an MRC2014 header.

    Parameters
    ----------
    shape : tuple of int
        (nz, ny, nx).
    dtype : numpy.dtype
        float32 or float16, written in this machine's byte order.
    pixel_size : float
        Voxel edge in Å.
    stack : bool
        Whether the sections are images (space group 0) or a volume (space group 1).
    statistics : tuple of float
        Minimum, maximum, mean and standard deviation of the values.

    Returns
    -------
    bytes
        The header.
    """
    nz, ny, nx = shape
    depth = 1 if stack else nz
    header = np.zeros(1, HEADER_DTYPE)[0]
    values: dict[str, Any] = {
        "nx": nx, "ny": ny, "nz": nz, "mode": mode_from_dtype(dtype), "mx": nx, "my": ny, "mz": depth,
        "cella": (nx * pixel_size, ny * pixel_size, depth * pixel_size), "cellb": (90.0, 90.0, 90.0),
        "mapc": 1, "mapr": 2, "maps": 3,
        "ispg": IMAGE_STACK_SPACEGROUP if stack else VOLUME_SPACEGROUP,
        "nversion": 20141, "map": MAP_ID, "machst": machine_stamp_from_byte_order("="), "nlabl": 1,
    }  # fmt: skip
    for name, value in values.items():
        header[name] = value
    header["dmin"], header["dmax"], header["dmean"], header["rms"] = statistics
    header["label"][0] = b"cryoinv"
    return header.tobytes()
