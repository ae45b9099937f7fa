"""A denoiser in the place of a proximal map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import BoundPrior, Prior
from .spectral_denoiser import SpectralDenoiser, chosen_denoiser

if TYPE_CHECKING:
    from cryoinv.denoisers import Denoiser, PriorContext
    from cryoinv.likelihood import SufficientStatistics

__all__ = ["BoundPlugAndPlay", "PlugAndPlay"]


class PlugAndPlay(Prior):
    r"""Plug-and-play prior: the denoiser is the proximal map, :math:`\mathrm{prox}_{s}(z) = f(z)`.

    Whatever the step s: a denoiser is for the noise it was made for, and does not know of steps. Where an M-step with
    this prior comes to rest depends therefore on its step (ADMM's ρ) as a weight of the prior would.

    Parameters
    ----------
    denoiser : Denoiser, optional
        f; `SolventFlattening` by default, a Wiener filter and an automatic soft mask.

    Raises
    ------
    InputError
        If the denoiser is none.

    References
    ----------
    S. V. Venkatakrishnan, C. A. Bouman, B. Wohlberg, Plug-and-play priors for model based reconstruction, GlobalSIP
    (2013) 945-948.

    Examples
    --------
    >>> PlugAndPlay().offers()
    ['proximal']
    """

    name = "pnp"
    has_proximal = True

    def __init__(self, denoiser: Denoiser | None = None):
        self.denoiser = chosen_denoiser(denoiser)

    def bind(self, statistics: SufficientStatistics, context: PriorContext) -> BoundPlugAndPlay:
        """Return the functional that has nothing but the proximal map."""
        return BoundPlugAndPlay(SpectralDenoiser(self.denoiser, statistics, context))


class BoundPlugAndPlay(BoundPrior):
    """What a denoiser would be the proximal map of, if it were one.

    Parameters
    ----------
    denoiser : SpectralDenoiser
        f, on the statistics' space.
    """

    def __init__(self, denoiser: SpectralDenoiser):
        super().__init__(denoiser.statistics.space)
        self.denoiser = denoiser

    def proximal(self, step: float) -> SpectralDenoiser:
        """Operator z -> f(z), whatever the step."""
        return self.denoiser
