r"""
What a denoiser says of the prior
=================================

A denoiser trained to return the mean of the clean maps that explain a noisy one knows the gradient of a log-prior.
For Gaussian noise of power :math:`\nu` in every Fourier coefficient, the MMSE denoiser :math:`f(y) = E[x\,|\,y]`
obeys

.. math:: \nabla \log P_\nu(y) = \nu^{-1}\,(f(y) - y),

with :math:`P_\nu` the prior smoothed by that noise (`ScoreMatchingPrior <cryoinv.priors.ScoreMatchingPrior>`;
appendix A of Kimanius et al. 2020). Regularisation by denoising, `RED <cryoinv.priors.RED>`, puts the power of the
*signal*, :math:`\tau^2`, in the place of :math:`\nu`. This example shows that the first is exact, and how far the
second is from it.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from cryoinv.denoisers import GaussianMixture, PriorContext, Wiener
from cryoinv.likelihood import SufficientStatistics
from cryoinv.operators.interpolation import NufftInterpolation
from cryoinv.priors import RED, ScoreMatchingPrior
from cryoinv.simulation import demo_structure, potential_map
from cryoinv.solvers import FixedPoint
from cryoinv.spaces import centred_irfft, centred_rfft, radial_expand, radial_mean

# %%
# A prior whose denoiser is known
# -------------------------------
# The clean map is one of three orientations of the structure that ships with the package; with noise added, its
# density is a kernel density estimate: a mixture of three Gaussians. Responsibilities, MMSE denoiser and
# log-density are closed forms, and torch differentiates the last of them.

n, pixel_size = 16, 10.0
first = torch.as_tensor(potential_map(demo_structure(), n, pixel_size), dtype=torch.float64)
maps = torch.stack([first, first.transpose(0, 1).flip(0), first.transpose(1, 2).flip(1)])
nu = torch.full((n // 2 + 1,), float(((maps[0] - maps[1]) ** 2).sum()) / 12, dtype=torch.float64)
mixture = GaussianMixture(maps, noise=nu)

signal = radial_mean(centred_rfft(maps[0]).abs() ** 2, n)
fsc = signal / (signal + nu)
context = PriorContext(n, pixel_size, fsc, tau2=signal, resolution=20.0, particle_radius=60.0)


def score(y):
    """Gradient of the log-density, by automatic differentiation."""
    y = y.clone().requires_grad_()
    return torch.autograd.grad(mixture.log_density(y), y)[0]


def score_of_denoiser(y):
    """The same from the denoiser."""
    error = centred_rfft(mixture.denoise(y, context) - y)
    return centred_irfft(error / radial_expand(nu, n), n)


# %%
# Along the line from one map to another
# --------------------------------------
# The slope of the log-density along the line changes sign where one map takes over from the other as the
# explanation.

direction = maps[1] - maps[0]
position = np.linspace(-0.5, 1.5, 81)
points = [maps[0] + t * direction for t in position]
slopes = [float((score(point) * direction).sum()) for point in points]
denoised = [float((score_of_denoiser(point) * direction).sum()) for point in points]

noisy = maps[0] + nu[0].sqrt() * torch.randn(n, n, n, generator=torch.manual_seed(0), dtype=torch.float64)
error = float((score(noisy) - score_of_denoiser(noisy)).norm() / score(noisy).norm())
print(f"at a noisy map the two differ by {error:.0e} of the score")

# %%
# With the signal's power instead
# -------------------------------
# The power of eq. 12 is :math:`\tau^2 = \nu\,\mathrm{FSC}/(1 - \mathrm{FSC})`. So the gradient of eq. 15,
# :math:`\tau^{-2}(f(x) - x)`, is (1 - FSC)/FSC times the score: right where the FSC is ½, too strong below, too
# weak above. Both priors, bound to the same statistics, say so shell by shell.

scheme = NufftInterpolation(n)
data = centred_rfft(noisy)
weight = torch.full(data.shape, 1 / float(nu[0]), dtype=torch.float64)
levels = np.linspace(0.05, 0.98, 32)


def at(level):
    """Context in which every shell has the same FSC."""
    curve = torch.full_like(nu, float(level))
    return PriorContext(n, pixel_size, curve, nu * curve / (1 - curve), 20.0, 60.0)


def statistics():
    """B and K of which B/K is the noisy map with noise of power ν."""
    return SufficientStatistics(scheme, data * weight, weight, None, None, pixel_size)


x = statistics().space.element(data)
ratios = []
for level in levels:
    red, matched = (
        prior.bind(statistics(), at(level)).gradient(x) for prior in (RED(mixture), ScoreMatchingPrior(mixture, nu))
    )
    ratios.append(red.norm() / matched.norm())
print(f"largest departure from (1 - FSC) / FSC: {np.abs(ratios - (1 - levels) / levels).max():.0e}")

# %%
# Where iterations come to rest
# -----------------------------
# Take a Gaussian signal, of which the Wiener filter is the MMSE denoiser: the estimate of largest posterior
# probability is FSC times B/K. Repeated to the end, RED keeps more of B/K,
# :math:`\mathrm{FSC}/(\mathrm{FSC} + (1 - \mathrm{FSC})^2)`. A single step, as in eq. 17, keeps
# :math:`\mathrm{FSC}\,(2 - \mathrm{FSC})`, more than that.
# The smoothed prior knows the signal through noise alone and keeps :math:`1/(2 - \mathrm{FSC})`, at least half,
# even where there is no signal at all. All of it tends to B/K itself where the data are good.

inside = radial_expand(torch.ones_like(nu), n, outside=0.0) > 0


def gain(prior, level, iterations):
    """Part of B/K that the M-step keeps."""
    m_step = FixedPoint(iterations, tolerance=1e-10)
    solution = m_step(statistics(), prior.bind(statistics(), at(level)))
    return float((solution / data)[inside].real.mean())


few = levels[::4]
found = {
    "RED, one step (eq. 17)": [gain(RED(Wiener()), level, 1) for level in few],
    "RED, to the end": [gain(RED(Wiener()), level, 400) for level in few],
    "score matching, to the end": [gain(ScoreMatchingPrior(Wiener(), nu), level, 400) for level in few],
}
predicted = [
    levels + (1 - levels) * levels,
    levels / (levels + (1 - levels) ** 2),
    1 / (2 - levels),
]

figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
axes[0].plot(position, slopes, label="automatic differentiation")
axes[0].plot(position[::5], denoised[::5], "o", label=r"$\nu^{-1}(f(y) - y)$")
axes[0].axhline(0, color="grey", linewidth=0.8)
axes[0].set(xlabel="position between two maps", ylabel="slope of the log-density")
axes[1].semilogy(levels, (1 - levels) / levels, label="(1 - FSC) / FSC")
axes[1].semilogy(levels[::3], ratios[::3], "o", label="measured")
axes[1].axhline(1, color="grey", linewidth=0.8)
axes[1].axvline(0.5, color="grey", linewidth=0.8)
axes[1].set(xlabel="FSC", ylabel="gradient of eq. 15 over the score")
axes[2].plot(levels, levels, color="grey", label="Gaussian MAP")
for curve, (name, values) in zip(predicted, found.items(), strict=True):
    (line,) = axes[2].plot(levels, curve)
    axes[2].plot(few, values, "o", color=line.get_color(), label=name)
axes[2].set(xlabel="FSC", ylabel="part of B/K that is kept")
for axis in axes:
    axis.legend(fontsize="small")
plt.show()
