r"""
Reconstruction at known poses
=============================

When the poses :math:`(R_i, t_i)` of all particles are known, a reconstruction is linear least squares,

.. math:: \min_v \tfrac12 \sum_i \| y_i - T_{t_i} C_i S_{R_i} v \|^2,

with slice S, CTF C and shift T. The forward model is one ODL operator, so ODL's own conjugate gradients solve
it. Refinement programs instead divide: B, the sum of inserted images, by K, the sum of inserted weights. That is
the solution if the normal operator were the diagonal K. Here both are computed from the same data, and the error
of the diagonal approximation is measured.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from cryoinv.geometry import random_rotations
from cryoinv.metrics import fourier_shell_correlation
from cryoinv.operators import (
    CTF,
    ForwardModel,
    FourierSlice,
    FourierTransform,
    Shift,
    SoftMask,
    ctf_values,
    soft_sphere,
)
from cryoinv.spaces import VolumeSpace, radial_expand, radial_mean
from cryoinv.spaces.backend import odl

n, pixel_size, count = 32, 3.0, 400
rng = np.random.default_rng(0)
torch.manual_seed(0)

# %%
# A volume of Gaussian blobs along a random walk
# ----------------------------------------------

space = VolumeSpace(n, pixel_size, dtype="float64")
axis = torch.arange(n, dtype=torch.float64) - n // 2
z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
walk = np.cumsum(rng.normal(0, 2, (40, 3)), axis=0)
walk *= 0.3 * n / np.abs(walk - walk.mean(0)).max()
truth = space.zero()
for cx, cy, cz in walk - walk.mean(0):
    truth.data += torch.exp(-((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2) / (2 * 1.2**2))

# %%
# The forward model and noisy images of it
# ----------------------------------------
# The noise is white with unit power; the volume is scaled so that signal and noise have equal power.

slices = FourierSlice(space, random_rotations(count, rng), padding=2)
defocus = rng.uniform(8000, 20000, count)
ctf = CTF(slices.range, ctf_values(n, pixel_size, defocus, defocus - 300, 0.0, 300, 2.7, 0.1))
model = ForwardModel(slices, ctf, Shift(slices.range, rng.uniform(-2, 2, (count, 2))))

clean = model(truth)
truth *= (count * n**2) ** 0.5 / clean.norm()
clean = model(truth)
transform = FourierTransform(slices.range.array_space)
noise = transform(torch.randn(transform.domain.shape, dtype=torch.float64))
images = clean + noise
print(f"{count} images of {n} x {n} pixels, signal to noise ratio {(clean.norm() / noise.norm()) ** 2:.2f}")

# %%
# Conjugate gradients on the normal equation
# ------------------------------------------
# The volume is sought inside a soft sphere; with noise, stopping early regularises.

mask = SoftMask(space, soft_sphere(n, 0.42 * n, 2.0))


def solve(data, iterations):
    """Least squares by ODL's conjugate gradients."""
    unknown = space.zero()
    odl.solvers.conjugate_gradient_normal(model @ mask, unknown, data, niter=iterations)
    return mask(unknown)


# %%
# The diagonal estimate B/K
# -------------------------
# Its pieces are those of the forward model: undo the shift, multiply by the CTF, insert with the weights of the
# inner product; and insert the weights themselves.

scheme, disc, rotations = slices.scheme, slices.disc, slices.rotations
weights = disc.collect(ctf.power.to(model.range.dtype)).real
K = scheme.weight(scheme.insert_weights(weights, rotations, disc.pixels))
K = torch.maximum(K, 1e-3 * radial_expand(radial_mean(K, scheme.box), scheme.box))


def divide(data):
    """The quotient B/K, as a volume."""
    undone = disc.collect(ctf.adjoint(model.shift.adjoint(data)).data)
    B = scheme.data(scheme.insert(undone, rotations, disc.pixels))
    return mask(space.element(scheme.to_volume(B / K)))


# %%
# How wrong is the diagonal?
# --------------------------
# N is the exact normal operator on the padded half-spectrum, x the truth there. Without noise the quotient's
# error is the diagonal's alone, and conjugate gradients go as near to the truth as they are allowed to run.

prepared = scheme.prepare(truth.data)
values = weights * scheme.slices(prepared, rotations, disc.pixels)
exact = scheme.data(scheme.insert(values, rotations, disc.pixels))
error = float((K * scheme.spectrum(prepared) - exact).norm() / exact.norm())
print(f"diagonal K against exact normal operator: |K x - N x| / |N x| = {100 * error:.1f} %")

maps = {
    "truth": truth,
    "conjugate gradients, no noise": solve(clean, 40),
    "B/K, no noise": divide(clean),
    "conjugate gradients": solve(images, 4),
    "B/K": divide(images),
}
for name, volume in list(maps.items())[1:]:
    print(f"{name:30s} error {100 * (volume - truth).norm() / truth.norm():5.1f} %")

# %%
# Against the truth
# -----------------
# Projections along z, and shell correlations.

figure, axes = plt.subplots(1, 4, figsize=(13, 3.2), layout="constrained")
for ax, name in zip(axes, ("truth", "conjugate gradients", "B/K"), strict=False):
    ax.imshow(maps[name].data.sum(0), cmap="gray", origin="lower")
    ax.set(title=name, xticks=[], yticks=[])
for name, volume in list(maps.items())[1:]:
    curve = fourier_shell_correlation(volume.data, truth.data)
    axes[3].plot(np.arange(n // 2 + 1) / (n * pixel_size), curve, label=name)
axes[3].set(xlabel="spatial frequency (1/Å)", ylabel="FSC to the truth", ylim=(0, 1.02))
axes[3].legend(fontsize="small")
plt.show()
