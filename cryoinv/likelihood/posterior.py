r"""The posterior over poses, :math:`w_{ig} = \mathrm{softmax}_g(\mathrm{score}_{ig} + \log P(g))`, on score tables."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

__all__ = ["PoseWeights", "normalise"]

_LOWEST = -80.0  # exp of less is subnormal: slow, and nothing of the mass


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
    """Softmax over all poses of each image, in place: `scores` (I, T, O) becomes the weights.

    Examples
    --------
    >>> posterior = normalise(torch.tensor([[[0.0, 0.0, -200.0]]]))
    >>> posterior.weights.tolist(), round(float(posterior.entropy), 4)
    ([[[0.5, 0.5, 0.0]]], 0.6931)
    """
    flat = scores.flatten(1)
    highest, best = flat.max(1)
    flat.sub_(highest[:, None]).clamp_(min=_LOWEST)
    weights = flat.exp()
    weights.masked_fill_(flat <= _LOWEST, 0)
    total = weights.sum(1, dtype=torch.float64)
    weights.div_(total[:, None].to(weights.dtype))
    log_total = torch.log(total)
    entropy = log_total - torch.linalg.vecdot(weights, flat).double()
    return PoseWeights(
        weights.view_as(scores),
        highest.double() + log_total,
        entropy,
        best,
        (1 / total),
        torch.linalg.vecdot(weights, weights),
    )
