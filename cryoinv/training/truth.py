"""Random true maps of a corpus: structures turned, blurred and scaled at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cryoinv.errors import InputError
from cryoinv.geometry import random_rotations
from cryoinv.simulation.atoms import potential_of

from .corpus import Corpus, Structure

__all__ = ["TruthMaker", "told_radius"]

_TOLD = (0.75, 1.03)  # of the radius; what refinements estimated of 70 references at 30 Å was 0.7 to 0.98 times it
_SHIFT = 2  # voxels by which a map is off the centre along each axis, at most


@dataclass
class TruthMaker:
    """True maps at random.

    Parameters
    ----------
    corpus : Corpus
        Structures; those that do not fit the box are left out.
    n : int
        Box size.
    pixel_size : float
        Å.
    device : torch.device
        Where maps are made.
    b_factors : tuple of float
        Smallest and largest B-factor in Å² added to the atoms' own.
    pixel_error : float
        Largest part by which a structure is made larger or smaller, as if the pixel size were wrong.

    Raises
    ------
    InputError
        If no structure fits.
    """

    corpus: Corpus
    n: int
    pixel_size: float
    device: torch.device
    b_factors: tuple[float, float] = (0.0, 100.0)
    pixel_error: float = 0.05

    def __post_init__(self) -> None:
        box = self.n * self.pixel_size
        fitting = self.corpus.fitting(0.47 * box / (1 + self.pixel_error))
        if not len(fitting):
            raise InputError(f"none of {len(self.corpus)} structures fits a box of {box:g} Å")
        self.corpus = fitting

    def __call__(self, rng: np.random.Generator) -> tuple[torch.Tensor, Structure]:
        """Map (n, n, n) and its structure, whose radius is that of the sphere about the box's centre.

        Parameters
        ----------
        rng : numpy.random.Generator
            What everything is drawn from.
        """
        structure = self.corpus[int(rng.integers(len(self.corpus)))]
        rotation = torch.from_numpy(random_rotations(1, rng)[0])
        size = 1 + self.pixel_error * rng.uniform(-1, 1)
        b_factor = rng.uniform(*self.b_factors)
        atoms = [each.to(self.device, torch.float32).turned(rotation) for each in structure.elements]
        volume = potential_of(atoms, self.n, self.pixel_size / size, b_factor)
        # What leaves the box comes in again on the other side.
        room = (0.49 * self.n - structure.radius * size / self.pixel_size) / 3**0.5
        most = min(_SHIFT, max(0, int(room)))
        shift = rng.integers(-most, most, 3, endpoint=True)
        volume = volume.roll(shift.tolist(), (0, 1, 2))
        radius = structure.radius * size + float(np.linalg.norm(shift)) * self.pixel_size
        # Continuous grey scales: what a network does must not hang on them.
        volume = volume * (np.exp(rng.uniform(-1, 1)) / volume.std())
        return volume, Structure(structure.name, [], radius, structure.gyration * size)


def told_radius(structure: Structure, rng: np.random.Generator) -> float:
    """Radius in Å of the sphere that is taken for a particle's: refinements know it no better."""
    return structure.radius * float(rng.uniform(*_TOLD))
