"""The prior contract: a prior says what it offers, and is bound to one half's statistics for each M-step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from cryoinv.described import Described
from cryoinv.errors import CryoinvError
from cryoinv.spaces.backend import odl

from .calibrated import calibrated_curve

if TYPE_CHECKING:
    from cryoinv.denoisers import PriorContext
    from cryoinv.likelihood import SufficientStatistics
    from cryoinv.spaces import HermitianSpace
    from cryoinv.spaces.base import BoxElement

__all__ = ["BoundPrior", "Prior"]


class Prior(Described):
    r"""A prior :math:`P(x)` on maps.

    Subclasses set the flags of what they offer and implement `bind`. An M-step that needs what a prior does not
    offer is refused when the two are put together. A prior on real maps is less to write as a `VolumePrior`.

    Attributes
    ----------
    name : str
        What users call it.
    has_value, has_gradient, has_proximal, has_precision, has_correction : bool
        Whether the bound functional has a value, a gradient (minus the score), a proximal map, whether it is
        quadratic with a diagonal precision, and whether it is a Gaussian with a correction
        (`BoundPrior.correction`).
    forgets_solution : bool
        Whether the map after `BoundPrior.post_process` depends on the statistics alone, not on what the M-step found.
    guarded : bool
        Whether the inflation guard is asked for; the bound functional then has `BoundPrior.denoised`.
    """

    name = "prior"
    has_value = False
    has_gradient = False
    has_proximal = False
    has_precision = False
    has_correction = False
    forgets_solution = False
    guarded = False

    def bind(self, statistics: SufficientStatistics, context: PriorContext) -> BoundPrior:
        r"""Return the functional :math:`-\log P` on ``statistics.space`` for one half and iteration."""
        raise NotImplementedError

    def for_output(self) -> Prior:
        """Return the prior of the map that is reported, where that is not the one that is aligned to; else itself."""
        return self

    def expected_excess(self, context: PriorContext) -> torch.Tensor | None:
        """By how much the FSC of two denoised halves is to exceed that of the halves, (n//2+1,), if that is known.

        It is what held-out maps told of the prior's denoiser, where that has a calibration; the inflation guard takes
        nothing away for it, see `trust_factor`.
        """
        denoiser = getattr(self, "denoiser", None)
        calibration = getattr(denoiser, "calibration", None)
        if denoiser is None or calibration is None:
            return None
        excess = calibrated_curve(calibration, "excess", denoiser.target_fsc(context), context.resolution)
        return excess * denoiser.known(context)

    def offers(self) -> list[str]:
        """Names of what the prior offers."""
        known = ("value", "gradient", "proximal", "precision", "correction")
        return [name for name in known if getattr(self, f"has_{name}")]


class BoundPrior(odl.functionals.Functional):
    r"""The functional :math:`-\log P(x)` (up to a constant) on a statistics' space.

    A prior without a value raises when it is called: a made-up number would mislead line searches and logs.

    Parameters
    ----------
    space : HermitianSpace
        Domain.

    Attributes
    ----------
    precision : torch.Tensor, shape of the space, real, or None
        D, if the functional is :math:`\tfrac12\langle x, D x\rangle_w`.
    damping : torch.Tensor, shape of the space, real, or None
        D of the Gaussian part, where there is one, as there is if there is a `correction`; solvers that go by gradients
        take it for their metric.
    starts_from : {"newest", "previous"}
        Where an M-step that iterates begins: B/K of the newest statistics, or the map of the iteration before.
    """

    precision: torch.Tensor | None = None
    damping: torch.Tensor | None = None
    starts_from = "newest"

    def __init__(self, space: HermitianSpace):
        super().__init__(space, linear=False, grad_lipschitz=np.nan)

    def _call(self, x: BoxElement) -> float:
        raise CryoinvError(f"{type(self).__name__} has no value, only what its prior declares")

    def offers(self, name: str) -> bool:
        """Whether there is a "value", "gradient" or "proximal": whether the class defines it."""
        attribute = {"value": "_call"}.get(name, name)
        return getattr(type(self), attribute) is not getattr(BoundPrior, attribute)

    def correction(self, x: torch.Tensor) -> torch.Tensor:
        r"""Return :math:`c(x) = D x + \nabla \log P(x)`, what the prior adds to its Gaussian part.

        Zero for a Gaussian prior; the bracket of eq. 13. `damping` is D.

        Parameters
        ----------
        x : torch.Tensor, shape of the space, complex
            Where.

        Returns
        -------
        torch.Tensor, shape of the space, complex
        """
        raise CryoinvError(f"{type(self).__name__} has no correction, only what its prior declares")

    def post_process(self, volume: torch.Tensor) -> torch.Tensor:
        """Last touch to the map an M-step found, shape (n, n, n), such as a mask; none by default."""
        return volume

    def denoised(self) -> torch.Tensor:
        """Denoised map (n, n, n) of the newest statistics, which the inflation guard compares between halves."""
        raise CryoinvError(f"{type(self).__name__} has no denoised map, only what its prior declares")
