"""Sums over images and poses that an E-step builds: slices to insert, residual power, particle summaries."""

from __future__ import annotations

import numpy as np
import torch

from cryoinv.geometry import PointGroup
from cryoinv.noise import ResidualPower
from cryoinv.operators.interpolation import Interpolation
from cryoinv.operators.pixels import FourierDisc
from cryoinv.spaces.spectrum import frequencies

__all__ = ["SliceAccumulator"]


class SliceAccumulator:
    r"""Collects posterior-weighted slices and inserts them, with every symmetry mate, batch by batch.

    Per pose it takes :math:`b = \sum_i w_{ig}\,\sigma^{-2}C\,T^*y_i` and :math:`k = \sum_i w_{ig}\,\sigma^{-2}C^2`
    (weights of the inner product included) with the slice :math:`S` the pose predicts; it inserts b and k, and for
    an exact gradient the residual :math:`b - kS`.

    Parameters
    ----------
    interpolation : Interpolation
        How slices are inserted.
    disc : FourierDisc
        Pixels; the first ones are those inserted.
    symmetry : PointGroup
        Every slice stands for all its symmetry mates.
    groups : int
        Number of optics groups.
    gradient : bool
        Insert residuals too.
    """

    def __init__(
        self,
        interpolation: Interpolation,
        disc: FourierDisc,
        symmetry: PointGroup,
        groups: int,
        gradient: bool = False,
    ):
        self.interpolation, self.disc, self.symmetry = interpolation, disc, symmetry
        self.residuals = ResidualPower.zeros(groups, disc.n // 2 + 1)
        # On the CPU once and for all: to ask a GPU for them at every call would be to wait for it.
        self._shells, self._weights = disc.shells.cpu(), disc.weights.cpu()
        self._radii = (disc.pixels.cpu().double() ** 2).sum(1).sqrt()
        device = disc.pixels.device
        self._sums = interpolation.slice_sums(device)
        self._residual_sums = interpolation.slice_sums(device) if gradient else None
        self._largest = 0.0

    def add_images(self, group: int, power: torch.Tensor, images: int) -> None:
        """Count the power of images, before the expected signal is taken off by `add_slices`."""
        self.residuals.add(group, power, self._shells, self._weights, images)

    def add_slices(
        self,
        group: int,
        rotations: np.ndarray,
        slices: torch.Tensor,
        data: torch.Tensor,
        weight: torch.Tensor,
        precision: torch.Tensor,
        scored: torch.Tensor | None = None,
    ) -> None:
        """Take poses (M, 3, 3) with predicted slices, summed data (M, P) complex and weights (M, P).

        `scored` is the data term of the images as scored where that differs from `data`.
        """
        count = slices.shape[1]
        scored = data if scored is None else scored
        # k |S|^2 - 2 Re S conj(b), as S . (k S - 2 b) on real and imaginary parts
        parts, expected = torch.view_as_real(slices), -2 * torch.view_as_real(scored)
        expected.addcmul_(weight[..., None], parts).mul_(parts)
        columns = expected.flatten(1).T @ expected.new_ones(len(expected))  # a reduction by sum is far slower
        power = columns.double().view(-1, 2).sum(1) / precision
        self.residuals.add(group, power, self._shells[:count], self._weights[:count], 0)
        pixels, turned = self.disc.pixels[:count], torch.as_tensor(rotations)
        self._largest = float(self._radii[count - 1])
        for mate in self.symmetry.matrices:
            self._sums.add(turned @ torch.as_tensor(mate), pixels, data, weight)
        if self._residual_sums is not None:
            self._residual_sums.add(turned, pixels, data - weight * slices)

    @property
    def residual(self) -> torch.Tensor | None:
        """Sum of inserted residual slices, where an exact gradient was asked for."""
        return None if self._residual_sums is None else self._residual_sums.data()

    def statistics_terms(self) -> tuple[torch.Tensor, torch.Tensor]:
        r"""B and K of everything inserted, zero where a coefficient's cell lies beyond all frequencies scored.

        Interpolation spreads the outermost pixels further than that; there B/K would be extrapolation.
        """
        data, weight = self._sums.data(), self._sums.weight()
        assert data is not None and weight is not None
        box = self.interpolation.box
        # Distance from zero to the nearest point of each coefficient's unit cell.
        full, half = ((axis.abs() - 0.5).clamp(min=0) ** 2 for axis in frequencies(box, data.device))
        reach = self._largest * box / self.disc.n
        inside = full[:, None, None] + full[:, None] + half <= reach**2
        return self.interpolation.data(data) * inside, self.interpolation.weight(weight) * inside
