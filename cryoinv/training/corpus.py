"""Structures to learn from, out of a folder of coordinate files or a pack of them."""

from __future__ import annotations

import hashlib
import logging
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from cryoinv.errors import InputError
from cryoinv.io import AtomicModel, read_structure
from cryoinv.simulation.atoms import ElementAtoms, elements_of
from cryoinv.simulation.potential import DEFAULT_B_FACTOR, centre_of_mass

__all__ = ["Corpus", "Structure"]

log = logging.getLogger(__name__)

_ENDINGS = (".pdb", ".ent", ".cif", ".pdb.gz", ".ent.gz", ".cif.gz")
_PACK = "structures.npz"
_HELD_OUT = 12  # of a folder without splits every so-manieth structure is held out


@dataclass(frozen=True)
class Structure:
    """A structure as pairs are made from it.

    Parameters
    ----------
    name : str
        What it is called.
    elements : list of ElementAtoms
        Its atoms about their centre of mass, in single precision.
    radius : float
        Å from there to the farthest atom.
    gyration : float
        Radius of gyration in Å.
    """

    name: str
    elements: list[ElementAtoms]
    radius: float
    gyration: float

    @classmethod
    def of(cls, model: AtomicModel) -> Structure:
        """Structure of a model.

        Raises
        ------
        InputError
            If it has no atoms of positive occupancy, or an element without a scattering factor.
        """
        centre = centre_of_mass(model)
        squares = ((model.positions - centre) ** 2).sum(1)
        if not squares.max() > 1:
            raise InputError(f"{model.name}: its atoms are all within 1 Å of one point")
        elements = [each.to("cpu", torch.float32) for each in elements_of(model, centre, DEFAULT_B_FACTOR)]
        return cls(model.name, elements, float(np.sqrt(squares.max())), float(np.sqrt(squares.mean())))


class Corpus(Sequence[Structure]):
    """Structures of one split, sorted by name.

    Parameters
    ----------
    structures : sequence of Structure
        In any order.
    left_out : sequence of str
        What could not be read, each with its reason.
    """

    def __init__(self, structures: Sequence[Structure], left_out: Sequence[str] = ()):
        self._structures = sorted(structures, key=lambda each: each.name)
        self.left_out = list(left_out)

    def __len__(self) -> int:
        return len(self._structures)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self._structures[index]

    @property
    def names(self) -> list[str]:
        """What the structures are called."""
        return [each.name for each in self]

    @property
    def fingerprint(self) -> str:
        """Short hash of the names and atoms of all structures."""
        digest = hashlib.sha256()
        for each in self:
            digest.update(each.name.encode())
            for atoms in each.elements:
                for tensor in (atoms.positions, atoms.b_factors, atoms.occupancies, atoms.coefficients):
                    digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()[:16]

    def fitting(self, radius: float) -> Corpus:
        """Those whose atoms are all within `radius` Å of their centre."""
        small = [each for each in self if each.radius <= radius]
        large = [f"{each.name}: reaches {each.radius:.0f} Å" for each in self if each.radius > radius]
        return Corpus(small, [*self.left_out, *large])

    @classmethod
    def read(cls, folder: str | Path, split: str = "train") -> Corpus:
        """Read one split of a folder.

        A folder with sub-folders ``train`` and ``valid`` is split by these; of any other about every twelfth
        structure, told by its name, is held out as ``valid``. A folder holds PDB or mmCIF files, also gzipped, or a
        pack of them, ``structures.npz``: ``ids`` (n,), ``offsets`` (n+1,) into ``xyz`` (N, 3) in 0.01 Å, ``z`` (N,)
        and ``b`` (N,) in 0.1 Å², 0 where not known.

        Files that cannot be read are left out, with a line in the log, and named in `left_out`.

        Parameters
        ----------
        folder : str or path-like
            Of the structures.
        split : {"train", "valid", "all"}
            Which part; "all" takes everything in the folder itself.

        Raises
        ------
        InputError
            If there is no such folder, it holds no structures, or none that can be read.

        Examples
        --------
        >>> import tempfile
        >>> Corpus.read(tempfile.mkdtemp())
        Traceback (most recent call last):
        ...
        cryoinv.errors.InputError: ...: holds no structures (.pdb, .ent, .cif, also .gz) and no structures.npz
        """
        folder = Path(folder)
        if split not in ("train", "valid", "all"):
            raise InputError(f"split is {split!r}, expected 'train', 'valid' or 'all'")
        if not folder.is_dir():
            raise InputError(f"{folder}: there is no such folder of structures")
        is_split = split != "all" and all((folder / name).is_dir() for name in ("train", "valid"))
        where = folder / split if is_split else folder
        structures, left_out, wanted = [], [], 0
        for name, model in _models(where):
            stem = name.partition(".")[0].lower()  # the same entry in two formats is in one part
            if not is_split and split != "all" and (zlib.crc32(stem.encode()) % _HELD_OUT == 0) != (split == "valid"):
                continue
            wanted += 1
            try:
                structures.append(Structure.of(model()))
            except (InputError, TypeError, ValueError) as error:
                left_out.append(f"{name}: {error}")
                log.warning("left out: %s", left_out[-1])
        if not structures:
            reason = f", the first: {left_out[0]}" if left_out else "; sub-folders train and valid would split them"
            raise InputError(f"{where}: none of {wanted} structures for {split} can be used{reason}")
        return cls(structures, left_out)


def _models(folder: Path) -> Iterator[tuple[str, Callable[[], AtomicModel]]]:
    """Name of every structure of a folder, and what reads it."""
    pack = folder / _PACK
    if pack.is_file():
        yield from _of_pack(pack)
        return
    files = sorted(path for path in folder.iterdir() if path.name.lower().endswith(_ENDINGS))
    if not files:
        raise InputError(f"{folder}: holds no structures (.pdb, .ent, .cif, also .gz) and no {_PACK}")
    for path in files:
        yield path.name, partial(read_structure, path)


def _of_pack(path: Path) -> Iterator[tuple[str, Callable[[], AtomicModel]]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            ids, offsets, xyz, z, b = (file[key] for key in ("ids", "offsets", "xyz", "z", "b"))
    except (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: is no pack of structures, or is damaged ({error})") from None
    numeric = all(np.issubdtype(each.dtype, np.number) for each in (offsets, xyz, z, b))
    shapes = ids.ndim == offsets.ndim == z.ndim == b.ndim == 1 and xyz.ndim == 2
    if not (numeric and shapes and len(offsets) == len(ids) + 1 and len(xyz) == len(z) == len(b) == offsets[-1]):
        raise InputError(f"{path}: the arrays of the pack do not belong together")
    for i, name in enumerate(ids):
        of = slice(int(offsets[i]), int(offsets[i + 1]))

        def model(of: slice = of, name: str = str(name)) -> AtomicModel:
            return AtomicModel(xyz[of] / 100.0, z[of], b[of] / 10.0, np.ones(len(z[of])), name)

        yield str(name), model
