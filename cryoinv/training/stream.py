"""Batches without end: what each holds is told by the seed and its number, however training was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cryoinv.errors import InputError

from .pairs import PairMaker, Pairs, stacked

__all__ = ["PairStream", "held_out_pairs"]


class PairStream:
    """Batches of pairs.

    Parameters
    ----------
    makers : sequence of PairMaker
        Who makes them.
    shares : sequence of float
        How often each is asked; need not sum to one.
    batch : int
        Pairs a batch, even, as halves come in twos.
    seed : int
        Tells all batches.

    Raises
    ------
    InputError
        If the batch is odd, or shares are not one a maker, none of them negative, one positive.
    """

    def __init__(self, makers: Sequence[PairMaker], shares: Sequence[float], batch: int, seed: int = 0):
        if batch < 2 or batch % 2:
            raise InputError(f"batch is {batch}, expected an even number: halves come in twos")
        if len(shares) != len(makers) or min(shares, default=-1) < 0 or not sum(shares) > 0:
            raise InputError(
                f"shares {list(shares)} for {len(makers)} makers of pairs, expected one each, not negative"
            )
        self.makers, self.batch, self.seed = list(makers), batch, seed
        self._shares = np.asarray(shares, dtype=float) / sum(shares)

    def __getitem__(self, number: int) -> Pairs:
        """Batch of a number from 0: always the same one."""
        parts = []
        for data_set in range(self.batch // 2):
            rng = np.random.default_rng((self.seed, number, data_set))
            maker = self.makers[int(rng.choice(len(self.makers), p=self._shares))]
            parts.append(maker(rng))
        return stacked(parts)


def held_out_pairs(
    makers: Sequence[PairMaker],
    data_sets: int,
    seed: int = 2020,
    callback: Callable[[int], None] | None = None,
) -> Pairs:
    """Pairs to measure with, both halves of so many data sets, of each maker in turn.

    Parameters
    ----------
    makers : sequence of PairMaker
        With held-out structures.
    data_sets : int
        How many.
    seed : int
        Tells them all.
    callback : callable, optional
        Called with 1 after each data set.

    Returns
    -------
    Pairs
    """
    parts = []
    for i in range(data_sets):
        parts.append(makers[i % len(makers)](np.random.default_rng((seed, i))))
        if callback is not None:
            callback(1)
    return stacked(parts)
