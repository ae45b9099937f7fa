"""Denoisers: operators on volumes that learned and classical priors are made of."""

from .bands import ResolutionBands
from .base import Denoiser, DenoiserOperator
from .combined import Composition, RotationAverage
from .context import PriorContext
from .filters import LowPass, Wiener, sphere_transfer, wiener_transfer
from .mixture import GaussianMixture
from .network import NetworkDenoiser
from .patches import Patchwise
from .real_space import NonLocalMeans, TotalVariation, Wavelet
from .registry import DENOISERS, denoiser_from, denoisers_from
from .shipped import SHIPPED, load_denoiser
from .solvent import SolventFlattening
from .solvent_mask import solvent_mask

__all__ = [
    "DENOISERS",
    "SHIPPED",
    "Composition",
    "Denoiser",
    "DenoiserOperator",
    "GaussianMixture",
    "LowPass",
    "NetworkDenoiser",
    "NonLocalMeans",
    "Patchwise",
    "PriorContext",
    "ResolutionBands",
    "RotationAverage",
    "SolventFlattening",
    "TotalVariation",
    "Wavelet",
    "Wiener",
    "denoiser_from",
    "denoisers_from",
    "load_denoiser",
    "solvent_mask",
    "sphere_transfer",
    "wiener_transfer",
]
