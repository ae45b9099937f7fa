"""Pairs to learn from: unregularised half-maps with their truth, and what makes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch

from cryoinv.denoisers.filters import sphere_transfer
from cryoinv.metrics import fourier_shell_correlation
from cryoinv.networks.apply import filtered
from cryoinv.operators import soft_sphere

__all__ = ["CoarsePairs", "PairMaker", "Pairs", "stacked", "windowed"]

_TENSORS = ("noisy", "truth", "fsc", "fsc_masked")
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
    fsc, fsc_masked : torch.Tensor, shape (m, n//2+1)
        FSC of the half-map with the other half, of the whole box and inside the particle's sphere.
    pixel_size : float
        Å.
    names : list of str
        What each is a map of.
    radii : list of float
        Å, of the sphere that is taken for each particle's.
    """

    noisy: torch.Tensor
    truth: torch.Tensor
    fsc: torch.Tensor
    fsc_masked: torch.Tensor
    pixel_size: float
    names: list[str]
    radii: list[float]

    @classmethod
    def of_halves(
        cls,
        halves: torch.Tensor,
        truth: torch.Tensor,
        pixel_size: float,
        name: str,
        radius: float,
        used: torch.Tensor | None = None,
    ) -> Pairs:
        """Both half-maps of one data set with their truth, and the FSCs between them.

        Parameters
        ----------
        halves : torch.Tensor, shape (2, n, n, n)
            Unregularised.
        truth : torch.Tensor, shape (n, n, n)
            Of both.
        pixel_size : float
            Å.
        name : str
            What it is a map of.
        radius : float
            Å, of the particle's sphere.
        used : torch.Tensor, shape (n//2+1,), optional
            Which shells hold data; beyond them FSCs are zero. All by default.

        Returns
        -------
        Pairs
        """
        n = halves.shape[-1]
        sphere = soft_sphere(n, radius / pixel_size, device=halves.device).to(halves)
        curves = [fourier_shell_correlation(*maps) for maps in (halves, sphere * halves)]
        whole, masked = (curve if used is None else curve * used for curve in curves)
        return cls(
            halves,
            truth.expand(2, -1, -1, -1),
            whole.expand(2, -1),
            masked.expand(2, -1),
            pixel_size,
            [name] * 2,
            [radius] * 2,
        )

    def __len__(self) -> int:
        return len(self.noisy)

    @property
    def n(self) -> int:
        """Box size."""
        return self.noisy.shape[-1]

    @property
    def transfer(self) -> torch.Tensor:
        """Filter W of each, `denoisers.sphere_transfer`, shape (m, n//2+1)."""
        return sphere_transfer(self.fsc_masked).to(self.noisy)

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
        return replace(self, **self._tensors(lambda each: each[index.to(each.device)]), names=names, radii=radii)

    def to(self, device: torch.device) -> Pairs:
        """Return the same pairs on another device."""
        return replace(self, **self._tensors(lambda each: each.to(device)))

    def _tensors(self, change: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, Any]:
        return {name: change(getattr(self, name)) for name in _TENSORS}


def stacked(parts: list[Pairs]) -> Pairs:
    """All pairs of several of one box and pixel size in one, where the first are."""
    parts = [each.to(parts[0].noisy.device) for each in parts]
    tensors: dict[str, Any] = {name: torch.cat([getattr(each, name) for each in parts]) for name in _TENSORS}
    names, radii = ([one for each in parts for one in each.names], [one for each in parts for one in each.radii])
    return replace(parts[0], **tensors, names=names, radii=radii)


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
    noisy = filtered(used.to(pairs.noisy), pairs.noisy)
    return Pairs.of_halves(noisy, pairs.truth[0], pairs.pixel_size, pairs.names[0], pairs.radii[0], used)


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
        curves: dict[str, Any] = {"fsc": pairs.fsc * known, "fsc_masked": pairs.fsc_masked * known}
        return replace(pairs, noisy=noisy, truth=truth, **curves)


def known_shells(n: int, pixel_size: float, finest: float) -> torch.Tensor:
    """Which shells, (n//2+1,), are no finer than a resolution in Å.

    Examples
    --------
    >>> known_shells(8, 3.0, 8.0).tolist()
    [True, True, True, True, False]
    """
    return torch.arange(n // 2 + 1) <= n * pixel_size / finest
