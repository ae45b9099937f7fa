r"""Shared grids whose orientations come in pairs half a turn in plane apart: half of the slices, half of the work.

A half turn in plane takes the frequency k to -k, and transforms of real maps are Hermitian: :math:`S'_o = \bar S_o`.
With data :math:`a + ib` and a slice :math:`c + id`, the scores of both orientations are :math:`ac + bd` and
:math:`ac - bd`; and sums over both, with
posterior masses w and w', need :math:`(w + w')\,a` and :math:`(w - w')\,b` only.
"""

from __future__ import annotations

import numpy as np
import torch

from .exhaustive import GridPosterior, GridSums, SharedGrid
from .posterior import PoseWeights, normalise
from .scores import ImageTerms

__all__ = ["PairedGrid"]


class PairedGrid(SharedGrid):
    """`SharedGrid` of a search whose orientations are paired; slices are those of the first of each pair.

    Orientations are ordered all firsts, then all seconds. The tables of its posteriors are the sums and the differences
    of the masses of each pair, (I T, pairs) each.
    """

    def _order(self) -> np.ndarray:
        assert self.search.pairs is not None
        return self.search.pairs.T.reshape(-1)

    def _split(self) -> None:
        self._cosine, self._sine = self.slices.real.T.contiguous(), self.slices.imag.T.contiguous()
        self._tables: tuple[torch.Tensor, torch.Tensor] | None = None

    @property
    def slice_rotations(self) -> np.ndarray:
        """Orientations of the slices."""
        return self.rotations[: len(self.rotations) // 2]

    def posterior(self, terms: ImageTerms) -> GridPosterior:
        """Posterior of a block of images over the whole grid; the tables of the last one are overwritten."""
        even, odd = self._products(terms.scored)
        offset = -0.5 * (terms.weight @ self._power.T)
        offset = torch.cat([offset, offset], 1) + self._log_rotation_prior
        if even.dtype == torch.float32 and even.device.type == "cpu" and _compiled():
            return self._compiled_posterior(even, odd, offset.expand(len(terms), -1))
        return self._plain_posterior(even, odd, offset)

    def new_sums(self) -> GridSums:
        """Nothing summed yet: real and imaginary parts are (P, pairs), the faster way round."""
        parts = [torch.zeros_like(self._cosine), torch.zeros_like(self._sine)]
        weight = torch.zeros_like(self.slices.real)
        return GridSums(parts, weight, weight.new_zeros(len(weight)))

    def add_data(self, sums: GridSums, posterior: GridPosterior, data: torch.Tensor) -> None:
        """Add posterior-weighted, shift-corrected data (I, P) at every slice, that of its mate conjugate."""
        shifted = self._shifted(data * posterior.scale[:, None])
        for total, part, table in zip(sums.data, (shifted.real, shifted.imag), posterior.tables, strict=True):
            total.addmm_(part.contiguous().T, table)

    def add_weights(self, sums: GridSums, posterior: GridPosterior, weight: torch.Tensor) -> None:
        """Add posterior-weighted weights (I, P) or (1, P) at every slice."""
        sums.add_weights(posterior.orientations.unflatten(1, (2, -1)).sum(1), weight)

    def data(self, sums: GridSums) -> torch.Tensor:
        """Summed data at every slice (pairs, P), complex."""
        real, imaginary = sums.data
        return torch.complex(real.T.contiguous(), imaginary.T.contiguous())

    def masses(self, posterior: GridPosterior, image: int, orientations: np.ndarray | slice) -> torch.Tensor:
        """Mass (T, chosen) of some of the grid's orientations, of one image."""
        count = len(self.table)
        chosen = np.arange(len(self.rotations))[orientations]
        second, pair = np.divmod(chosen, self.slices.shape[0])
        columns = torch.as_tensor(pair, device=self.slices.device)
        rows = slice(image * count, (image + 1) * count)
        even, odd = (table[rows].index_select(1, columns) for table in posterior.tables)
        sign = torch.as_tensor(1.0 - 2.0 * second).to(odd)
        return 0.5 * posterior.scale[image] * (even + sign * odd)

    def _products(self, data: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Products (I T, pairs) of the real and of the imaginary parts of shifted data and slices."""
        shifted = self._shifted(data)
        shape = (len(shifted), len(self.slices))
        # Fresh pages for every block would cost more than the products.
        if self._tables is None or self._tables[0].shape[0] < shape[0]:
            self._tables = (self._cosine.new_empty(shape), self._cosine.new_empty(shape))
        even, odd = (table[: shape[0]] for table in self._tables)
        torch.mm(shifted.real.contiguous(), self._cosine, out=even)
        torch.mm(shifted.imag.contiguous(), self._sine, out=odd)
        return even, odd

    def _plain_posterior(self, even: torch.Tensor, odd: torch.Tensor, offset: torch.Tensor) -> GridPosterior:
        """The same by plain tensor operations, on any device and in any precision."""
        count = len(self.table)
        scores = torch.cat([even + odd, even - odd], 1).view(-1, count, len(self.rotations))
        scores += offset[:, None]
        scores += self._log_translation_prior[:, None]
        found = normalise(scores)
        first, second = found.weights.flatten(0, 1).tensor_split(2, 1)
        torch.add(first, second, out=even)
        torch.sub(first, second, out=odd)
        masses = (found.weights.sum(1), found.weights.sum(2))
        return GridPosterior(found.without_table(), *masses, (even, odd), even.new_ones(len(scores)))

    def _compiled_posterior(self, even: torch.Tensor, odd: torch.Tensor, offset: torch.Tensor) -> GridPosterior:
        from .paired_softmax_numba import paired_softmax

        orientations, translations, sums, best = paired_softmax(even, odd, offset, self._log_translation_prior)
        highest, total, entropy, square = sums.unbind(1)
        summary = PoseWeights(
            even.new_empty(len(sums), 0, 0),
            highest + torch.log(total),
            torch.log(total) - entropy / total,
            best,
            1 / total,
            square / total**2,
        )
        scale = (1 / total).to(even.dtype)
        each = scale[:, None]
        return GridPosterior(summary, orientations.mul_(each), translations.mul_(each), (even, odd), scale)


def _compiled() -> bool:
    from cryoinv.operators.trilinear import has_compiled_kernel

    return has_compiled_kernel()
