"""The list of denoisers that drives the generic tests: adding one is one line, its specification."""

import torch

from cryoinv.denoisers import PriorContext
from cryoinv.metrics import fourier_shell_correlation, resolution_at

CASES = [
    "lowpass",
    "lowpass,resolution=14,edge=3",
    "wiener",
    "wiener,cutoff=0.3",
    "tv",
    "tv,strength=0.5,iterations=10",
    "wavelet",
    "wavelet,wavelet=db2,shifts=0",
    "nlm",
    "nlm,patch=3,distance=1,strength=2",
    "solvent",
    "solvent,filtered=false,sigmas=2",
    "compose,first=wiener,then=(lowpass,resolution=14)",
    "compose,first=lowpass,then=tv",
    "rotations,denoiser=(wavelet,shifts=0),count=4",
    "rotations,denoiser=wiener",
    "bands",
    "bands,denoisers=(lowpass,resolution=30;wavelet),edges=16",
    "patches,denoiser=wiener,tile=8",
    "patches,denoiser=(compose,first=lowpass,then=wiener),tile=7,overlap=2",
]

PIXEL_SIZE = 4.0


def problem(n, dtype=torch.float64, seed=0, noise=0.15):
    """Clean map of two blobs, noisy map, and the context of two noisy halves."""
    axis = torch.arange(n, dtype=torch.float64) - n // 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    blobs = [((-1.0, 0.5, 0.0), 1.6), ((2.0, -1.0, 1.0), 1.3)]
    clean = sum(torch.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / (2 * w**2)) for (a, b, c), w in blobs)
    generator = torch.Generator().manual_seed(seed)
    halves = [clean + noise * torch.randn(n, n, n, generator=generator, dtype=torch.float64) for _ in range(2)]
    fsc = fourier_shell_correlation(*halves)
    resolution = resolution_at(fsc, 0.143, n, PIXEL_SIZE).angstrom
    context = PriorContext(n, PIXEL_SIZE, fsc, torch.ones_like(fsc), resolution, 0.35 * n * PIXEL_SIZE)
    return clean.to(dtype), halves[0].to(dtype), context
