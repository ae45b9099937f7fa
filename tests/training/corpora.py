"""Small corpora that the tests of training share."""

import numpy as np
import torch

from cryoinv.io import AtomicModel, write_structure
from cryoinv.training import Corpus, Structure, TruthMaker

CPU = torch.device("cpu")


def blob(name, seed, atoms=300, spread=12.0):
    """A lopsided heap of atoms."""
    rng = np.random.default_rng(seed)
    positions = rng.normal(size=(atoms, 3)) * [spread, 0.8 * spread, 0.5 * spread]
    return AtomicModel(positions, rng.choice([6, 7, 8], atoms), np.full(atoms, 60.0), np.ones(atoms), name)


def corpus(count=3, **sizes):
    """Heaps in memory."""
    return Corpus([Structure.of(blob(f"heap{i}", i, **sizes)) for i in range(count)])


def truth_maker(n=24, pixel_size=5.0, **options):
    """Maps of heaps."""
    return TruthMaker(corpus(), n, pixel_size, CPU, **options)


def write_folder(folder, count, first=0):
    """Heaps as mmCIF files."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        write_structure(folder / f"heap{i:02d}.cif", blob(f"heap{i}", i))
    return folder
