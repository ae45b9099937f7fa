"""Priors on maps, bound to one half's statistics for every M-step."""

from cryoinv.denoisers import PriorContext

from .base import BoundPrior, Prior
from .gaussian import GaussianPrior, QuadraticFunctional
from .inflation_guard import trust_factor
from .registry import PRIORS, prior_from
from .volume import BoundVolumePrior, VolumePrior

__all__ = [
    "PRIORS",
    "BoundPrior",
    "BoundVolumePrior",
    "GaussianPrior",
    "Prior",
    "PriorContext",
    "QuadraticFunctional",
    "VolumePrior",
    "prior_from",
    "trust_factor",
]
