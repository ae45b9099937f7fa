"""Regularisation by a denoiser after the M-step, as Blush does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cryoinv.denoisers import Denoiser, Wiener
from cryoinv.denoisers.base import checked_volume
from cryoinv.errors import InputError
from cryoinv.spaces import centred_irfft, centred_rfft, radial_expand
from cryoinv.specs import nearest

from .masked import MaskedGaussianPrior, MaskedQuadratic

if TYPE_CHECKING:
    from cryoinv.denoisers import PriorContext
    from cryoinv.likelihood import SufficientStatistics

__all__ = ["BlushStyle"]

_INPUTS = ("unregularised", "map")


class BlushStyle(MaskedGaussianPrior):
    r"""Gaussian M-step, then denoiser, mask and spectral trailing, :math:`x \leftarrow S\,(m \cdot f(x))`.

    f is a denoiser, of the unregularised map B/K or of the Gaussian MAP map; m is the automatic solvent mask of
    `MaskedGaussianPrior`. S, the spectral trailing, lets shells pass up to where the half-maps' FSC ends, fades them
    over `margin` shells with a raised cosine, and lets nothing pass beyond: what a denoiser makes up there would be
    aligned to, and grow. The result is not mixed with the data again.

    Parameters
    ----------
    denoiser : Denoiser, optional
        f; by default `Wiener`, so that nothing but filters and mask acts.
    acts_on : {"unregularised", "map"}
        What f is applied to: denoisers that filter by the FSC themselves, as those of the package do, want B/K.
    cutoff : float
        The FSC ends at the first shell where it is below this.
    margin : int
        Shells beyond the end that the trailing fades over.
    tau2_fudge, lowpass, extend, edge : float
        As in `MaskedGaussianPrior`.

    Raises
    ------
    InputError
        If `acts_on` is neither, `cutoff` is not within [0, 1), `margin` is negative or a number of the mask is out of
        range.

    References
    ----------
    D. Kimanius et al., Nat. Methods 21 (2024) 1216-1221.

    Examples
    --------
    >>> from cryoinv.denoisers import LowPass
    >>> BlushStyle(LowPass(10.0), acts_on="map", margin=3)
    BlushStyle(denoiser=LowPass(resolution=10), acts_on='map', margin=3)
    """

    name = "blush"

    def __init__(
        self,
        denoiser: Denoiser | None = None,
        acts_on: str = "unregularised",
        cutoff: float = 0.05,
        margin: int = 2,
        tau2_fudge: float = 1.0,
        lowpass: float = 15.0,
        extend: float = 4.0,
        edge: float = 9.0,
    ):
        if acts_on not in _INPUTS:
            raise InputError(f"acts_on is {acts_on!r}, {nearest(str(acts_on), _INPUTS)}")
        if not (0 <= cutoff < 1 and margin >= 0):
            raise InputError(f"cutoff is {cutoff} and margin {margin}, expected within [0, 1) and not negative")
        super().__init__(tau2_fudge, lowpass, extend, edge)
        self.forgets_solution = acts_on == "unregularised"
        self.denoiser, self.acts_on = denoiser or Wiener(), acts_on
        self.cutoff, self.margin = cutoff, margin

    def bind(self, statistics: SufficientStatistics, context: PriorContext) -> MaskedQuadratic:
        """Return the quadratic functional, whose `post_process` denoises, masks and trails."""
        precision = super().bind(statistics, context).precision
        return _Blush(self, precision, statistics, context, **self.mask_options)

    def trailing(self, context: PriorContext) -> torch.Tensor:
        """Factor S of every shell, shape (n//2+1,), in double precision."""
        below = context.fsc[1:] < self.cutoff  # the zeroth shell is one coefficient, whose FSC is noise
        last = int((below.cumsum(0) == 0).sum())
        shells = torch.arange(context.n // 2 + 1, dtype=torch.float64, device=context.fsc.device)
        return 0.5 + 0.5 * torch.cos(torch.pi * ((shells - last) / (self.margin + 1)).clamp(0, 1))


class _Blush(MaskedQuadratic):
    def __init__(self, prior: BlushStyle, precision: torch.Tensor, *bound: object, **options: float):
        super().__init__(precision, *bound, **options)  # type: ignore[arg-type]
        self.prior = prior

    def post_process(self, volume: torch.Tensor) -> torch.Tensor:
        """Denoise, mask and trail."""
        prior, source = self.prior, volume
        if prior.acts_on == "unregularised":
            source = self.statistics.to_volume(self.statistics.unregularised()).to(volume)
        denoised = checked_volume(prior.denoiser.denoise(source, self.context), volume, prior.denoiser)
        factor = radial_expand(prior.trailing(self.context).to(volume), self.context.n, outside=0.0)
        return centred_irfft(factor * centred_rfft(super().post_process(denoised)), self.context.n)
