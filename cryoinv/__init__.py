"""Operators, noise models and priors for cryo-EM reconstruction, composable in the manner of ODL.

The rooms are sub-packages; the names most used stand here too and are imported when first used.

Examples
--------
>>> import cryoinv
>>> prior = cryoinv.GaussianPrior()
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .errors import CryoinvError, DeviceError, InputError

if TYPE_CHECKING:
    from .comparison import Comparison, Method, compare
    from .denoisers import (
        Denoiser,
        LowPass,
        NetworkDenoiser,
        SolventFlattening,
        Wiener,
        denoiser_from,
        load_denoiser,
    )
    from .geometry import Poses
    from .io import ParticleStack, read_volume, write_volume
    from .likelihood import FourierImages, MarginalLikelihood
    from .networks import GatedUNet, read_network, write_network
    from .operators import CTF, ForwardModel, FourierSlice, FourierTransform, Shift, SoftMask
    from .priors import (
        RED,
        AdversarialRegulariser,
        BlushStyle,
        ConfidenceWeightedRED,
        ConsensusOfDenoisers,
        GaussianPrior,
        LearnedPrior,
        MaskedGaussianPrior,
        PlugAndPlay,
        Prior,
        ScoreMatchingPrior,
        TotalVariationPrior,
        VolumePrior,
        WilsonPrior,
        prior_from,
    )
    from .refinement import RefinementSettings, reconstruct, refine
    from .simulation import simulate_dataset
    from .solvers import (
        ADMM,
        EM,
        LBFGS,
        SGD,
        Adam,
        ClosedForm,
        FixedPoint,
        GradientDescent,
        KGradient,
        ProximalGradient,
        REDUpdate,
        m_step_from,
        solver_from,
    )
    from .spaces import HermitianSpace, ImageSpace, VolumeSpace
    from .training import Training

__version__ = "0.1.0"

_ROOMS = {
    "comparison": ("Comparison", "Method", "compare"),
    "denoisers": (
        "Denoiser", "LowPass", "NetworkDenoiser", "SolventFlattening", "Wiener", "denoiser_from", "load_denoiser",
    ),
    "geometry": ("Poses",),
    "io": ("ParticleStack", "read_volume", "write_volume"),
    "likelihood": ("FourierImages", "MarginalLikelihood"),
    "networks": ("GatedUNet", "read_network", "write_network"),
    "operators": ("CTF", "ForwardModel", "FourierSlice", "FourierTransform", "Shift", "SoftMask"),
    "priors": (
        "RED", "AdversarialRegulariser", "BlushStyle", "ConfidenceWeightedRED", "ConsensusOfDenoisers", "GaussianPrior",
        "LearnedPrior", "MaskedGaussianPrior", "PlugAndPlay", "Prior", "ScoreMatchingPrior", "TotalVariationPrior",
        "VolumePrior", "WilsonPrior", "prior_from",
    ),
    "refinement": ("RefinementSettings", "reconstruct", "refine"),
    "simulation": ("simulate_dataset",),
    "solvers": (
        "ADMM", "EM", "LBFGS", "SGD", "Adam", "ClosedForm", "FixedPoint", "GradientDescent", "KGradient",
        "ProximalGradient", "REDUpdate", "m_step_from", "solver_from",
    ),
    "spaces": ("HermitianSpace", "ImageSpace", "VolumeSpace"),
    "training": ("Training",),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "ADMM",
    "CTF",
    "EM",
    "LBFGS",
    "RED",
    "SGD",
    "Adam",
    "AdversarialRegulariser",
    "BlushStyle",
    "ClosedForm",
    "Comparison",
    "ConfidenceWeightedRED",
    "ConsensusOfDenoisers",
    "CryoinvError",
    "Denoiser",
    "DeviceError",
    "FixedPoint",
    "ForwardModel",
    "FourierImages",
    "FourierSlice",
    "FourierTransform",
    "GatedUNet",
    "GaussianPrior",
    "GradientDescent",
    "HermitianSpace",
    "ImageSpace",
    "InputError",
    "KGradient",
    "LearnedPrior",
    "LowPass",
    "MarginalLikelihood",
    "MaskedGaussianPrior",
    "Method",
    "NetworkDenoiser",
    "ParticleStack",
    "PlugAndPlay",
    "Poses",
    "Prior",
    "ProximalGradient",
    "REDUpdate",
    "RefinementSettings",
    "ScoreMatchingPrior",
    "Shift",
    "SoftMask",
    "SolventFlattening",
    "TotalVariationPrior",
    "Training",
    "VolumePrior",
    "VolumeSpace",
    "Wiener",
    "WilsonPrior",
    "compare",
    "denoiser_from",
    "load_denoiser",
    "m_step_from",
    "prior_from",
    "read_network",
    "read_volume",
    "reconstruct",
    "refine",
    "simulate_dataset",
    "solver_from",
    "write_network",
    "write_volume",
]


def __getattr__(name: str) -> Any:
    """Import a name from its room, or a room, when it is first asked for."""
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Names of the package, those not yet imported too."""
    return sorted({*globals(), *__all__, *_ROOMS})
