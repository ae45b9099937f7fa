"""E-step kernels for orientations and translations of each image's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from .posterior import PoseWeights, normalise
from .scores import ImageTerms, as_real

__all__ = ["Candidates", "candidate_sums", "score_candidates", "significant"]


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
    log_prior : list of float
        Logarithm of the prior mass of each pose of image i.
    """

    rotations: list[np.ndarray]
    translations: list[np.ndarray]
    tables: list[torch.Tensor]
    log_prior: list[float]

    def __len__(self) -> int:
        return len(self.rotations)

    def batches(self, orientations: int) -> Iterator[slice]:
        """Runs of images with at most so many orientations together, one image at least."""
        start, total = 0, 0
        for i, own in enumerate(self.rotations):
            if total and total + len(own) > orientations:
                yield slice(start, i)
                start, total = i, 0
            total += len(own)
        yield slice(start, len(self))

    def take(self, images: slice) -> Candidates:
        """Candidates of some of the images."""
        return Candidates(
            self.rotations[images],
            self.translations[images],
            self.tables[images],
            self.log_prior[images],
        )


@dataclass
class CandidateScores:
    """Posteriors of the images of a block, with the slices their orientations predict.

    Parameters
    ----------
    posteriors : list of PoseWeights
        One an image, its table of shape (1, T_i, C_i).
    slices : list of torch.Tensor, shape (C_i, P), complex
        Slices of each image's orientations.
    """

    posteriors: list[PoseWeights]
    slices: list[torch.Tensor]


def score_candidates(
    terms: ImageTerms, candidates: Candidates, slices: Callable[[Candidates], list[torch.Tensor]]
) -> CandidateScores:
    """Posterior of every image over its own candidates; `slices` gives each image's slices (C_i, P)."""
    parts = slices(candidates)
    posteriors = []
    for i, part in enumerate(parts):
        real = as_real(part)
        scores = as_real(terms.scored[i] * candidates.tables[i]) @ real.T
        scores -= 0.5 * (real.square() @ terms.weight_of(i).repeat_interleave(2))
        scores += candidates.log_prior[i]
        posteriors.append(normalise(scores[None]))
    return CandidateScores(posteriors, parts)


@dataclass
class CandidateSums:
    """Sums of a block of images at the orientations that hold any mass to speak of, image after image.

    Parameters
    ----------
    rotations : numpy.ndarray, shape (M, 3, 3)
        The orientations.
    slices, data, scored : torch.Tensor, shape (M, P), complex
        Predicted slices; posterior-weighted, shift-corrected data, as inserted and as scored.
    weight : torch.Tensor, shape (M, P)
        Posterior-weighted weights.
    """

    rotations: np.ndarray
    slices: torch.Tensor
    data: torch.Tensor
    scored: torch.Tensor
    weight: torch.Tensor


def candidate_sums(
    terms: ImageTerms, candidates: Candidates, scores: CandidateScores, negligible: float
) -> CandidateSums:
    """Sum over translations at every orientation whose posterior mass exceeds `negligible`."""
    masses = [posterior.weights[0].sum(0) for posterior in scores.posteriors]
    kept = [(mass > negligible).nonzero()[:, 0] for mass in masses]
    masked, shape = terms.scored is not terms.inserted, (sum(map(len, kept)), terms.scored.shape[1])
    data, weight = terms.scored.new_empty(shape), terms.precision.new_empty(shape)
    scored = torch.empty_like(data) if masked else data
    slices = torch.empty_like(data)
    end = 0
    for i, posterior in enumerate(scores.posteriors):
        own = slice(end, end := end + len(kept[i]))
        table = posterior.weights[0][:, kept[i]].T
        _weighted(table, terms.inserted[i], candidates.tables[i], data[own])
        if masked:
            _weighted(table, terms.scored[i], candidates.tables[i], scored[own])
        torch.mul(masses[i][kept[i], None], terms.weight_of(i), out=weight[own])
        torch.index_select(scores.slices[i], 0, kept[i], out=slices[own])
    rotations = [own[k.cpu().numpy()] for own, k in zip(candidates.rotations, kept, strict=True)]
    return CandidateSums(np.concatenate(rotations), slices, data, scored, weight)


def _weighted(table: torch.Tensor, data: torch.Tensor, undo: torch.Tensor, out: torch.Tensor) -> None:
    """Sum over translations of weights (C, T) times shift-corrected data, into `out` (C, P)."""
    torch.mm(table, as_real(data * undo), out=as_real(out))


def significant(mass: torch.Tensor, share: float, most: int) -> torch.Tensor:
    """Indices of the largest entries of a probability vector that together hold `share` of it; at most `most`."""
    top, index = mass.topk(min(most, len(mass)))
    below = torch.cumsum(top, 0) < share * float(mass.sum())
    return index[: int(below.sum()) + 1].sort().values

