"""Several denoisers, each in its own resolution band."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch

from cryoinv.errors import InputError
from cryoinv.spaces import centred_irfft, centred_rfft, radial_expand

from .base import Denoiser, checked_volume
from .context import PriorContext
from .filters import LowPass, Wiener

__all__ = ["ResolutionBands"]


class ResolutionBands(Denoiser):
    r"""Denoisers that are each trusted in their own resolution band, :math:`f = \sum_j P_j f_j`.

    The :math:`P_j` are radial filters with raised-cosine edges that sum to one. All denoisers see the whole map; of
    what each returns its band is kept.

    Parameters
    ----------
    denoisers : sequence of Denoiser, optional
        From the band of the lowest resolution to that of the highest; by default `LowPass` and `Wiener`. In a
        specification, ``denoisers=(NAME,...;NAME,...)``.
    edges : float, sequence of float, or str
        Resolutions in Å at which one band gives way to the next, in descending order, one fewer than the denoisers; in
        words ``"12;6"``.
    width : float
        Width of each edge, in shells.

    Raises
    ------
    InputError
        If the numbers of denoisers and edges do not fit, the edges do not descend, or `width` is negative.

    References
    ----------
    D. Kimanius et al. (2020), section 5, propose it.

    Examples
    --------
    >>> bands = ResolutionBands([LowPass(20.0), Wiener()], edges=12.0)
    >>> [round(float(band), 2) for band in bands.partition(PriorContext.nominal(32, 3.0, 8.0))[:, 8]]
    [0.5, 0.5]
    """

    name = "bands"

    def __init__(
        self,
        denoisers: Sequence[Denoiser] | None = None,
        edges: float | str | Sequence[float] = 12.0,
        width: float = 3.0,
    ):
        chosen = (LowPass(), Wiener()) if denoisers is None else tuple(denoisers)
        for each in chosen:
            if not isinstance(each, Denoiser):
                raise InputError(f"a band's denoiser is a {type(each).__name__}, expected a Denoiser")
        self.denoisers, self.edges, self.width = chosen, _checked_edges(edges), float(width)
        if len(self.edges) != len(chosen) - 1:
            raise InputError(f"{len(chosen)} denoisers and {len(self.edges)} edges, expected one edge between each two")
        if not width >= 0:
            raise InputError(f"width is {width} shells, expected a number not below 0")
        self.is_linear = all(each.is_linear for each in chosen)
        self.needs_whole_box = any(each.needs_whole_box for each in chosen)

    def partition(self, context: PriorContext) -> torch.Tensor:
        """Filters P of the bands by shell, shape (number of denoisers, n//2+1), each column of which sums to one."""
        rising = self._rising(context)
        one, zero = torch.ones_like(rising[:1]), torch.zeros_like(rising[:1])
        return torch.cat([one, rising]) - torch.cat([rising, zero])

    def denoise(self, volume: torch.Tensor, context: PriorContext) -> torch.Tensor:
        """Take each denoiser's band, as the first's map and the differences from each to the next above their edge."""
        found = [checked_volume(each.denoise(volume, context), volume, each) for each in self.denoisers]
        result = found[0]
        for (coarse, fine), profile in zip(itertools.pairwise(found), self._rising(context), strict=True):
            above = radial_expand(profile.to(volume.device, volume.dtype), context.n)
            result = result + centred_irfft(above * centred_rfft(fine - coarse), context.n)
        return result

    def target_fsc(self, context: PriorContext) -> torch.Tensor:
        """Each denoiser's in its band."""
        own = torch.stack([each.target_fsc(context) for each in self.denoisers])
        return (self.partition(context).to(own) * own).sum(0)

    def _rising(self, context: PriorContext) -> torch.Tensor:
        """From 0 to 1 across each edge, shape (number of edges, n//2+1)."""
        shells = torch.arange(context.n // 2 + 1, dtype=torch.float64)
        centres = context.n * context.pixel_size / torch.tensor(self.edges, dtype=torch.float64)
        position = (shells - centres[:, None]) / max(self.width, 1e-9) + 0.5
        return 0.5 - 0.5 * torch.cos(torch.pi * position.clamp(0, 1))


def _checked_edges(edges: float | str | Sequence[float]) -> tuple[float, ...]:
    """Edges in Å of a number, a sequence of them or text."""
    try:
        pieces = edges.split(";") if isinstance(edges, str) else edges
        found = (float(pieces),) if isinstance(pieces, (int, float)) else tuple(float(each) for each in pieces)
    except (TypeError, ValueError):
        raise InputError(f"edges are {edges!r}, expected numbers in Å") from None
    if not all(each > 0 for each in found) or any(high <= low for high, low in itertools.pairwise(found)):
        raise InputError(f"edges are {list(found)} Å, expected positive numbers in descending order")
    return found
