"""Pairs to learn from: unregularised half-maps with their truth, and what makes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from cryoinv.denoisers.filters import wiener_transfer
from cryoinv.networks.apply import filtered

__all__ = ["CoarsePairs", "PairMaker", "Pairs", "stacked", "windowed"]

_MARGINS = (4, 10)  # shells beyond the resolution to which refinements use frequencies


@dataclass
class Pairs:
    r"""Unregularised half-maps :math:`\tilde x = B/K`, unmasked, and what they are noisy maps of.

    Parameters
    ----------
    noisy : torch.Tensor, shape (m, n, n, n)
        x̃, in any grey scale.
    truth : torch.Tensor, shape (m, n, n, n)
        In the grey scale of `noisy`.
    fsc : torch.Tensor, shape (m, n//2+1)
        FSC of the half-map with the other half.
    pixel_size : float
        Å.
    names : list of str
        What each is a map of.
    radii : list of float
        Å from each particle's centre of mass to its farthest atom.
    """

    noisy: torch.Tensor
    truth: torch.Tensor
    fsc: torch.Tensor
    pixel_size: float
    names: list[str]
    radii: list[float]

    def __len__(self) -> int:
        return len(self.noisy)

    @property
    def n(self) -> int:
        """Box size."""
        return self.noisy.shape[-1]

    @property
    def transfer(self) -> torch.Tensor:
        """Wiener filter W of each, shape (m, n//2+1)."""
        return wiener_transfer(self.fsc).to(self.noisy)

    @property
    def target(self) -> torch.Tensor:
        """What a network is to find, W times the truth (eq. 19), shape (m, n, n, n)."""
        return filtered(self.transfer, self.truth)

    @property
    def wiener(self) -> torch.Tensor:
        """What the Wiener filter makes of each, W x̃, shape (m, n, n, n)."""
        return filtered(self.transfer, self.noisy)

    def taken(self, which: torch.Tensor) -> Pairs:
        """Pairs that are wanted, by a truth value each."""
        index = which.nonzero()[:, 0]
        names, radii = ([each[i] for i in index.tolist()] for each in (self.names, self.radii))
        noisy, truth, fsc = (each[index.to(each.device)] for each in (self.noisy, self.truth, self.fsc))
        return replace(self, noisy=noisy, truth=truth, fsc=fsc, names=names, radii=radii)

    def to(self, device: torch.device) -> Pairs:
        """Return the same pairs on another device."""
        return replace(self, noisy=self.noisy.to(device), truth=self.truth.to(device), fsc=self.fsc.to(device))


def stacked(parts: list[Pairs]) -> Pairs:
    """All pairs of several of one box and pixel size in one, where the first are."""
    parts = [each.to(parts[0].noisy.device) for each in parts]
    return Pairs(
        torch.cat([each.noisy for each in parts]),
        torch.cat([each.truth for each in parts]),
        torch.cat([each.fsc for each in parts]),
        parts[0].pixel_size,
        [name for each in parts for name in each.names],
        [radius for each in parts for radius in each.radii],
    )


def windowed(pairs: Pairs, rng: np.random.Generator, share: float = 0.7) -> Pairs:
    """Pairs of one data set as a refinement leaves them: without frequencies far beyond the resolution, in most.

    Parameters
    ----------
    pairs : Pairs
        Of one FSC.
    rng : numpy.random.Generator
        Draws how far beyond, and the data sets that are left as they are, as after a last iteration.
    share : float
        Of the data sets that lose frequencies.
    """
    if rng.random() >= share:
        return pairs
    low = (pairs.fsc[0, 1:] < 0.143).nonzero()
    last = int(low[0, 0]) if len(low) else pairs.n // 2
    used = torch.arange(pairs.n // 2 + 1, device=pairs.fsc.device) <= last + int(rng.integers(*_MARGINS, endpoint=True))
    return replace(pairs, noisy=filtered(used.to(pairs.noisy), pairs.noisy), fsc=pairs.fsc * used)


class PairMaker(Protocol):
    """Whatever makes pairs; the same random numbers give the same pairs."""

    def __call__(self, rng: np.random.Generator) -> Pairs:
        """Both halves of one data set."""


@dataclass
class CoarsePairs:
    """Pairs of another maker without anything finer than a resolution: what learns from them knows nothing finer.

    Parameters
    ----------
    maker : PairMaker
        Who makes them.
    finest : float
        Å.
    """

    maker: PairMaker
    finest: float

    def __call__(self, rng: np.random.Generator) -> Pairs:
        """Both halves of one data set."""
        pairs = self.maker(rng)
        known = known_shells(pairs.n, pairs.pixel_size, self.finest).to(pairs.noisy.device)
        noisy, truth = (filtered(known.to(pairs.noisy), each) for each in (pairs.noisy, pairs.truth))
        return replace(pairs, noisy=noisy, truth=truth, fsc=pairs.fsc * known)


def known_shells(n: int, pixel_size: float, finest: float) -> torch.Tensor:
    """Which shells, (n//2+1,), are no finer than a resolution in Å.

    Examples
    --------
    >>> known_shells(8, 3.0, 8.0).tolist()
    [True, True, True, True, False]
    """
    return torch.arange(n // 2 + 1) <= n * pixel_size / finest
