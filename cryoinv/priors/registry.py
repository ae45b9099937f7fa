"""Priors by name."""

from __future__ import annotations

from cryoinv.denoisers import Denoiser, denoiser_from, denoisers_from
from cryoinv.specs import made_from

from .adversarial import AdversarialRegulariser
from .base import Prior
from .blush import BlushStyle
from .confidence_weighted_red import ConfidenceWeightedRED
from .consensus import ConsensusOfDenoisers
from .gaussian import GaussianPrior
from .learned import LearnedPrior
from .masked import MaskedGaussianPrior
from .plug_and_play import PlugAndPlay
from .red import RED
from .score_matching import ScoreMatchingPrior
from .total_variation import TotalVariationPrior
from .wilson import WilsonPrior

__all__ = ["PRIORS", "prior_from"]

_ALL: tuple[type[Prior], ...] = (
    GaussianPrior,
    MaskedGaussianPrior,
    WilsonPrior,
    TotalVariationPrior,
    RED,
    ConfidenceWeightedRED,
    ScoreMatchingPrior,
    ConsensusOfDenoisers,
    PlugAndPlay,
    BlushStyle,
    AdversarialRegulariser,
    LearnedPrior,
)
PRIORS: dict[str, type[Prior]] = {each.name: each for each in _ALL}


def prior_from(spec: str, denoiser: Denoiser | None = None) -> Prior:
    """Make the prior of a specification.

    Parameters
    ----------
    spec : str
        ``NAME[,key=value...]`` with a name of `PRIORS`, or ``module:object[,key=value...]``. The value of ``denoiser``
        is a denoiser's specification, in brackets if it has options; that of ``denoisers`` is several, separated by
        semicolons.
    denoiser : Denoiser, optional
        For priors that take one and are not told another.

    Returns
    -------
    Prior

    Raises
    ------
    InputError
        If there is none, a key is unknown or a value does not suit; the message names the nearest name.

    Examples
    --------
    >>> prior_from("gaussian,tau2_fudge=2")
    GaussianPrior(tau2_fudge=2)
    """
    given = {} if denoiser is None else {"denoiser": denoiser}
    return made_from(spec, PRIORS, "prior", Prior, {"denoiser": denoiser_from, "denoisers": denoisers_from}, **given)
