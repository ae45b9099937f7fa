"""Structures to learn from: read, split, counted, and refused where there are none."""

import numpy as np
import pytest
import torch

from cryoinv.errors import InputError
from cryoinv.io import AtomicModel, read_structure
from cryoinv.training import Corpus, Structure

from .corpora import blob, corpus, write_folder


def write_pack(folder, models):
    folder.mkdir(parents=True)
    offsets = np.cumsum([0, *map(len, models)])
    np.savez(
        folder / "structures.npz",
        ids=np.array([m.name for m in models]),
        offsets=offsets,
        xyz=np.concatenate([np.round(100 * m.positions).astype(np.int16) for m in models]),
        z=np.concatenate([m.atomic_numbers.astype(np.uint8) for m in models]),
        b=np.concatenate([np.round(10 * m.b_factors).astype(np.uint16) for m in models]),
    )


def test_a_structure_is_about_its_centre_of_mass():
    structure = Structure.of(AtomicModel([[10, 0, 0], [14, 0, 0]], [6, 6], [0, 30], [1, 1], "two"))
    (carbon,) = structure.elements
    torch.testing.assert_close(carbon.positions, torch.tensor([[-2.0, 0, 0], [2.0, 0, 0]]))
    assert structure.radius == structure.gyration == 2.0
    assert carbon.b_factors.tolist() == [80.0, 30.0]  # not known: the default of all maps


def test_what_cannot_be_read_is_left_out_by_name(tmp_path, caplog):
    write_folder(tmp_path / "train", 3)
    write_folder(tmp_path / "valid", 1, first=9)
    (tmp_path / "train" / "bad.pdb").write_text("no structure")
    found = Corpus.read(tmp_path, "train")
    assert found.names == ["heap0", "heap1", "heap2"] and len(Corpus.read(tmp_path, "valid")) == 1
    assert len(found.left_out) == 1 and found.left_out[0].startswith("bad.pdb: ")
    assert "bad.pdb" in caplog.text
    expected = Structure.of(read_structure(tmp_path / "train" / "heap01.cif"))
    assert found[1].radius == expected.radius


def test_a_folder_without_splits_holds_out_some_by_name(tmp_path):
    write_folder(tmp_path, 40)
    train, valid = Corpus.read(tmp_path, "train"), Corpus.read(tmp_path, "valid")
    assert not set(train.names) & set(valid.names) and len(train) + len(valid) == 40 and 1 <= len(valid) <= 10
    (tmp_path / "heap41.pdb").write_text("")  # another file moves none of the others
    assert set(Corpus.read(tmp_path, "train").names) == set(train.names)


def test_a_pack_is_what_its_files_would_be(tmp_path):
    models = [blob(f"heap{i}", i) for i in range(3)]
    write_pack(tmp_path / "train", models)
    write_pack(tmp_path / "valid", models[:1])
    found = Corpus.read(tmp_path, "train")
    assert found.names == ["heap0", "heap1", "heap2"]
    for structure, model in zip(found, models, strict=True):
        assert structure.radius == pytest.approx(Structure.of(model).radius, abs=0.02)


def test_structures_that_do_not_fit_are_named():
    found = corpus(2).fitting(20.0)
    assert len(found) == 0 and all("reaches" in text for text in found.left_out)
    assert corpus(2).fingerprint == corpus(2).fingerprint != corpus(3).fingerprint


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "none", "there is no such folder"),
        (lambda p: p, "holds no structures"),
        (lambda p: write_bad(p), "none of 2 structures for train can be used, the first: bad0.pdb"),
        (lambda p: write_broken_pack(p), "is no pack of structures, or is damaged"),
        (lambda p: write_false_pack(p), "do not belong together"),
    ],
)
def test_a_folder_without_structures_is_refused(tmp_path, make, message):
    with pytest.raises(InputError, match=message):
        Corpus.read(make(tmp_path), "train")
    with pytest.raises(InputError, match="split is 'test'"):
        Corpus.read(tmp_path, "test")


def write_bad(folder):
    for split in ("train", "valid"):
        (folder / split).mkdir()
    for i in range(2):
        (folder / "train" / f"bad{i}.pdb").write_text("no structure")
    return folder


def write_broken_pack(folder):
    (folder / "structures.npz").write_bytes(b"PK no archive")
    return folder


def write_false_pack(folder):
    np.savez(
        folder / "structures.npz",
        ids=np.array(["a"]),
        offsets=np.array([0, 5]),
        xyz=np.zeros((4, 3), np.int16),
        z=np.zeros(4, np.uint8),
        b=np.zeros(4, np.uint16),
    )
    return folder
