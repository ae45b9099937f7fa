"""Every prior of the package, as the generic tests make it: a registered name without a line here fails them.

A line is a specification in words, or an object for priors that cannot be made of words.
"""

import torch

from cryoinv.likelihood import SufficientStatistics
from cryoinv.operators import soft_sphere
from cryoinv.operators.interpolation import NufftInterpolation, TrilinearInterpolation
from cryoinv.priors import Prior, PriorContext, prior_from

CASES: list[str | Prior] = [
    "gaussian",
    "masked-gaussian,lowpass=12,extend=2,edge=6",
    "wilson,wilson_from=30",
    "wilson,masked=true",
    "tv,alpha=0.02,tolerance=1e-5,iterations=3000",
    "blush,cutoff=0.2",
    "blush,denoiser=(lowpass,resolution=12),acts_on=map",
    "red",
    "red,denoiser=wiener,amplitude=undamped,weight=0.5",
    "red,denoiser=wiener,amplitude=mix,input=previous",
    "cw-red,denoiser=wiener,rule=20:1;8:0.5",
    "score-matching",
    "score-matching,denoiser=wiener,nu=0.5",
    "consensus,denoisers=(lowpass,resolution=30;wiener),edges=16",
    "pnp",
    "adversarial",
    "adversarial,gaussian=false",
    "learned",
    "learned,role=output,guard=false",
]

SCHEMES = [TrilinearInterpolation(12, 2), TrilinearInterpolation(11, 1), NufftInterpolation(11)]
SCHEME_NAMES = ["pad2-even", "pad1-odd", "nufft-odd"]
PIXEL = 4.0


def prior_of(case):
    return case if isinstance(case, Prior) else prior_from(case)


def name_of(case):
    return case.name if isinstance(case, Prior) else case.partition(",")[0]


def problem(scheme, dtype=torch.float64, seed=0):
    """Statistics of a ball in noise, and their context."""
    n, generator = scheme.n, torch.Generator().manual_seed(seed)
    ball = 3 * soft_sphere(n, 2.5, 2.0, dtype=torch.float64)
    volume = ball + 0.5 * torch.randn(n, n, n, generator=generator, dtype=torch.float64)
    spectrum = scheme.from_volume(volume)
    weight = 0.5 + torch.rand(spectrum.shape, generator=generator, dtype=torch.float64)
    complex_dtype = torch.complex64 if dtype == torch.float32 else torch.complex128
    data = (weight * spectrum).to(complex_dtype)
    statistics = SufficientStatistics(scheme, data, weight.to(dtype), None, None, PIXEL)
    shells = torch.arange(n // 2 + 1, dtype=torch.float64)
    fsc = 1 / (1 + (shells / 4) ** 4)
    return statistics, PriorContext(n, PIXEL, fsc, 2 * fsc / (1.001 - fsc), n * PIXEL / 4.5, 0.4 * n * PIXEL)
