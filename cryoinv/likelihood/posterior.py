r"""The posterior over poses, :math:`w_{ig} = \mathrm{softmax}_g(\mathrm{score}_{ig} + \log P(g))`, on score tables."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

__all__ = ["PoseWeights", "normalise"]

_LOWEST = -80.0  # exp of less is subnormal: slow, and nothing of the mass
_NOTHING = 1.001 * math.exp(_LOWEST)
_COPIED = 1 << 22  # scores: on a GPU no fewer should be worked on at a time


@dataclass
class PoseWeights:
    """Posterior of one block of images on a table of T translations and O orientations.

    Parameters
    ----------
    weights : torch.Tensor, shape (I, T, O)
        Posterior mass of every pose.
    log_evidence : torch.Tensor, shape (I,), float64
        Logarithm of the sum of exponentiated scores.
    entropy : torch.Tensor, shape (I,)
        Posterior entropy in nats.
    best : torch.Tensor, shape (I,), int64
        Flat index into (T, O) of the pose of largest mass.
    max_probability, mean_probability : torch.Tensor, shape (I,)
        Largest mass, and sum of squared masses.
    """

    weights: torch.Tensor
    log_evidence: torch.Tensor
    entropy: torch.Tensor
    best: torch.Tensor
    max_probability: torch.Tensor
    mean_probability: torch.Tensor

    def without_table(self) -> PoseWeights:
        """Return the summary alone; the table of weights is let go."""
        return replace(self, weights=self.weights.new_empty(len(self.best), 0, 0))

    @classmethod
    def join(cls, parts: list[PoseWeights]) -> PoseWeights:
        """Summaries of several blocks as one, without tables."""
        names = ("weights", "log_evidence", "entropy", "best", "max_probability", "mean_probability")
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def normalise(scores: torch.Tensor) -> PoseWeights:
    """Softmax over all poses of each image, in place: `scores` (I, T, O), contiguous, becomes the weights.

    Beside the table there is a copy of a few images' part of it, of one image's at least.

    Examples
    --------
    >>> posterior = normalise(torch.tensor([[[0.0, 0.0, -200.0]]]))
    >>> posterior.weights.tolist(), round(float(posterior.entropy), 4)
    ([[[0.5, 0.5, 0.0]]], 0.6931)
    """
    flat = scores.view(len(scores), -1)
    parts = [_softmax(some) for some in flat.split(max(1, _COPIED // flat.shape[1]))]
    found = parts[0] if len(parts) == 1 else tuple(map(torch.cat, zip(*parts, strict=True)))
    return PoseWeights(scores, *found)


def _softmax(scores: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The same of scores (I, poses); return all of `PoseWeights` but the weights."""
    highest, best = scores.max(1)
    scores.sub_(highest[:, None]).clamp_(min=_LOWEST)
    weights = torch.threshold_(scores.exp(), _NOTHING, 0.0)
    total = weights.sum(1, dtype=torch.float64)
    weights.div_(total[:, None].to(weights.dtype))
    log_total = torch.log(total)
    entropy = log_total - torch.linalg.vecdot(weights, scores).double()
    scores.copy_(weights)
    return highest.double() + log_total, entropy, best, 1 / total, torch.linalg.vecdot(weights, weights)
