"""Denoisers: operators on volumes that learned and classical priors are made of."""

from .bands import ResolutionBands
from .base import Denoiser, DenoiserOperator
from .combined import Composition, RotationAverage
from .context import PriorContext
from .filters import LowPass, Wiener
from .patches import Patchwise
from .real_space import NonLocalMeans, TotalVariation, Wavelet
from .network import NetworkDenoiser
from .registry import DENOISERS, denoiser_from
from .solvent_mask import solvent_mask
from .mixture import GaussianMixture
from .registry import DENOISERS, denoiser_from, denoisers_from

__all__ = [
    "DENOISERS",
    "Composition",
    "Denoiser",
    "DenoiserOperator",
    "GaussianMixture",
    "LowPass",
    "NonLocalMeans",
    "Patchwise",
    "NetworkDenoiser",
    "PriorContext",
    "ResolutionBands",
    "Wiener",
    "denoiser_from",
    "solvent_mask",
    "denoisers_from",
    "RotationAverage",
    "TotalVariation",
    "Wavelet",
    "Wiener",
    "denoiser_from",
    "solvent_mask",
]
