r"""
A prior of your own
===================

Priors, M-steps and solvers are objects. A prior written outside the library goes wherever a built-in one goes: here
into `cryoinv.solvers.expectation_maximisation`, as it would into `cryoinv.refinement.refine`, and by the name of its
module into the command line.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from own_prior import SparsePrior

from cryoinv.errors import InputError
from cryoinv.geometry import SO3Grid
from cryoinv.io import ParticleStack
from cryoinv.likelihood import ExhaustiveSearch, FourierImages, MarginalLikelihood
from cryoinv.metrics import fourier_shell_correlation, resolution_at
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators import soft_sphere
from cryoinv.priors import GaussianPrior, PriorContext
from cryoinv.simulation import demo_structure, low_pass, potential_map, simulate_particles
from cryoinv.solvers import ADMM, ClosedForm, expectation_maximisation

# %%
# The prior
# ---------
# Most of the box is empty: a Laplace prior on voxels, :math:`-\log P = \sum_r |u_r| / b`, says so, and its proximal map
# is soft thresholding. All of it is in the file ``own_prior.py``:
#
# .. literalinclude:: ../../examples/own_prior.py
#    :lines: 3-
#
# `~cryoinv.priors.VolumePrior` takes care of the space of the statistics, a padded half-spectrum: a prior on real maps
# has a ``value``, of which the gradient is automatic, or a ``proximal_map``, or both. Lines such as
#
# .. code-block:: text
#
#    cryoinv refine particles.star --reference reference.mrc --output refined --prior own_prior:SparsePrior,strength=2
#
# use it from the folder it is in.
#
# An M-step says what it needs. One that does not suit the prior is refused, and the message names both.

try:
    ClosedForm().check(SparsePrior())
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
# reference is masked by the sphere, with either prior. The sparse prior is told nothing.


def context(statistics, iteration):
    tau2 = statistics.shell_mean(statistics.from_volume(truth).abs() ** 2)
    return PriorContext(n, pixel_size, torch.ones(n // 2 + 1), tau2, 20.0, radius, iteration)


def masked(volume):
    return volume * mask


priors = {
    "Gaussian prior": (GaussianPrior(), ClosedForm()),
    "sparse prior": (SparsePrior(), ADMM(iterations=10)),
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
