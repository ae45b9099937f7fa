"""Denoisers: operators on volumes that learned and classical priors are made of."""

from .base import Denoiser, DenoiserOperator
from .combined import Composition, RotationAverage
from .context import PriorContext
from .filters import LowPass, Wiener
from .patches import Patchwise
from .real_space import NonLocalMeans, TotalVariation, Wavelet
from .registry import DENOISERS, denoiser_from
from .solvent import SolventFlattening
from .solvent_mask import solvent_mask

__all__ = [
    "DENOISERS",
    "Composition",
    "Denoiser",
    "DenoiserOperator",
    "LowPass",
    "NonLocalMeans",
    "Patchwise",
    "PriorContext",
    "RotationAverage",
    "SolventFlattening",
    "TotalVariation",
    "Wavelet",
    "Wiener",
    "denoiser_from",
    "solvent_mask",
]
