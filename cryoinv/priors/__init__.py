"""Priors on maps, bound to one half's statistics for every M-step."""

from cryoinv.denoisers import PriorContext as PriorContext  # documented there

from .adversarial import AdversarialRegulariser, BoundAdversarial, critic_input
from .amplitude import CALIBRATED_DATA, CALIBRATED_DENOISER, Amplitude
from .base import BoundPrior, Prior
from .blush import BlushStyle
from .calibrated import CalibratedAmplitude, calibrated_curve
from .confidence import confidence_rule, paper_confidence, script_confidence
from .confidence_weighted_red import ConfidenceWeightedRED
from .consensus import ConsensusOfDenoisers
from .critic_step import critic_step
from .gaussian import GaussianPrior, QuadraticFunctional
from .inflation_guard import trust_factor
from .learned import LearnedPrior
from .masked import MaskedGaussianPrior, MaskedQuadratic
from .plug_and_play import BoundPlugAndPlay, PlugAndPlay
from .red import RED, BoundRED
from .registry import PRIORS, prior_from
from .score_matching import ScoreMatchingPrior
from .spectral_denoiser import SpectralDenoiser
from .total_variation import TotalVariationPrior
from .volume import BoundVolumePrior, VolumePrior
from .wilson import WilsonPrior

__all__ = [
    "CALIBRATED_DATA",
    "CALIBRATED_DENOISER",
    "PRIORS",
    "RED",
    "AdversarialRegulariser",
    "Amplitude",
    "BlushStyle",
    "BoundAdversarial",
    "BoundPlugAndPlay",
    "BoundPrior",
    "BoundRED",
    "BoundVolumePrior",
    "CalibratedAmplitude",
    "ConfidenceWeightedRED",
    "ConsensusOfDenoisers",
    "GaussianPrior",
    "LearnedPrior",
    "MaskedGaussianPrior",
    "MaskedQuadratic",
    "PlugAndPlay",
    "Prior",
    "QuadraticFunctional",
    "ScoreMatchingPrior",
    "SpectralDenoiser",
    "TotalVariationPrior",
    "VolumePrior",
    "WilsonPrior",
    "calibrated_curve",
    "confidence_rule",
    "critic_input",
    "critic_step",
    "paper_confidence",
    "prior_from",
    "script_confidence",
    "trust_factor",
]
