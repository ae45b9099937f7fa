"""Atoms from PDB and mmCIF: alternate locations by code, no waters, no hydrogens."""

import gzip
import tracemalloc
import warnings

import numpy as np
import pytest
from small_files import noise

from cryoinv.errors import InputError, InputWarning
from cryoinv.io import AtomicModel, read_structure, write_structure, write_volume


def atom(serial, name, alt, residue, number, x, occupancy=1.0, element="C", record="ATOM", insertion=" "):
    field = f" {name:<3}" if len(element) == 1 else f"{name:<4}"
    return (
        f"{record:<6}{serial:>5} {field}{alt}{residue:>3} A{number:>4}{insertion}   {x:8.3f}{0:8.3f}{0:8.3f}"
        f"{occupancy:6.2f}{20:6.2f}          {element:>2}\n"
    )


def read(tmp_path, *atoms, name="a.pdb"):
    (tmp_path / name).write_text("".join(atoms) + "END\n")
    return read_structure(tmp_path / name)


def test_the_first_code_is_kept_in_each_residue(tmp_path):
    model = read(
        tmp_path,
        atom(1, "N", " ", "SER", 1, 1.0),
        atom(2, "CA", "A", "SER", 1, 2.0, 0.6),
        atom(3, "CA", "B", "SER", 1, 3.0, 0.4),
        atom(4, "CB", "B", "SER", 2, 4.0, 0.5),  # here B comes first in the file
        atom(5, "CB", "A", "SER", 2, 5.0, 0.5),
        atom(6, "CB", "C", "SER", 3, 6.0, 0.3),  # and here there is no A
        atom(7, "CB", "D", "SER", 3, 7.0, 0.3),
    )
    assert model.positions[:, 0].tolist() == [1, 2, 5, 6]
    np.testing.assert_allclose(model.occupancies, [1, 1, 1, 0.6], atol=1e-6)


def test_names_decide_nothing(tmp_path):
    """A atoms and B atoms of other names are still two places of one residue; equal names are two atoms."""
    model = read(
        tmp_path,
        atom(1, "CG1", "A", "VAL", 1, 1.0, 0.5),
        atom(2, "CG2", "B", "VAL", 1, 2.0, 0.5),
        atom(3, "C1", " ", "LIG", 2, 3.0, record="HETATM"),
        atom(4, "C1", " ", "LIG", 2, 4.0, record="HETATM"),
    )
    assert model.positions[:, 0].tolist() == [1, 3, 4]


def test_two_residues_at_one_place(tmp_path):
    model = read(
        tmp_path,
        atom(1, "CA", "A", "SER", 5, 1.0, 0.7),
        atom(2, "OG", "A", "SER", 5, 2.0, 0.7, "O"),
        atom(3, "CA", "B", "THR", 5, 3.0, 0.3),
        atom(4, "CA", " ", "GLY", 5, 4.0, insertion="A"),  # 5A is another place
    )
    assert model.positions[:, 0].tolist() == [1, 2, 4]
    np.testing.assert_allclose(model.occupancies, 1, atol=1e-6)


def test_one_place_alone_keeps_its_occupancy(tmp_path):
    model = read(tmp_path, atom(1, "CA", "A", "SER", 1, 1.0, 0.3), atom(2, "CB", "A", "SER", 1, 2.0, 0.4))
    np.testing.assert_allclose(model.occupancies, [0.3, 0.4], atol=1e-6)


def test_calcium_is_not_c_alpha_and_water_and_hydrogen_go(tmp_path):
    model = read(
        tmp_path,
        atom(1, "CA", " ", "SER", 1, 1.0),
        atom(2, "H", " ", "SER", 1, 2.0, element="H"),
        atom(3, "D", " ", "SER", 1, 2.0, element="D"),
        atom(4, "CA", " ", "CA", 2, 3.0, element="CA", record="HETATM"),
        atom(5, "O", " ", "HOH", 3, 4.0, element="O", record="HETATM"),
        atom(6, "O", "A", "DOD", 4, 4.0, element="O", record="HETATM"),
    )
    assert model.atomic_numbers.tolist() == [6, 20]
    assert model.b_factors.tolist() == [20, 20]


def test_only_the_first_model(tmp_path):
    model = read(
        tmp_path,
        "MODEL        1\n", atom(1, "CA", " ", "SER", 1, 1.0), "ENDMDL\n",
        "MODEL        2\n", atom(1, "CA", " ", "SER", 1, 9.0), "ENDMDL\n",
    )  # fmt: skip
    assert model.positions[:, 0].tolist() == [1]


def test_unknown_elements_are_left_out_aloud(tmp_path):
    with pytest.warns(InputWarning, match=r"a\.pdb: 1 of 2 atoms are left out"):
        model = read(tmp_path, atom(1, "CA", " ", "SER", 1, 1.0), atom(2, "X", " ", "UNX", 2, 2.0, element="X"))
    assert len(model) == 1


def example(count=30):
    rng = np.random.default_rng(3)
    return AtomicModel(
        rng.uniform(-50, 50, (count, 3)).round(3), rng.choice([6, 7, 8, 16, 26], count),
        rng.uniform(5, 99, count).round(2), rng.uniform(0.1, 1, count).round(2), "example",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["a.cif", "a.pdb"])
@pytest.mark.parametrize("packed", [False, True])
def test_round_trip(tmp_path, name, packed):
    model, path = example(), tmp_path / name
    write_structure(path, model)
    if packed:
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / f"{name}.gz"
    back = read_structure(path)
    np.testing.assert_allclose(back.positions, model.positions, atol=1e-3)
    np.testing.assert_array_equal(back.atomic_numbers, model.atomic_numbers)
    np.testing.assert_allclose(back.b_factors, model.b_factors, atol=1e-2)
    np.testing.assert_allclose(back.occupancies, model.occupancies, atol=1e-2)


def test_many_atoms_fit_either_format(tmp_path):
    for name in ("a.cif", "a.pdb"):
        write_structure(tmp_path / name, example(12_000))
        assert len(read_structure(tmp_path / name)) == 12_000


def test_other_endings_are_not_written(tmp_path):
    with pytest.raises(InputError, match=r"written as \.cif or \.pdb"):
        write_structure(tmp_path / "a.xyz", example())
    assert not list(tmp_path.iterdir())


GARBAGE = {
    "text": b"hello\n" * 20,
    "bytes": bytes(range(256)) * 8,
    "block": b"data_x\n_a.b 1\n",
    "atoms without places": b"data_x\nloop_\n_atom_site.id\n1\n2\n",
    "gzip": gzip.compress(b"hello")[:-4],
}


@pytest.mark.parametrize("ending", ["pdb", "cif", "ent", "txt", "pdb.gz", "cif.gz"])
@pytest.mark.parametrize("kind", GARBAGE)
def test_files_of_another_kind(tmp_path, ending, kind):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(GARBAGE[kind])
    with pytest.raises(InputError, match=rf"a\.{ending}: ") as caught:
        read_structure(path)
    assert "\n" not in str(caught.value)


PDB = "".join(atom(i, "CA", " ", "SER", i, float(i)) for i in range(1, 5))


@pytest.mark.parametrize("length", [1, 4, 6, 40, 60, 77])
def test_a_pdb_file_cut_inside_an_atom(tmp_path, length):
    (tmp_path / "a.pdb").write_text(PDB + atom(5, "CA", " ", "SER", 5, 5.0)[:length])
    with pytest.raises(InputError, match=r"a\.pdb: .*truncated"):
        read_structure(tmp_path / "a.pdb")


@pytest.mark.parametrize("end", ["", "TER\n", "TER\nHET"])
def test_a_pdb_file_without_an_end(tmp_path, end):
    (tmp_path / "a.pdb").write_text(PDB + end)
    if end.endswith("HET"):
        with pytest.raises(InputError, match="line 6 is cut after 3 characters"):
            read_structure(tmp_path / "a.pdb")
    else:
        with pytest.warns(InputWarning, match=r"a\.pdb: no END.* may be cut short, 4 atoms"):
            assert len(read_structure(tmp_path / "a.pdb")) == 4


@pytest.mark.parametrize("end", ["END", "END   \n", "ENDMDL\n", "MASTER        0\n", "CONECT    1    2", "end\r\n\n"])
def test_a_pdb_file_with_an_end(tmp_path, end):
    (tmp_path / "a.pdb").write_text(PDB + end)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read_structure(tmp_path / "a.pdb")) == 4


TAGS = "id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id auth_seq_id Cartn_x Cartn_y Cartn_z"
CIF = "data_x\n{}loop_\n" + "".join(f"_atom_site.{tag}\n" for tag in TAGS.split())
CIF += "1 C CA . SER A 1 1.0 2.0 3.0\n2 C CA . SER A 2 1.0 2.0 4.0\n"


@pytest.mark.parametrize(
    ("text", "doubt"),
    [
        (CIF.format(""), ""),
        (CIF.format("") + "#", ""),
        (CIF.format("#\n") + "# \n\n", ""),
        (CIF.format("#\n"), "no line # closes"),
        (CIF.format("")[:-1], "no line break"),
        (CIF.format("")[:-3], "no line break"),
    ],
)
def test_an_mmcif_file_cut_between_values(tmp_path, text, doubt):
    (tmp_path / "a.cif").write_text(text)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert len(read_structure(tmp_path / "a.cif")) == 2
    assert [doubt in str(warning.message) for warning in caught] == [True] * bool(doubt)


@pytest.mark.parametrize("cut", [6, 20])
def test_an_mmcif_file_cut_inside_an_atom(tmp_path, cut):
    (tmp_path / "a.cif").write_text(CIF.format("")[:-cut])
    with pytest.raises(InputError, match=r"a\.cif: .*truncated.*_atom_site"):
        read_structure(tmp_path / "a.cif")


@pytest.mark.parametrize("name", ["a.cif", "a.pdb"])
def test_what_is_written_says_where_it_ends(tmp_path, name):
    write_structure(tmp_path / name, example())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_structure(tmp_path / name)
    lines = (tmp_path / name).read_text().splitlines(keepends=True)
    (tmp_path / name).write_text("".join(lines[:-3]))
    with pytest.warns(InputWarning, match="may be cut short, 28 atoms"):
        read_structure(tmp_path / name)


@pytest.mark.parametrize("cut", [1, 4, 8, 9, 200])
@pytest.mark.parametrize("name", ["a.cif", "a.pdb"])
def test_truncated_gzip(tmp_path, name, cut):
    write_structure(tmp_path / name, example())
    packed = gzip.compress((tmp_path / name).read_bytes())
    (tmp_path / f"{name}.gz").write_bytes(packed[:-cut])
    with pytest.raises(InputError, match=rf"{name}\.gz: truncated, the gzipped"):
        read_structure(tmp_path / f"{name}.gz")
    (tmp_path / f"{name}.gz").write_bytes(packed[:100] + b"xxxxxxxx" + packed[108:])
    with pytest.raises(InputError, match=rf"{name}\.gz: the gzipped data are damaged"):
        read_structure(tmp_path / f"{name}.gz")
    for content in (b"", b"\n"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
        with pytest.raises(InputError, match=rf"{name}\.gz: "):
            read_structure(tmp_path / f"{name}.gz")


def test_missing_empty_and_maps(tmp_path):
    with pytest.raises(InputError, match="no such structure"):
        read_structure(tmp_path / "a.pdb")
    (tmp_path / "a.pdb").touch()
    with pytest.raises(InputError, match="structure is empty"):
        read_structure(tmp_path / "a.pdb")
    write_volume(tmp_path / "a.mrc.gz", noise(8), 1.0)
    with pytest.raises(InputError, match=r"a\.mrc\.gz: "):
        read_structure(tmp_path / "a.mrc.gz")
    with pytest.raises(InputError, match="no atoms"):
        read(tmp_path, atom(1, "O", " ", "HOH", 3, 4.0, element="O"))


def test_numbers_that_are_none(tmp_path):
    text = atom(1, "CA", " ", "SER", 1, 1.0).replace("   1.000", "     nan")
    (tmp_path / "a.pdb").write_text(text)
    with pytest.raises(InputError, match=r"a\.pdb"):
        read_structure(tmp_path / "a.pdb")
    with pytest.raises(InputError, match="positions of atom 2 are not finite"):
        AtomicModel([[0, 0, 0], [np.inf, 0, 0]], [6, 6], [0, 0], [1, 1], "x")
    with pytest.raises(InputError, match="1 b_factors for 2 positions"):
        AtomicModel(np.zeros((2, 3)), [6, 6], [0], [1, 1], "x")


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("   5.000   0", "********   0", r"columns 31-38 of line 5 are '\*{8}', expected a number, the x of an atom"),
        ("   5.000   0", "           0", "columns 31-38 of line 5 are '        '"),
        ("   5.000   0", "   1.0x0   0", "columns 31-38 of line 5 are '   1.0x0'"),
        ("   5.000   0", "   1. 00   0", "columns 31-38"),
        ("   0.000  1", "     1_0  1", "columns 47-54 of line 5"),
        ("  1.00 20", "       20", r"columns 55-60 .* the occupancy"),
        ("  1.00 20", "  a.bc 20", "columns 55-60"),
        ("  1.00 20", " -1.00 20", "occupancy of atom 5 is -1"),
        (" 20.00", "******", r"columns 61-66 .* the B-factor"),
    ],
)
@pytest.mark.parametrize("record", ["ATOM  ", "HETATM", "atom  "])
def test_pdb_fields_that_are_no_numbers(tmp_path, old, new, found, record):
    last = atom(5, "CA", " ", "SER", 5, 5.0).replace(old, new).replace("ATOM  ", record)
    assert new in last
    with pytest.raises(InputError, match=rf"a\.pdb: .*{found}"):
        read(tmp_path, PDB, last)


@pytest.mark.parametrize("length", [54, 58, 60, 66, 78])
def test_pdb_lines_that_end_early_and_numbers_of_any_spelling(tmp_path, length):
    last = atom(5, "CA", " ", "SER", 5, 5.0).replace("   5.000   0", "   +.5e1   0")[:length]
    model = read(tmp_path, PDB, last + "\n", "END\n", last.replace("+.5e1", "*****") + "\n")
    assert model.positions[4, 0] == 5 and model.occupancies[4] == 1


def test_negative_occupancies_of_mmcif_and_of_arrays(tmp_path):
    text = CIF.format("").replace("Cartn_x", "occupancy").replace("1.0 2.0 4.0", "-.5 2.0 4.0")
    (tmp_path / "a.cif").write_text(text.replace("_atom_site.occupancy\n", "_atom_site.occupancy\n_atom_site.Cartn_x\n")
                                    .replace(" 2.0 ", " 2.0 2.0 "))  # fmt: skip
    with pytest.raises(InputError, match=r"a\.cif: .*occupancy of atom 2 is -0\.5, below 0"):
        read_structure(tmp_path / "a.cif")
    with pytest.raises(InputError, match="x: the occupancy of atom 1 is -1, below 0"):
        AtomicModel(np.zeros((1, 3)), [6], [0], [-1], "x")


def test_gzip_bombs(tmp_path, monkeypatch):
    """A file that unpacks to a thousand times its size is not unpacked to the end."""
    monkeypatch.setattr("cryoinv.io.structures._LARGE_BYTES", 1 << 20)
    path = tmp_path / "a.pdb.gz"
    path.write_bytes(gzip.compress(PDB.encode()) + gzip.compress(b" " * (1 << 22), 9) * 16)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"a\.pdb\.gz: no structure, .* unpacks to more than \d+"):
        read_structure(path)
    assert tracemalloc.get_traced_memory()[1] < 2**24  # of 2**26
    tracemalloc.stop()


@pytest.mark.shared
def test_one_protein_in_two_formats(shared_data):
    maps = shared_data / "experimental" / "maps"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = read_structure(maps / "5me2.pdb.gz"), read_structure(maps / "5ni1.cif.gz")
    assert 4400 < len(first) < 4600
    assert 4400 < len(second) < 4600
    assert 1 not in first.atomic_numbers
    assert 26 in second.atomic_numbers  # haem
    distance = np.linalg.norm(first.positions.mean(axis=0) - second.positions.mean(axis=0))
    assert distance < 1.0
