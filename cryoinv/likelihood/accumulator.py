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

_FLUSH_BYTES = 1 << 27  # slices wait until they hold so much, and as much as the spectrum: a pass over it is dear


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
        self.data: torch.Tensor | None = None
        self.weight: torch.Tensor | None = None
        self.residual: torch.Tensor | None = None
        self._gradient = gradient
        self._waiting: list[tuple[np.ndarray, torch.Tensor, torch.Tensor, torch.Tensor | None]] = []
        self._bytes = 0
        self._enough = max(_FLUSH_BYTES, 4 * interpolation.box**3)
        self._largest = 0.0

    def add_images(self, group: int, power: torch.Tensor, images: int) -> None:
        """Count the power of images, before the expected signal is taken off by `add_slices`."""
        self.residuals.add(group, power, self.disc.shells, self.disc.weights, images)

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
        expected = weight * (slices.real**2 + slices.imag**2)
        expected -= 2 * (slices.real * scored.real + slices.imag * scored.imag)
        shells, weights = self.disc.shells[:count], self.disc.weights[:count]
        self.residuals.add(group, expected.sum(0, dtype=torch.float64) / precision, shells, weights, 0)
        residual = data - weight * slices if self._gradient else None
        self._waiting.append((rotations, data, weight, residual))
        self._bytes += data.numel() * data.element_size()
        if self._bytes > self._enough:
            self.flush()

    def flush(self) -> None:
        """Insert everything that waits."""
        if not self._waiting:
            return
        rotations = torch.as_tensor(np.concatenate([w[0] for w in self._waiting]))
        data = torch.cat([w[1] for w in self._waiting])
        weight = torch.cat([w[2] for w in self._waiting])
        pixels = self.disc.pixels[: data.shape[1]]
        self._largest = float((pixels[-1].double() ** 2).sum().sqrt())
        for mate in self.symmetry.matrices:
            turned = rotations @ torch.as_tensor(mate)
            self.data = _sum(self.data, self.interpolation.insert(data, turned, pixels))
            self.weight = _sum(self.weight, self.interpolation.insert_weights(weight, turned, pixels))
        if self._gradient:
            residual = torch.cat([w[3] for w in self._waiting if w[3] is not None])
            self.residual = _sum(self.residual, self.interpolation.insert(residual, rotations, pixels))
        self._waiting, self._bytes = [], 0

    def statistics_terms(self) -> tuple[torch.Tensor, torch.Tensor]:
        r"""B and K of everything inserted, zero where a coefficient's cell lies beyond all frequencies scored.

        Interpolation spreads the outermost pixels further than that; there B/K would be extrapolation.
        """
        assert self.data is not None and self.weight is not None
        box = self.interpolation.box
        # Distance from zero to the nearest point of each coefficient's unit cell.
        full, half = ((axis.abs() - 0.5).clamp(min=0) ** 2 for axis in frequencies(box, self.data.device))
        reach = self._largest * box / self.disc.n
        inside = full[:, None, None] + full[:, None] + half <= reach**2
        return self.interpolation.data(self.data) * inside, self.interpolation.weight(self.weight) * inside


def _sum(total: torch.Tensor | None, part: torch.Tensor) -> torch.Tensor:
    return part if total is None else total.add_(part)
