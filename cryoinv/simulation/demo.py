"""The structure that ships with the package."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cryoinv.io import AtomicModel


def demo_structure() -> AtomicModel:
    """Read PDB entry 2XHE (Unc18-syntaxin 1 complex, 89 kDa, 6,267 atoms) from the package.

    Returns
    -------
    AtomicModel
        Positions in Å as in the entry; provenance in ``cryoinv/data/README.md``.

    References
    ----------
    P. Burkhardt et al., PNAS 108 (2011) 15264-15269. PDB archive data are CC0 1.0.

    Examples
    --------
    >>> model = demo_structure()
    >>> model.name, model.positions.shape
    ('2XHE', (6267, 3))
    """
    import gemmi

    from cryoinv.io import AtomicModel

    table = resources.files("cryoinv").joinpath("data", "2xhe.csv").read_text(encoding="ascii")
    fields = [line.split(",") for line in table.splitlines()[1:]]
    values = np.array([row[1:] for row in fields], dtype=np.float64)
    return AtomicModel(
        positions=values[:, :3],
        atomic_numbers=np.array([gemmi.Element(row[0]).atomic_number for row in fields]),
        b_factors=values[:, 3],
        occupancies=np.ones(len(fields)),
        name="2XHE",
    )
