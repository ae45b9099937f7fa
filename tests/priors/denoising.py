"""Statistics and contexts that tests of priors made of denoisers share."""

import torch

from cryoinv.denoisers import Denoiser, PriorContext
from cryoinv.likelihood import SufficientStatistics
from cryoinv.operators.interpolation import NufftInterpolation, TrilinearInterpolation
from cryoinv.spaces.spectrum import centred_rfft, symmetrise

SCHEMES = {
    "pad2-even": TrilinearInterpolation(8, 2),
    "pad1-odd": TrilinearInterpolation(9, 1),
    "nufft-even": NufftInterpolation(8),
    "nufft-odd": NufftInterpolation(9),
}


def statistics(scheme, seed=0, dtype=torch.float64):
    """Those of a real map with weights that mates share, both white."""
    generator = torch.Generator().manual_seed(seed)
    box = scheme.box
    data = centred_rfft(torch.randn(box, box, box, generator=generator, dtype=torch.float64))
    weight = 0.1 + torch.rand(box, box, box // 2 + 1, generator=generator, dtype=torch.float64)
    weight = symmetrise(weight.to(torch.complex128), box).real
    complex_dtype = torch.complex64 if dtype == torch.float32 else torch.complex128
    return SufficientStatistics(scheme, data.to(complex_dtype), weight.to(dtype), None, None, 2.0)


def context(n, resolution=10.0, trust=None):
    shells = n // 2 + 1
    fsc = torch.linspace(1, 0, shells, dtype=torch.float64)
    tau2 = torch.linspace(3, 0.1, shells, dtype=torch.float64)
    return PriorContext(n, 2.0, fsc, tau2, resolution, 8.0, trust=trust)


class Counted(Denoiser):
    """A denoiser that is not linear and counts its calls."""

    def __init__(self):
        self.calls = 0

    def denoise(self, volume, context):
        self.calls += 1
        return torch.tanh(volume)
