"""E-step kernels for orientations and translations of each image's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .posterior import PoseWeights, normalise
from .scores import ImageTerms, as_real

__all__ = ["Candidates", "score_candidates", "significant"]


@dataclass
class Candidates:
    """Poses to score for each image of a block: its own orientations times its own translations.

    Parameters
    ----------
    rotations : list of numpy.ndarray, shape (C_i, 3, 3)
        Orientations of image i.
    translations : list of numpy.ndarray, shape (T_i, 2)
        Translations of image i, pixels, the particle's present shift included.
    tables : list of torch.Tensor, shape (T_i, P), complex
        Factors that undo the translations.
    log_prior : float
        Logarithm of the prior mass of every pose.
    """

    rotations: list[np.ndarray]
    translations: list[np.ndarray]
    tables: list[torch.Tensor]
    log_prior: float

    def __len__(self) -> int:
        return len(self.rotations)


@dataclass
class CandidateScores:
    """Posteriors of the images of a block, with the slices their orientations predict.

    Parameters
    ----------
    posteriors : list of PoseWeights
        One an image, its table of shape (1, T_i, C_i).
    slices : torch.Tensor, shape (sum C_i, P), complex
        Slices of all images' orientations, image after image.
    """

    posteriors: list[PoseWeights]
    slices: torch.Tensor


def score_candidates(
    terms: ImageTerms, candidates: Candidates, interpolation, prepared: torch.Tensor, pixels: torch.Tensor
) -> CandidateScores:
    """Posterior of every image over its own candidates."""
    rotations = torch.as_tensor(np.concatenate(candidates.rotations))
    slices = interpolation.slices(prepared, rotations, pixels)
    power = slices.real**2 + slices.imag**2
    real = as_real(slices)
    posteriors, start = [], 0
    for i in range(len(candidates)):
        part = slice(start, start + len(candidates.rotations[i]))
        start = part.stop
        shifted = as_real(terms.scored[i] * candidates.tables[i])
        scores = shifted @ real[part].T
        scores -= 0.5 * (power[part] @ terms.weight[i if len(terms.weight) > 1 else 0])
        scores += candidates.log_prior
        posteriors.append(normalise(scores[None]))
    return CandidateScores(posteriors, slices)


def candidate_sums(
    terms: ImageTerms, candidates: Candidates, scores: CandidateScores, data: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Posterior-weighted data (sum C_i, P), complex, and weights (sum C_i, P) of every orientation."""
    sums, weights = [], []
    for i, posterior in enumerate(scores.posteriors):
        table = posterior.weights[0]
        sums.append(table.T @ as_real(data[i] * candidates.tables[i]))
        weights.append(table.sum(0)[:, None] * terms.weight[i if len(terms.weight) > 1 else 0])
    total = torch.cat(sums)
    return torch.view_as_complex(total.view(len(total), -1, 2)), torch.cat(weights)


def significant(mass: torch.Tensor, share: float, most: int) -> torch.Tensor:
    """Indices of the largest entries of a probability vector that together hold `share` of it; at most `most`."""
    top, index = mass.topk(min(most, len(mass)))
    below = torch.cumsum(top, 0) < share * float(mass.sum())
    return index[: int(below.sum()) + 1].sort().values
