"""Priors on maps, bound to one half's statistics for every M-step."""

from cryoinv.denoisers import PriorContext

from .base import BoundPrior, Prior
from .blush import BlushStyle
from .gaussian import GaussianPrior, QuadraticFunctional
from .inflation_guard import trust_factor
from .masked import MaskedGaussianPrior, MaskedQuadratic
from .registry import PRIORS, prior_from
from .total_variation import TotalVariationPrior
from .volume import BoundVolumePrior, VolumePrior
from .wilson import WilsonPrior

__all__ = [
    "PRIORS",
    "BlushStyle",
    "BoundPrior",
    "BoundVolumePrior",
    "GaussianPrior",
    "MaskedGaussianPrior",
    "MaskedQuadratic",
    "Prior",
    "PriorContext",
    "QuadraticFunctional",
    "TotalVariationPrior",
    "VolumePrior",
    "WilsonPrior",
    "prior_from",
    "trust_factor",
]
