"""Priors on maps, bound to one half's statistics for every M-step."""

from cryoinv.denoisers import PriorContext

from .amplitude import CALIBRATED_DATA, CALIBRATED_DENOISER, Amplitude
from .base import BoundPrior, Prior
from .blush import BlushStyle
from .adversarial import AdversarialRegulariser, BoundAdversarial, critic_input
from .base import BoundPrior, Prior
from .critic_step import critic_step
from .gaussian import GaussianPrior, QuadraticFunctional
from .inflation_guard import trust_factor
from .masked import MaskedGaussianPrior, MaskedQuadratic
from .registry import PRIORS, prior_from
from .total_variation import TotalVariationPrior
from .confidence import confidence_rule, paper_confidence, script_confidence
from .confidence_weighted_red import ConfidenceWeightedRED
from .consensus import ConsensusOfDenoisers
from .gaussian import GaussianPrior, QuadraticFunctional
from .inflation_guard import trust_factor
from .plug_and_play import BoundPlugAndPlay, PlugAndPlay
from .red import RED, BoundRED
from .registry import PRIORS, prior_from
from .score_matching import ScoreMatchingPrior
from .spectral_denoiser import SpectralDenoiser
from .volume import BoundVolumePrior, VolumePrior
from .wilson import WilsonPrior

__all__ = [
    "CALIBRATED_DATA",
    "CALIBRATED_DENOISER",
    "PRIORS",
    "BlushStyle",
    "RED",
    "Amplitude",
    "BoundPlugAndPlay",
    "AdversarialRegulariser",
    "BoundAdversarial",
    "BoundPrior",
    "BoundRED",
    "BoundVolumePrior",
    "ConfidenceWeightedRED",
    "ConsensusOfDenoisers",
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
    "PlugAndPlay",
    "Prior",
    "PriorContext",
    "QuadraticFunctional",
    "ScoreMatchingPrior",
    "SpectralDenoiser",
    "VolumePrior",
    "confidence_rule",
    "paper_confidence",
    "critic_input",
    "critic_step",
    "prior_from",
    "script_confidence",
    "trust_factor",
]
