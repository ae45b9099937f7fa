"""All children of an exhaustive search's orientations, with their slices read and their sums inserted once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from .search import ExhaustiveSearch

if TYPE_CHECKING:
    from .candidates import Candidates, CandidateSums
    from .expectation import Expectation

__all__ = ["FineGrid"]

_BYTES_PER_PIXEL = 20  # slice, data and weight of one orientation, single precision


class FineGrid:
    """Slices of the finer grid, and the sums over all images of one optics group at its orientations.

    Where most images have many significant orientations, these overlap: each slice is then read once and each sum
    inserted once, whatever the number of images.

    Parameters
    ----------
    step : Expectation
        The E-step.
    search : ExhaustiveSearch
        Whose orientations have the children.
    """

    def __init__(self, step: Expectation, search: ExhaustiveSearch):
        parents = np.arange(len(search.rotations))
        self.rotations = search.child_rotations(parents).reshape(-1, 3, 3)
        self.slices = step.interpolation.slices(step.prepared, torch.as_tensor(self.rotations), step.pixels)
        self.data = torch.zeros_like(self.slices)
        self.weight = torch.zeros_like(self.slices.real)
        self.used = torch.zeros(len(self.slices), dtype=torch.bool, device=self.slices.device)

    @classmethod
    def fits(cls, step: Expectation, search: ExhaustiveSearch) -> bool:
        """Whether the grid stays inside the budget, and the images that are scored are those that are inserted."""
        scale = 2 if step.images.dtype == torch.float64 else 1
        needed = 8 * len(search.rotations) * step.count * _BYTES_PER_PIXEL * scale
        return needed <= step.memory_bytes and step.images.mask is None

    @staticmethod
    def rows(orientations: torch.Tensor) -> torch.Tensor:
        """Rows of the children of the given orientations."""
        return (8 * orientations[:, None] + torch.arange(8, device=orientations.device)).flatten()

    def slices_of(self, candidates: Candidates) -> list[torch.Tensor]:
        """Slices (C_i, P) of each image's candidates."""
        return [self.slices[rows] for rows in candidates.rows]

    def add(self, sums: CandidateSums) -> None:
        """Add the sums of a block of images."""
        self.data.index_add_(0, sums.rows, sums.data)
        self.weight.index_add_(0, sums.rows, sums.weight)
        self.used[sums.rows] = True

    def close(self, step: Expectation, group: int, precision: torch.Tensor) -> None:
        """Hand the sums of one optics group on, and begin again."""
        used = self.used.nonzero()[:, 0]
        step.accumulator.add_slices(
            group, self.rotations[used.cpu().numpy()], self.slices[used], self.data[used], self.weight[used], precision
        )
        self.data.zero_()
        self.weight.zero_()
        self.used.zero_()
