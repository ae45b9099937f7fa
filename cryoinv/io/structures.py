"""Atomic models from PDB and mmCIF files."""

import gzip
import os
import re
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryoinv.errors import InputError, InputWarning
from cryoinv.files import atomic_path, existing_file

if TYPE_CHECKING:
    import gemmi

_PDB_ENDS = ("END", "ENDMDL", "MASTER", "CONECT")  # none comes before the last atom of the first model
_PDB_ATOMS = ("ATOM  ", "HETATM", "ANISOU")
# Numbers of an atom in a PDB file: columns from 0, and how long a line may be without. Gemmi reads what is none as 0,
# and takes an occupancy of 1 where the line ends before it.
_PDB_NUMBERS = {
    "x": (30, 38, 0), "y": (38, 46, 0), "z": (46, 54, 0), "occupancy": (54, 60, 58), "B-factor": (60, 66, 1 << 30),
}  # fmt: skip
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")
# Coordinates shrink to a tenth or so: a file that unpacks to more than both is no structure.
_LARGE_BYTES, _GZIP_PLAUSIBLE = 1 << 27, 100
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class AtomicModel:
    """Atoms of one structure.

    Parameters
    ----------
    positions : array_like, shape (N, 3)
        Coordinates (x, y, z) in Å.
    atomic_numbers : array_like of int, shape (N,)
        Element of each atom.
    b_factors : array_like, shape (N,)
        Isotropic B-factors in Å².
    occupancies : array_like, shape (N,)
        Share of the molecules that have the atom, usually 1.
    name : str
        What the structure is called.

    Raises
    ------
    InputError
        If the lengths differ, a number is not finite or an occupancy is negative.

    Examples
    --------
    >>> model = AtomicModel([[0, 0, 0], [1.5, 0, 0]], [6, 8], [20, 20], [1, 1], "carbon monoxide")
    >>> len(model), model.positions.dtype
    (2, dtype('float64'))
    """

    positions: np.ndarray
    atomic_numbers: np.ndarray
    b_factors: np.ndarray
    occupancies: np.ndarray
    name: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "positions", np.asarray(self.positions, dtype=np.float64).reshape(-1, 3))
        object.__setattr__(self, "atomic_numbers", np.asarray(self.atomic_numbers, dtype=np.int64))
        for field in ("b_factors", "occupancies"):
            object.__setattr__(self, field, np.asarray(getattr(self, field), dtype=np.float64))
        for field in ("positions", "atomic_numbers", "b_factors", "occupancies"):
            values = getattr(self, field)
            if len(values) != len(self.positions):
                raise InputError(f"{self.name}: {len(values)} {field} for {len(self.positions)} positions")
            finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
            if not finite.all():
                raise InputError(f"{self.name}: {field} of atom {int(np.argmin(finite)) + 1} are not finite")
        if (self.occupancies < 0).any():
            atom = int(np.argmax(self.occupancies < 0))
            raise InputError(f"{self.name}: the occupancy of atom {atom + 1} is {self.occupancies[atom]:g}, below 0")

    def __len__(self) -> int:
        return len(self.positions)


def read_structure(path: str | os.PathLike[str]) -> AtomicModel:
    """Read the atoms of the first model in a PDB or mmCIF file, without waters and hydrogens.

    Of alternate locations the first by code is kept in each residue (usually A), together with the atoms
    that have none; it takes over the occupancy of those dropped. Where residues of different names share a
    place, the code decides between them too. Atom names decide nothing.

    A file cut short inside an atom's row is refused. One cut between two rows is read with an `InputWarning`
    where it shows: a PDB file without END, ENDMDL, MASTER or CONECT, an mmCIF file without a final line break, or
    without the ``#`` after its last category though it has such lines. It does not show in an mmCIF file that has
    no ``#`` at all.

    Parameters
    ----------
    path : str or path-like
        A .pdb, .ent or .cif file, also gzipped.

    Returns
    -------
    AtomicModel
        The atoms in the order of the file.

    Raises
    ------
    InputError
        If the file is missing, empty, damaged, of another kind or holds no atoms, if it is cut short inside
        an atom's row or, gzipped, anywhere, or if a coordinate is no number.

    Warns
    -----
    InputWarning
        If the file may be cut short between two rows, or holds atoms of unknown element, which are left out.

    Examples
    --------
    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/co.cif"
    >>> write_structure(path, AtomicModel([[0, 0, 0], [1.5, 0, 0]], [6, 8], [20, 20], [1, 1], "co"))
    >>> read_structure(path).atomic_numbers
    array([6, 8])
    """
    import gemmi

    path = existing_file(path, "structure")
    lines = _lines(path)
    try:
        structure = gemmi.read_structure(str(path), format=gemmi.CoorFormat.Detect)
        atoms = [kept for chain in (structure[0] if len(structure) else ()) for kept in _kept_atoms(chain)]
    except Exception as error:  # gemmi raises RuntimeError, ValueError, IndexError, UnicodeDecodeError, ...
        reason = str(error).splitlines()[0].removeprefix(f"{path}:")
        raise InputError(f"{path}: not a PDB or mmCIF file, or a damaged or truncated one ({reason})") from None
    doubt = ""
    if structure.input_format == gemmi.CoorFormat.Pdb:
        _check_last_pdb_line(path, lines)
        _check_pdb_numbers(path, lines)
        doubt = _doubt_of_pdb(lines)
    elif structure.input_format == gemmi.CoorFormat.Mmcif:
        doubt = _doubt_of_mmcif(lines)
    known = [(atom, occupancy) for atom, occupancy in atoms if atom.element.atomic_number > 0]
    if not known:
        raise InputError(f"{path}: holds no atoms (is it a PDB or mmCIF file of coordinates?)")
    if len(known) < len(atoms):
        message = f"{path}: {len(atoms) - len(known)} of {len(atoms)} atoms are left out, of unknown element"
        warnings.warn(message, InputWarning, stacklevel=2)
    if doubt:
        message = f"{path}: {doubt}: it may be cut short, {len(atoms)} atoms are read"
        warnings.warn(message, InputWarning, stacklevel=2)
    try:
        return AtomicModel(
            np.array([atom.pos.tolist() for atom, _ in known]),
            np.array([atom.element.atomic_number for atom, _ in known]),
            np.array([atom.b_iso for atom, _ in known]),
            np.array([occupancy for _, occupancy in known]),
            structure.name or path.name.split(".")[0],
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _lines(path: Path) -> list[str]:
    """Lines of a text file, each with its line break, unpacked if it is gzipped."""
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    raw = _unpacked(path) if packed else path.read_bytes()
    return [line.decode("latin-1") for line in raw.splitlines(keepends=True)]  # of bytes: breaks at \r and \n alone


def _unpacked(path: Path) -> bytearray:
    """Content of a gzipped file, which is not read on where it grows beyond all measure."""
    most = max(_LARGE_BYTES, _GZIP_PLAUSIBLE * path.stat().st_size)
    raw = bytearray()
    try:
        with gzip.open(path, "rb") as stream:
            while piece := stream.read(_CHUNK_BYTES):
                raw += piece
                if len(raw) > most:
                    raise InputError(
                        f"{path}: no structure, the gzipped file of {path.stat().st_size} bytes unpacks to more"
                        f" than {most}"
                    )
    except EOFError:
        raise InputError(f"{path}: truncated, the gzipped data end before their end marker") from None
    except (OSError, zlib.error) as error:
        raise InputError(f"{path}: the gzipped data are damaged ({error})") from None
    return raw


def _check_last_pdb_line(path: Path, lines: list[str]) -> None:
    """Refuse a last line without a line break that is shorter than any other row of an atom."""
    *others, last = lines
    if last.endswith(("\r", "\n")) or not any(record.startswith(last[:6]) for record in _PDB_ATOMS):
        return
    shortest = min((len(line.rstrip()) for line in others if line.startswith(_PDB_ATOMS)), default=0)
    if len(last.rstrip()) < shortest:
        raise InputError(
            f"{path}: truncated, its last line {len(lines)} is cut after {len(last)} characters, expected at least"
            f" {shortest} as in other rows of atoms: {last.rstrip()!r}"
        )


def _check_pdb_numbers(path: Path, lines: list[str]) -> None:
    """Refuse an atom whose coordinates, occupancy or B-factor are no numbers."""
    for row, line in enumerate(lines, start=1):
        record = line[:6].rstrip().upper()
        if record == "END":
            return
        if not record.startswith(("ATOM", "HETA")):
            continue
        line = line.rstrip("\r\n")
        for name, (start, stop, without) in _PDB_NUMBERS.items():
            field = line[start:stop]
            if (field.strip() or len(line) > without) and not _NUMBER.fullmatch(field):
                raise InputError(
                    f"{path}: columns {start + 1}-{stop} of line {row} are {field!r}, expected a number, the {name} of"
                    " an atom"
                )


def _doubt_of_pdb(lines: list[str]) -> str:
    """Return what hints at a PDB file that is cut short, or nothing."""
    ended = any(line[:6].rstrip().upper() in _PDB_ENDS for line in lines)
    return "" if ended else f"no {', '.join(_PDB_ENDS[:-1])} or {_PDB_ENDS[-1]} record ends the PDB file"


def _doubt_of_mmcif(lines: list[str]) -> str:
    """Return what hints at an mmCIF file that is cut short, or nothing."""
    last = next((line for line in reversed(lines) if line.strip()), "#")
    if last.startswith("#"):
        return ""
    if any(line.rstrip() == "#" for line in lines):
        return "no line # closes the last category of the mmCIF file, as others are closed"
    return "" if last.endswith(("\r", "\n")) else "the last line of the mmCIF file has no line break"


def _kept_atoms(chain: "gemmi.Chain") -> Iterator[tuple["gemmi.Atom", float]]:
    """Yield the atoms of a chain that count, each with its occupancy."""
    # Residues of different names at one place follow each other with the same number.
    for _, residues in groupby(chain, key=lambda residue: str(residue.seqid)):
        dry = [residue for residue in residues if not residue.is_water()]
        yield from _first_location([atom for residue in dry for atom in residue if not atom.is_hydrogen()])


def _first_location(atoms: "list[gemmi.Atom]") -> Iterator[tuple["gemmi.Atom", float]]:
    occupancies: dict[str, list[float]] = {}
    for atom in atoms:
        if atom.has_altloc():
            occupancies.setdefault(atom.altloc, []).append(atom.occ)
    first = min(occupancies, default="")
    total = min(1.0, sum(float(np.mean(values)) for values in occupancies.values()))
    for atom in atoms:
        if not atom.has_altloc():
            yield atom, atom.occ
        elif atom.altloc == first:
            # One location alone (the others not modelled) keeps the share it states.
            yield atom, total if len(occupancies) > 1 else atom.occ


def write_structure(path: str | os.PathLike[str], model: AtomicModel) -> None:
    """Write atoms as mmCIF or PDB, one residue each, whole or not at all.

    Parameters
    ----------
    path : str or path-like
        A name that ends in .cif or .pdb.
    model : AtomicModel
        The atoms.

    Raises
    ------
    InputError
        If the ending is another or the file cannot be written.
    """
    import gemmi

    chain = gemmi.Chain("A")
    rows = zip(model.positions, model.atomic_numbers, model.b_factors, model.occupancies, strict=True)
    for number, (position, atomic_number, b_factor, occupancy) in enumerate(rows, start=1):
        atom = gemmi.Atom()
        atom.element = gemmi.Element(int(atomic_number))
        atom.name = atom.element.name.upper()
        atom.pos = gemmi.Position(*position)
        atom.b_iso, atom.occ = b_factor, occupancy
        residue = gemmi.Residue()
        residue.name, residue.seqid, residue.het_flag = "UNL", gemmi.SeqId(str(number)), "H"
        residue.add_atom(atom)
        chain.add_residue(residue)
    structure = gemmi.Structure()
    structure.name = model.name
    structure.add_model(gemmi.Model(1))
    structure[0].add_chain(chain)
    structure.setup_entities()
    ending = str(path).rsplit(".", 1)[-1]
    if ending not in ("cif", "pdb"):
        raise InputError(f"{path}: a structure is written as .cif or .pdb")
    with atomic_path(path) as temporary:
        if ending == "cif":
            # The style closes each category by #, so that a file cut short shows.
            structure.make_mmcif_document().write_file(str(temporary), gemmi.cif.WriteOptions(gemmi.cif.Style.Pdbx))
        else:
            structure.write_pdb(str(temporary))
