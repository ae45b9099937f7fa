"""The Gaussian prior inside an automatic solvent mask."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch

from cryoinv.denoisers.solvent_mask import check_mask_options, solvent_mask

from .gaussian import GaussianPrior, QuadraticFunctional

if TYPE_CHECKING:
    from cryoinv.denoisers import PriorContext
    from cryoinv.likelihood import SufficientStatistics

__all__ = ["MaskedGaussianPrior", "MaskedQuadratic"]


class MaskedGaussianPrior(GaussianPrior):
    r"""Gaussian prior inside a soft solvent mask m, :math:`x = m \cdot V\,(K + \tau^{-2})^{-1} B`.

    The mask is found anew at every M-step, in the unregularised map :math:`\tilde x = B/K` of the same half alone, see
    `denoisers.solvent_mask`; the map is multiplied by it after the M-step. It is what practitioners do by hand, and the
    baseline of priors that know more of proteins.

    Parameters
    ----------
    tau2_fudge : float
        Factor T on the power.
    lowpass, extend, edge : float
        Of the mask, in Å: filter, extension, width of the soft edge.

    Raises
    ------
    InputError
        If `tau2_fudge`, `lowpass` or `edge` is not positive, or `extend` is negative.

    References
    ----------
    S. H. W. Scheres, J. Struct. Biol. 180 (2012) 519-530.

    Examples
    --------
    >>> MaskedGaussianPrior(extend=6.0)
    MaskedGaussianPrior(extend=6)
    """

    name = "masked-gaussian"

    def __init__(self, tau2_fudge: float = 1.0, lowpass: float = 15.0, extend: float = 4.0, edge: float = 9.0):
        check_mask_options(lowpass, extend, edge)
        super().__init__(tau2_fudge)
        self.mask_options = {"lowpass": lowpass, "extend": extend, "edge": edge}

    def bind(self, statistics: SufficientStatistics, context: PriorContext) -> MaskedQuadratic:
        """Return the quadratic functional, whose `post_process` masks."""
        return MaskedQuadratic(super().bind(statistics, context).precision, statistics, context, **self.mask_options)


class MaskedQuadratic(QuadraticFunctional):
    r"""`QuadraticFunctional` whose last touch is a solvent mask.

    Parameters
    ----------
    precision : torch.Tensor, shape of the statistics' space, real
        D.
    statistics : SufficientStatistics
        In whose B/K the mask is found, once it is needed.
    context : PriorContext
        Of the iteration.
    **options
        Of `denoisers.solvent_mask`.
    """

    def __init__(
        self, precision: torch.Tensor, statistics: SufficientStatistics, context: PriorContext, **options: float
    ):
        super().__init__(statistics.space, precision)
        self.statistics, self.context, self.options = statistics, context, options

    @functools.cached_property
    def mask(self) -> torch.Tensor:
        """Mask, shape (n, n, n)."""
        unregularised = self.statistics.to_volume(self.statistics.unregularised())
        return solvent_mask(unregularised, self.context, **self.options)

    def post_process(self, volume: torch.Tensor) -> torch.Tensor:
        """Multiply by the mask."""
        return volume * self.mask.to(volume)
