"""Power of residual images per optics group and shell, as sums that add across batches."""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["ResidualPower"]


@dataclass
class ResidualPower:
    r"""Sums :math:`\sum_i \sum_{k \in s} w_k\, E|y_i - H_g x|^2_k` and the weights :math:`\sum_i \sum_{k \in s} w_k`.

    Parameters
    ----------
    total : torch.Tensor, shape (groups, shells), float64
        Weighted sums of squared residuals.
    count : torch.Tensor, shape (groups, shells), float64
        Sums of the weights.
    """

    total: torch.Tensor
    count: torch.Tensor

    @classmethod
    def zeros(cls, groups: int, shells: int) -> ResidualPower:
        """Nothing seen yet."""
        return cls(
            torch.zeros(groups, shells, dtype=torch.float64), torch.zeros(groups, shells, dtype=torch.float64)
        )

    def add(
        self, group: int, power: torch.Tensor, shells: torch.Tensor, weights: torch.Tensor, images: int
    ) -> None:
        """Add the power of `images` images, summed over them, at pixels of given shells and weights.

        Parameters
        ----------
        group : int
            Optics group.
        power : torch.Tensor, shape (P,)
            Squared residual at every pixel, summed over the images.
        shells : torch.Tensor, shape (P,), int64
            Shell of every pixel.
        weights : torch.Tensor, shape (P,)
            Weight of every pixel in the inner product.
        images : int
            How many images `power` sums.
        """
        weights = weights.double().cpu()
        shells = shells.cpu()
        self.total[group].index_add_(0, shells, power.double().cpu() * weights)
        self.count[group].index_add_(0, shells, weights * images)

    def __add__(self, other: ResidualPower) -> ResidualPower:
        return ResidualPower(self.total + other.total, self.count + other.count)

    def mean(self) -> torch.Tensor:
        """Mean power per group and shell; a shell without data takes that of its nearest filled neighbour below."""
        mean = self.total / self.count.clamp(min=1e-300)
        for shell in range(1, mean.shape[1]):
            empty = self.count[:, shell] == 0
            mean[empty, shell] = mean[empty, shell - 1]
        return mean
