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
    from .geometry import Poses
    from .io import ParticleStack, read_volume, write_volume
    from .likelihood import FourierImages, MarginalLikelihood
    from .operators import CTF, ForwardModel, FourierSlice, FourierTransform, Shift, SoftMask
    from .priors import GaussianPrior, Prior
    from .refinement import RefinementSettings, reconstruct, refine
    from .simulation import simulate_dataset
    from .spaces import HermitianSpace, ImageSpace, VolumeSpace

__version__ = "0.1.0"

_ROOMS = {
    "comparison": ("Comparison", "Method", "compare"),
    "geometry": ("Poses",),
    "io": ("ParticleStack", "read_volume", "write_volume"),
    "likelihood": ("FourierImages", "MarginalLikelihood"),
    "operators": ("CTF", "ForwardModel", "FourierSlice", "FourierTransform", "Shift", "SoftMask"),
    "priors": ("GaussianPrior", "Prior"),
    "refinement": ("RefinementSettings", "reconstruct", "refine"),
    "simulation": ("simulate_dataset",),
    "spaces": ("HermitianSpace", "ImageSpace", "VolumeSpace"),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "CTF",
    "Comparison",
    "CryoinvError",
    "DeviceError",
    "ForwardModel",
    "FourierImages",
    "FourierSlice",
    "FourierTransform",
    "GaussianPrior",
    "HermitianSpace",
    "ImageSpace",
    "InputError",
    "MarginalLikelihood",
    "Method",
    "ParticleStack",
    "Poses",
    "Prior",
    "RefinementSettings",
    "Shift",
    "SoftMask",
    "VolumeSpace",
    "compare",
    "read_volume",
    "reconstruct",
    "refine",
    "simulate_dataset",
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
