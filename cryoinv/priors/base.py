"""The prior contract: a prior says what it offers, and is bound to one half's statistics for each M-step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from cryoinv.errors import CryoinvError
from cryoinv.spaces.backend import odl

if TYPE_CHECKING:
    from cryoinv.likelihood import SufficientStatistics
    from cryoinv.spaces import HermitianSpace
    from cryoinv.spaces.base import BoxElement

    from .context import PriorContext

__all__ = ["BoundPrior", "Prior"]


class Prior:
    r"""A prior :math:`P(x)` on maps.

    Subclasses set the flags of what they offer and implement `bind`. An M-step that needs what a prior does not
    offer is refused when the two are put together.

    Attributes
    ----------
    name : str
        What users call it.
    has_value, has_gradient, has_proximal, has_precision : bool
        Whether the bound functional has a value, a gradient (minus the score), a proximal map, and whether it is
        quadratic with a diagonal precision.
    """

    name = "prior"
    has_value = False
    has_gradient = False
    has_proximal = False
    has_precision = False

    def bind(self, statistics: SufficientStatistics, context: PriorContext) -> BoundPrior:
        r"""Return the functional :math:`-\log P` on ``statistics.space`` for one half and iteration."""
        raise NotImplementedError

    def offers(self) -> list[str]:
        """Names of what the prior offers."""
        return [
            name for name in ("value", "gradient", "proximal", "precision") if getattr(self, f"has_{name}")
        ]

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class BoundPrior(odl.functionals.Functional):
    r"""The functional :math:`-\log P(x)` (up to a constant) on a statistics' space.

    A prior without a value raises when it is called: a made-up number would mislead line searches and logs.

    Parameters
    ----------
    space : HermitianSpace
        Domain.
    """

    precision: torch.Tensor | None = None

    def __init__(self, space: HermitianSpace):
        super().__init__(space, linear=False, grad_lipschitz=np.nan)

    def _call(self, x: BoxElement) -> float:
        raise CryoinvError(f"{type(self).__name__} has no value, only what its prior declares")
