"""What the two half-sets tell of each other: FSC, signal power, and the lowest shells they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from cryoinv.likelihood import SufficientStatistics
from cryoinv.metrics import Resolution, fourier_shell_correlation, resolution_at
from cryoinv.parallel import Processes

__all__ = ["HalfMaps", "join_low_resolution", "of_both", "resolution_of", "tau2_from_fsc"]


@dataclass
class HalfMaps:
    """Unregularised, unmasked half-maps and their correlation.

    Parameters
    ----------
    volumes : tuple of torch.Tensor, shape (n, n, n)
        Maps of B/K.
    fsc : torch.Tensor, shape (n//2+1,)
        Their FSC.
    fsc_masked : torch.Tensor, shape (n//2+1,)
        Their FSC inside the particle's sphere.
    """

    volumes: tuple[torch.Tensor, torch.Tensor]
    fsc: torch.Tensor
    fsc_masked: torch.Tensor

    @classmethod
    def of(
        cls,
        halves: tuple[SufficientStatistics, SufficientStatistics],
        mask: torch.Tensor,
        window: float = float("inf"),
        processes: Processes | None = None,
    ) -> HalfMaps:
        """Compare the halves' statistics inside `mask` (n, n, n), the particle's sphere, and without it.

        Beyond the frequencies used, `window`, the FSC is zero: masking fills those shells with leaked signal. Where
        there are several `processes`, they share the work.
        """
        share = partial((processes or Processes()).share, device=mask.device)
        first, second = share([partial(_unregularised_map, half) for half in halves])
        correlations = [
            partial(fourier_shell_correlation, first, second),
            partial(fourier_shell_correlation, first * mask, second * mask),
        ]
        whole, masked = share(correlations)
        used = torch.arange(first.shape[0] // 2 + 1, device=first.device) <= window + 0.5
        return cls((first, second), whole * used, masked * used)

    def resolution(self, pixel_size: float, masked: bool = False) -> Resolution:
        """Resolution where the FSC falls below 0.143."""
        return resolution_of(self.fsc_masked if masked else self.fsc, self.volumes[0].shape[0], pixel_size)


def _unregularised_map(half: SufficientStatistics) -> torch.Tensor:
    return half.to_volume(half.unregularised())


def resolution_of(fsc: torch.Tensor, n: int, pixel_size: float, threshold: float = 0.143) -> Resolution:
    """Resolution at which an FSC falls below a threshold.

    The Nyquist shell of an even box, which images do not fill, is taken to be like the last one they do.
    """
    curve = fsc.clone()
    curve[n // 2] = curve[(n - 1) // 2]
    return resolution_at(curve, threshold, n, pixel_size)


def of_both(fsc: torch.Tensor) -> torch.Tensor:
    r"""FSC of a map of all particles with as many others, :math:`2F/(1 + F)`, from that of the halves.

    Parameters
    ----------
    fsc : torch.Tensor, shape (n//2+1,)
        F; negative ones count as zero.

    Returns
    -------
    torch.Tensor, shape (n//2+1,)

    References
    ----------
    P. B. Rosenthal, R. Henderson, J. Mol. Biol. 333 (2003) 721-745.

    Examples
    --------
    >>> of_both(torch.tensor([1.0, 0.25, -0.1])).tolist()
    [1.0, 0.4000000059604645, 0.0]
    """
    fsc = fsc.clamp(min=0)
    return 2 * fsc / (1 + fsc)


def tau2_from_fsc(fsc: torch.Tensor, statistics: SufficientStatistics, filled: float = 1.0) -> torch.Tensor:
    r"""Signal power per shell, :math:`\tau^2 = \frac{1}{v}\,\frac{FSC}{1-FSC} / \langle K\rangle_{shell}`.

    With v = 1 it is eq. 12. Noise fills the box, the signal only the fraction v of it: where there is signal, its
    power exceeds the box's mean, which is what the FSC of whole boxes tells, by 1/v. The FSC is clipped to
    [0.001, 0.999]; shells without data get power zero's stand-in, the smallest positive number.

    Parameters
    ----------
    fsc : torch.Tensor, shape (n//2+1,)
        Of the whole boxes.
    statistics : SufficientStatistics
        Whose K the power is measured by.
    filled : float
        v, the mean square of the mask the map is multiplied by afterwards.

    References
    ----------
    D. Kimanius et al. (2020), eq. 12; C. V. Sindelar and N. Grigorieff (2012), J. Struct. Biol. 180, 26-38, the
    volume-normalised filter.
    """
    clipped = fsc.double().clamp(1e-3, 0.999)
    mean = filled * statistics.shell_mean(statistics.weight)
    tau2 = clipped / (1 - clipped) / mean.clamp(min=1e-300)
    return torch.where(mean > 0, tau2, torch.full_like(tau2, 1e-30)).clamp(1e-30, 1e30)


def join_low_resolution(
    halves: tuple[SufficientStatistics, SufficientStatistics],
    coarser_than: float,
    solutions: Sequence[torch.Tensor] | None = None,
) -> tuple[tuple[SufficientStatistics, SufficientStatistics], Sequence[torch.Tensor] | None]:
    """Replace B and K of both halves by their mean in shells coarser than the given number of Å (RELION's rule).

    The halves then cannot drift apart as a whole; their FSC in those shells says nothing.

    Parameters
    ----------
    halves : tuple of SufficientStatistics
        Of the same particles' space.
    coarser_than : float
        Å; zero leaves them as they are.
    solutions : sequence of torch.Tensor, optional
        Elements of that space, one a half, that are joined in the same shells.

    Returns
    -------
    halves : tuple of SufficientStatistics
        Joined.
    solutions : sequence of torch.Tensor or None
        Joined.
    """
    first, second = halves
    if coarser_than <= 0:
        return halves, solutions
    last = int(first.n * first.pixel_size / coarser_than)
    shared = first.expand((torch.arange(first.n // 2 + 1) <= last).to(first.weight.dtype)).bool()

    def joined(pair: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        mean = torch.where(shared, 0.5 * (pair[0] + pair[1]), 0)
        return [torch.where(shared, mean, each) for each in pair]

    data, weight = joined([half.data for half in halves]), joined([half.weight for half in halves])
    return (
        (replace(first, data=data[0], weight=weight[0]), replace(second, data=data[1], weight=weight[1])),
        None if solutions is None else joined(solutions),
    )
