r"""
One problem, every prior
========================

Every prior of the library on the same data: 500 noisy projections of the structure that ships with it, at known poses.
The data decide B and K; each prior, with the M-step that suits it, decides what to make of them:

.. math:: \min_x \tfrac12\langle x, K x\rangle_w - \langle B, x\rangle_w - \log P(x).

A map that is only denoised well need not align particles well: ``cryoinv compare`` runs whole refinements. Here the
poses are known, and what is seen is the prior alone.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
import torch

from cryoinv.io import ParticleStack
from cryoinv.metrics import fourier_shell_correlation, resolution_at
from cryoinv.operators import soft_sphere
from cryoinv.priors import PRIORS, prior_from
from cryoinv.refinement import reconstruct
from cryoinv.simulation import demo_structure, potential_map, simulate_particles
from cryoinv.solvers import m_step_for

n, pixel_size, diameter = 40, 4.0, 130.0
simulated = simulate_particles(potential_map(demo_structure(), n, pixel_size), pixel_size, 500, snr=0.03, seed=1)
particles = ParticleStack.from_arrays(simulated.images(np.arange(500)), pixel_size)
truth = torch.as_tensor(simulated.volume)

# %%
# Reconstruct with each
# ---------------------
# `~cryoinv.priors.prior_from` makes a prior of its name, as the command line does, and `~cryoinv.solvers.m_step_for`
# picks the simplest M-step that takes it.

maps = {}
print(f"{'prior':<18}{'M-step':<20}{'seconds':>8}")
for name in PRIORS:
    prior = prior_from(name)
    start = time.perf_counter()
    result = reconstruct(particles, simulated.poses, prior=prior, device="cpu", particle_diameter=diameter)
    maps[name] = result.map
    print(f"{name:<18}{type(m_step_for(prior)).__name__:<20}{time.perf_counter() - start:8.1f}")

# %%
# Against the truth
# -----------------
# Both maps are masked by the same sphere, so that an empty solvent outside of it wins nothing; inside of it, a prior
# that clears the solvent gains by right.

sphere = soft_sphere(n, diameter / 2 / pixel_size)
curves = {
    name: fourier_shell_correlation(volume * sphere, truth * sphere).numpy() for name, volume in maps.items()
}
print(f"{'prior':<18}{'mean FSC':>10}{'FSC 0.5 (Å)':>14}{'error':>8}")
for name, curve in sorted(curves.items(), key=lambda item: -item[1][1:].mean()):
    error = float(((maps[name] - truth) * sphere).norm() / (truth * sphere).norm())
    print(f"{name:<18}{curve[1:].mean():>10.3f}{resolution_at(curve, 0.5, n, pixel_size).angstrom:>14.1f}{error:>8.2f}")

# %%
# Central slices, in one grey scale, and the curves.

shown = {"truth": truth, **maps}
columns = (len(shown) + 1) // 2
figure, axes = plt.subplots(2, columns, figsize=(11, 4.2), layout="constrained")
for axis in axes.flat:
    axis.set_axis_off()
for axis, (name, volume) in zip(axes.flat, shown.items(), strict=False):
    axis.imshow(volume[n // 2], cmap="gray", origin="lower", vmin=0, vmax=float(truth.max()))
    axis.set_title(name, fontsize="small")

figure, axis = plt.subplots(figsize=(8, 4.5), layout="constrained")
frequency = np.arange(n // 2 + 1) / (n * pixel_size)
for number, (name, curve) in enumerate(curves.items()):
    axis.plot(frequency[1:], curve[1:], label=name, color=plt.cm.tab20(number), linewidth=1.2)
axis.axhline(0.5, color="grey", linewidth=0.8)
axis.set(xlabel="spatial frequency (1/Å)", ylabel="FSC against the truth, in the sphere", ylim=(-0.05, 1.05))
axis.legend(fontsize="small", ncols=2)
plt.show()
