"""Random true maps of a corpus: structures turned, blurred and scaled at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cryoinv.errors import InputError
from cryoinv.geometry import random_rotations
from cryoinv.simulation.atoms import potential_of

from .corpus import Corpus, Structure

__all__ = ["TruthMaker"]


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
        """Map (n, n, n) and the structure that it is of, at its size.

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
        shift = rng.integers(-2, 3, 3).tolist()
        volume = volume.roll(shift, (0, 1, 2))
        # Continuous grey scales: what a network does must not hang on them.
        volume = volume * (np.exp(rng.uniform(-1, 1)) / volume.std())
        return volume, Structure(structure.name, [], structure.radius * size, structure.gyration * size)
