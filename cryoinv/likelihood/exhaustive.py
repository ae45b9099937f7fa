"""E-step over a grid of orientations that all images share: matrix products, a block of images at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from cryoinv.operators.interpolation import Interpolation

from .posterior import PoseWeights, normalise
from .scores import ImageTerms, as_real, shift_table
from .search import ExhaustiveSearch

__all__ = ["GridPosterior", "GridSums", "SharedGrid"]


@dataclass
class GridPosterior:
    """Posterior of a block of I images over a shared grid of O orientations and T translations.

    Parameters
    ----------
    summary : PoseWeights
        Without its table.
    orientations : torch.Tensor, shape (I, O)
        Mass of every orientation.
    translations : torch.Tensor, shape (I, T)
        Mass of every translation.
    tables : tuple of torch.Tensor
        Masses of all poses in the grid's own way; empty where they were not asked for.
    scale : torch.Tensor, shape (I,)
        Factors that the tables still lack.
    """

    summary: PoseWeights
    orientations: torch.Tensor
    translations: torch.Tensor
    tables: tuple[torch.Tensor, ...]
    scale: torch.Tensor

    def scaled(self, share: torch.Tensor) -> GridPosterior:
        """Return the same where the grid is a part that holds `share` (I,) of each posterior."""
        share = share.to(self.scale)
        each = share[:, None]
        return GridPosterior(
            self.summary, self.orientations * each, self.translations * each, self.tables, self.scale * share
        )


@dataclass
class GridSums:
    """Sums over images at every slice of a grid; what `data` looks like is the grid's affair.

    Parameters
    ----------
    data : list of torch.Tensor
        Posterior-weighted, shift-corrected data.
    weight : torch.Tensor
        Posterior-weighted weights (slices, P).
    mass : torch.Tensor
        Posterior mass (slices,) of images that all have the weights `common`.
    common : torch.Tensor, optional
        Those weights (P,).
    """

    data: list[torch.Tensor]
    weight: torch.Tensor
    mass: torch.Tensor
    common: torch.Tensor | None = field(default=None)

    def add_weights(self, mass: torch.Tensor, weight: torch.Tensor) -> None:
        """Add images with masses (I, slices) and weights (I, P), or (1, P) if these are the same for all."""
        if len(weight) == 1 and len(mass) != 1:
            self.mass += mass.sum(0)
            self.common = weight[0]
        else:
            self.weight.addmm_(mass.T, weight)

    def weights(self) -> torch.Tensor:
        """Sum (slices, P) of all images' weights."""
        return self.weight if self.common is None else self.weight + self.mass[:, None] * self.common


class SharedGrid:
    """Slices and shifts of an exhaustive search, made once for all images: the readable form, any orientations.

    Parameters
    ----------
    search : ExhaustiveSearch
        The poses.
    interpolation : Interpolation
        How slices are read.
    prepared : torch.Tensor
        What they are read from.
    pixels : torch.Tensor, shape (P, 2)
        Where.

    Attributes
    ----------
    rotations : numpy.ndarray, shape (O, 3, 3)
        Orientations in the order of the grid's posteriors.
    order : numpy.ndarray, shape (O,)
        Their places in the search.
    slices : torch.Tensor, shape (slices, P), complex
        Predicted slices.
    table : torch.Tensor, shape (T, P), complex
        Factors that undo each translation.
    """

    def __init__(
        self, search: ExhaustiveSearch, interpolation: Interpolation, prepared: torch.Tensor, pixels: torch.Tensor
    ):
        self.search = search
        self.order = self._order()
        self.rotations = search.rotations[self.order]
        sliced = torch.as_tensor(self.slice_rotations)
        self.slices = interpolation.slices(prepared, sliced, pixels)
        self.table = shift_table(pixels, interpolation.n, search.translations, self.slices.real.dtype)
        self._power = self.slices.real**2 + self.slices.imag**2
        self._log_rotation_prior = torch.as_tensor(search.log_rotation_prior[self.order]).to(self._power)
        self._log_translation_prior = torch.as_tensor(search.log_translation_prior).to(self._power)
        self._split()

    def _order(self) -> np.ndarray:
        return np.arange(len(self.search.rotations))

    def _split(self) -> None:
        self._real = as_real(self.slices)

    @property
    def slice_rotations(self) -> np.ndarray:
        """Orientations of the slices."""
        return self.rotations

    def posterior(self, terms: ImageTerms, tables: bool = True) -> GridPosterior:
        """Posterior of a block of images over the whole grid, its `tables` where they are wanted."""
        shifted = as_real(self._shifted(terms.scored))
        scores = (shifted @ self._real.T).view(len(terms), len(self.table), -1)
        scores -= 0.5 * (terms.weight @ self._power.T)[:, None]
        scores += self._log_translation_prior[:, None] + self._log_rotation_prior
        found = normalise(scores)
        weights = found.weights
        one = weights.new_ones(len(weights))
        return GridPosterior(found.without_table(), weights.sum(1), weights.sum(2), (weights,) if tables else (), one)

    def new_sums(self) -> GridSums:
        """Nothing summed yet."""
        weight = torch.zeros_like(self.slices.real)
        return GridSums([torch.zeros_like(self._real)], weight, weight.new_zeros(len(weight)))

    def add_data(self, sums: GridSums, posterior: GridPosterior, data: torch.Tensor) -> None:
        """Add posterior-weighted, shift-corrected data (I, P) at every slice."""
        shifted = as_real(self._shifted(data * posterior.scale[:, None]))
        sums.data[0].addmm_(posterior.tables[0].flatten(0, 1).T, shifted)

    def add_weights(self, sums: GridSums, posterior: GridPosterior, weight: torch.Tensor) -> None:
        """Add posterior-weighted weights (I, P) or (1, P) at every slice."""
        sums.add_weights(posterior.orientations, weight)

    def data(self, sums: GridSums) -> torch.Tensor:
        """Summed data at every slice (slices, P), complex."""
        return torch.view_as_complex(sums.data[0].view(*self.slices.shape, 2))

    def masses(self, posterior: GridPosterior, image: int, orientations: np.ndarray | slice) -> torch.Tensor:
        """Mass (T, chosen) of some of the grid's orientations, of one image."""
        return posterior.tables[0][image][:, orientations] * posterior.scale[image]

    def poses(self, best: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Rotations (I, 3, 3) and translations (I, 2) in pixels of flat indices into (T, O)."""
        translation, orientation = np.divmod(best.cpu().numpy(), len(self.rotations))
        return self.rotations[orientation], self.search.translations[translation]

    def _shifted(self, data: torch.Tensor) -> torch.Tensor:
        return (data[:, None] * self.table).flatten(0, 1)
