"""Denoisers: operators on volumes that learned and classical priors are made of."""

from .base import Denoiser, DenoiserOperator
from .context import PriorContext
from .filters import LowPass, Wiener
from .registry import DENOISERS, denoiser_from
from .solvent_mask import solvent_mask

__all__ = [
    "DENOISERS",
    "Denoiser",
    "DenoiserOperator",
    "LowPass",
    "PriorContext",
    "Wiener",
    "denoiser_from",
    "solvent_mask",
]
