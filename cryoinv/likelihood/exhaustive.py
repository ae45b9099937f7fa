"""E-step kernels for a grid of orientations that all images share: one matrix product a block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cryoinv.operators.interpolation import Interpolation

from .posterior import PoseWeights, normalise
from .scores import ImageTerms, as_real, shift_table
from .search import ExhaustiveSearch

__all__ = ["SharedGrid"]


@dataclass
class SharedGrid:
    """Slices and shifts of an exhaustive search, made once for all images.

    Parameters
    ----------
    search : ExhaustiveSearch
        The poses.
    slices : torch.Tensor, shape (O, P), complex
        Predicted slices.
    table : torch.Tensor, shape (T, P), complex
        Factors that undo each translation.
    """

    search: ExhaustiveSearch
    slices: torch.Tensor
    table: torch.Tensor

    @classmethod
    def build(
        cls, search: ExhaustiveSearch, interpolation: Interpolation, prepared: torch.Tensor, pixels: torch.Tensor
    ) -> SharedGrid:
        """Read all slices of the grid from a prepared volume."""
        slices = interpolation.slices(prepared, torch.as_tensor(search.rotations), pixels)
        return cls(
            search, slices, shift_table(pixels, interpolation.n, search.translations, slices.real.dtype)
        )

    def __post_init__(self) -> None:
        self._real = as_real(self.slices)
        self._power = self.slices.real**2 + self.slices.imag**2
        log_prior = self.search.log_translation_prior[:, None] + self.search.log_rotation_prior
        self._log_prior = torch.as_tensor(log_prior).to(self._power)

    def posterior(self, terms: ImageTerms) -> PoseWeights:
        """Posterior of a block of images over the whole grid."""
        shifted = self._shifted(terms.scored)
        scores = (shifted @ self._real.T).view(len(terms), len(self.table), -1)
        scores -= 0.5 * (terms.weight @ self._power.T)[:, None]
        scores += self._log_prior
        return normalise(scores)

    def sums(self, weights: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
        """Posterior-weighted, shift-corrected data (I, P) of each orientation: (O, P), complex."""
        flat = weights.reshape(-1, weights.shape[-1])
        total = flat.T @ self._shifted(data)
        return torch.view_as_complex(total.view(len(self.slices), -1, 2))

    def weight_sums(self, weights: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Posterior-weighted weights of each orientation: (O, P)."""
        marginal = weights.sum(1)
        if len(weight) == 1:
            return marginal.sum(0)[:, None] * weight
        return marginal.T @ weight

    def poses(self, best: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Rotations (I, 3, 3) and translations (I, 2) in pixels of flat indices into (T, O)."""
        translation, orientation = np.divmod(best.cpu().numpy(), len(self.slices))
        return self.search.rotations[orientation], self.search.translations[translation]

    def _shifted(self, data: torch.Tensor) -> torch.Tensor:
        return as_real(data[:, None] * self.table).flatten(0, 1)
