"""Denoisers: operators on volumes that learned and classical priors are made of."""

from .base import Denoiser, DenoiserOperator
from .context import PriorContext
from .filters import LowPass, Wiener
from .network import NetworkDenoiser, gated_map
from .registry import DENOISERS, denoiser_from

__all__ = [
    "DENOISERS",
    "Denoiser",
    "DenoiserOperator",
    "LowPass",
    "NetworkDenoiser",
    "PriorContext",
    "Wiener",
    "denoiser_from",
    "gated_map",
]
