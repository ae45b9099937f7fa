r"""
A prior of your own
===================

Priors and M-steps are objects. This example writes one of each, outside the library, and hands them to
`cryoinv.solvers.expectation_maximisation` in place of the built-in ones.

The prior says that voxels are independent, with a large variance in the particle's sphere and a small one in the
solvent around it:

.. math:: -\log P(x) = \tfrac12 \sum_r u_r^2 / v_r, \qquad u = F^* x,

with :math:`F^*` the inverse transform. That is diagonal in real space, not in Fourier space, so the closed-form
M-step :math:`B/(K + \tau^{-2})` cannot take it. Its proximal map is simple, however, and so is that of the data term:
alternating between the two (ADMM) solves the M-step.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from cryoinv.errors import InputError
from cryoinv.geometry import SO3Grid
from cryoinv.io import ParticleStack
from cryoinv.likelihood import ExhaustiveSearch, FourierImages, MarginalLikelihood
from cryoinv.metrics import fourier_shell_correlation, resolution_at
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators import TorchOperator, soft_sphere
from cryoinv.priors import BoundPrior, GaussianPrior, Prior, PriorContext
from cryoinv.simulation import demo_structure, low_pass, potential_map, simulate_particles
from cryoinv.solvers import ClosedForm, MStep, expectation_maximisation
from cryoinv.spaces import centred_irfft, centred_rfft

# %%
# The prior
# ---------
# A prior declares what it offers, here a proximal map, and `~cryoinv.priors.Prior.bind` makes the functional on the
# space of one half's statistics. That space is a half-spectrum; with trilinear interpolation it is padded, and
# ``statistics.box`` is its size. Its transform is orthonormal, so the proximal map of a functional of
# :math:`F^* x` is exact when applied between the two transforms.


class VoxelwiseProduct(TorchOperator):
    def __init__(self, space, factor):
        super().__init__(space, space)
        self.factor = factor

    def apply(self, x):
        return centred_rfft(self.factor * centred_irfft(x, self.domain.n))


class BoundSpherePrior(BoundPrior):
    def __init__(self, space, variance):
        super().__init__(space)
        self.variance = variance

    def proximal(self, step):
        return VoxelwiseProduct(self.domain, 1 / (1 + step / self.variance))


class SpherePrior(Prior):
    has_proximal = True

    def __init__(self, inside, outside):
        self.inside, self.outside = inside, outside  # standard deviations of a voxel

    def bind(self, statistics, context):
        radius = context.particle_radius / context.pixel_size
        sphere = soft_sphere(statistics.box, radius, device=statistics.data.device)
        return BoundSpherePrior(statistics.space, self.outside**2 + self.inside**2 * sphere)


# %%
# The M-step
# ----------
# An M-step minimises :math:`\tfrac12\langle x, Kx\rangle - \langle B, x\rangle - \log P(x)`. It declares what it needs.


class ADMM(MStep):
    needs = ("proximal",)

    def __init__(self, iterations=20):
        self.iterations = iterations

    def __call__(self, statistics, prior, callback=None):
        B, K, space = statistics.data, statistics.curvature(), statistics.space
        rho = float(statistics.shell_mean(K).mean())
        proximal = prior.proximal(1 / rho)
        z = u = torch.zeros_like(B)
        for _ in range(self.iterations):
            x = (B + rho * (z - u)) / (K + rho)
            z = proximal(space.element(x + u)).data
            u = u + x - z
        return z


# %%
# A prior and an M-step that do not fit are refused when they are put together, and the message names both.

try:
    ClosedForm().check(SpherePrior(1.0, 0.1))
except InputError as error:
    print(error)

# %%
# The problem
# -----------
# 300 noisy projections of the structure that ships with the package, at unknown orientations; poses are summed over
# a grid of 15°.

n, pixel_size, radius = 32, 6.0, 60.0
simulated = simulate_particles(
    potential_map(demo_structure(), n, pixel_size), pixel_size, 300, snr=0.2, seed=1
)
truth = torch.as_tensor(simulated.volume)
particles = ParticleStack.from_arrays(simulated.images(np.arange(len(simulated))), pixel_size)
likelihood = MarginalLikelihood(
    FourierImages(particles),
    RadialGaussianNoise.white(1.0, shells=n // 2 + 1),
    ExhaustiveSearch(SO3Grid(2)),
    r_max=12,
)
start = torch.as_tensor(low_pass(simulated.volume, pixel_size, 40.0))
mask = soft_sphere(n, radius / pixel_size, dtype=torch.float32)

# %%
# To make the comparison hard to beat, the Gaussian prior is told the true power spectrum,
# :math:`\tau^2 = \langle |x|^2 \rangle` of every shell, which a real refinement estimates from its half-maps. Every
# reference is masked by the sphere, with either prior. The prior of the sphere is told two numbers.


def context(statistics, iteration):
    tau2 = statistics.shell_mean(statistics.from_volume(truth).abs() ** 2)
    return PriorContext(n, pixel_size, torch.ones(n // 2 + 1), tau2, 20.0, radius, iteration)


def masked(volume):
    return volume * mask


inside = float(start[mask > 0.5].std())
priors = {
    "Gaussian prior": (GaussianPrior(), ClosedForm()),
    "sphere prior": (SpherePrior(inside, inside / 20), ADMM()),
}
maps = {
    name: expectation_maximisation(
        likelihood, start, prior, context, 8, m_step, reference=masked
    )
    for name, (prior, m_step) in priors.items()
}

# %%
# The result
# ----------
# Only the inside of the sphere is compared with the truth, so that an empty solvent alone wins nothing. The mask
# clears the solvent after the M-step; the prior does so within it, and what the solvent tells of the noise is taken
# out of the particle's coefficients as well.

curves = {
    name: fourier_shell_correlation(masked(x), masked(truth)).numpy()
    for name, x in maps.items()
}
for name, curve in curves.items():
    print(
        f"{name}: {resolution_at(curve, 0.5, n, pixel_size)} against the truth, in the sphere"
    )

figure, axes = plt.subplots(
    1, 4, figsize=(11, 3), width_ratios=(1.5, 1, 1, 1), layout="constrained"
)
frequency = np.arange(n // 2 + 1) / (n * pixel_size)
for name, curve in curves.items():
    axes[0].plot(frequency[:13], curve[:13], label=name)
axes[0].axhline(0.5, color="grey", linewidth=0.8)
axes[0].set(
    xlabel="spatial frequency (1/Å)",
    ylabel="FSC against the truth, in the sphere",
    ylim=(-0.05, 1.05),
)
axes[0].legend()
for axis, (name, volume) in zip(axes[1:], {"truth": truth, **maps}.items(), strict=True):
    axis.imshow(
        volume[n // 2],
        cmap="gray",
        origin="lower",
        vmin=float(truth.min()),
        vmax=float(truth.max()),
    )
    axis.set_title(name, fontsize="medium")
    axis.set_axis_off()
plt.show()
