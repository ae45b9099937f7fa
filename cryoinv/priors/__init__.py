"""Priors on maps, bound to one half's statistics for every M-step."""

from cryoinv.denoisers import PriorContext

from .adversarial import AdversarialRegulariser, BoundAdversarial, critic_input
from .base import BoundPrior, Prior
from .critic_step import critic_step
from .gaussian import GaussianPrior, QuadraticFunctional
from .registry import PRIORS, prior_from
from .volume import BoundVolumePrior, VolumePrior

__all__ = [
    "PRIORS",
    "AdversarialRegulariser",
    "BoundAdversarial",
    "BoundPrior",
    "BoundVolumePrior",
    "GaussianPrior",
    "Prior",
    "PriorContext",
    "QuadraticFunctional",
    "VolumePrior",
    "critic_input",
    "critic_step",
    "prior_from",
]
