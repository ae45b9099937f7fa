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
    of the masses of each pair, (I T, pairs) each: two halves of one table, as scores and products are before.
    """

    def _order(self) -> np.ndarray:
        assert self.search.pairs is not None
        return self.search.pairs.T.reshape(-1)

    def _split(self) -> None:
        self._cosine, self._sine = self.slices.real.T.contiguous(), self.slices.imag.T.contiguous()
        self._table: torch.Tensor | None = None

    @property
    def slice_rotations(self) -> np.ndarray:
        """Orientations of the slices."""
        return self.rotations[: len(self.rotations) // 2]

    def posterior(self, terms: ImageTerms, tables: bool = True) -> GridPosterior:
        """Posterior of a block of images over the whole grid; the tables of the last one are overwritten."""
        offset = -0.5 * (terms.weight @ self._power.T)
        offset = torch.cat([offset, offset], 1) + self._log_rotation_prior
        if self.slices.dtype == torch.complex64 and self.slices.device.type == "cpu" and _compiled():
            return self._compiled_posterior(terms, offset.expand(len(terms), -1), tables)
        return self._plain_posterior(terms, offset, tables)

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

    def _products(self, data: torch.Tensor, even: torch.Tensor, odd: torch.Tensor) -> None:
        """Products (I T, pairs) of the real and of the imaginary parts of shifted data and slices."""
        shifted = self._shifted(data)
        torch.mm(shifted.real.contiguous(), self._cosine, out=even)
        torch.mm(shifted.imag.contiguous(), self._sine, out=odd)

    def _room(self, images: int) -> torch.Tensor:
        """Table (I T, O) for so many images: fresh pages for every block would cost more than the products."""
        rows = images * len(self.table)
        if self._table is None or len(self._table) < rows:
            self._table = None  # let go before there is another
            self._table = self._cosine.new_empty(rows, len(self.rotations))
        return self._table[:rows]

    def _plain_posterior(self, terms: ImageTerms, offset: torch.Tensor, tables: bool) -> GridPosterior:
        """The posterior by plain tensor operations, on any device and in any precision, all in one table."""
        table = self._room(len(terms))
        even, odd = table.tensor_split(2, 1)
        self._products(terms.scored, even, odd)
        _sum_and_difference(even, odd)
        scores = table.view(len(terms), len(self.table), -1)
        scores += offset[:, None]
        scores += self._log_translation_prior[:, None]
        found = normalise(scores)
        masses = (scores.sum(1), scores.sum(2))
        if tables:
            _sum_and_difference(even, odd)
        return GridPosterior(
            found.without_table(), *masses, (even, odd) if tables else (), even.new_ones(len(scores))
        )

    def _compiled_posterior(self, terms: ImageTerms, offset: torch.Tensor, tables: bool) -> GridPosterior:
        from .paired_softmax_numba import paired_softmax

        # Halves one after the other: rows of each are contiguous to the compiler.
        even, odd = self._room(len(terms)).view(2, -1, len(self.slices)).unbind()
        self._products(terms.scored, even, odd)
        orientations, translations, sums, best = paired_softmax(even, odd, offset, self._log_translation_prior, tables)
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
        return GridPosterior(
            summary, orientations.mul_(each), translations.mul_(each), (even, odd) if tables else (), scale
        )


def _sum_and_difference(a: torch.Tensor, b: torch.Tensor) -> None:
    """Put the sum in place of the first and the difference in place of the second, without a third table."""
    a.add_(b)
    b.mul_(-2).add_(a)


def _compiled() -> bool:
    from cryoinv.operators.trilinear import has_compiled_kernel

    return has_compiled_kernel()
