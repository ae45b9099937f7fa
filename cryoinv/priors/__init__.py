"""Priors on maps, bound to one half's statistics for every M-step."""

from .base import BoundPrior, Prior
from .context import PriorContext
from .gaussian import GaussianPrior, QuadraticFunctional
from .registry import PRIORS, prior_by_name

__all__ = [
    "PRIORS",
    "BoundPrior",
    "GaussianPrior",
    "Prior",
    "PriorContext",
    "QuadraticFunctional",
    "prior_by_name",
]
