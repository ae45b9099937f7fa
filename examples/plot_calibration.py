r"""
Does the posterior mean what it says?
=====================================

The posterior over poses is a claim about probabilities, and simulation can hold it to its word: the smallest set of
poses that has 50 % of the posterior mass must hold the true pose for half of the particles, the 90 % set for nine
tenths, and so on. The test needs true poses that lie on the grid of poses that is summed over.

A classic mistake fails it. Half-spectra store one of every pair of Hermitian mates, so the log-likelihood is

.. math:: \log P(y\,|\,x, g) = -\tfrac12 \|\sigma^{-1}(y - H_g x)\|_w^2 + \mathrm{const}

with weight :math:`w = 2` for the coefficients that stand for two. Leaving out the ½, or summing
:math:`|y - H_g x|^2 / \sigma^2` over both mates, squares the likelihood: posteriors come out twice too sharp. Noise
power estimated on masked images is too low and does the same.
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch

from cryoinv.geometry import Poses, SO3Grid
from cryoinv.io import ParticleStack
from cryoinv.likelihood import (
    ExhaustiveSearch,
    FourierImages,
    MarginalLikelihood,
    initial_noise,
)
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators import soft_sphere
from cryoinv.simulation import demo_structure, potential_map, simulate_particles

# %%
# Particles on the grid
# ---------------------
# 500 particles with white noise of variance 1. Orientations are drawn from a grid of 30°, translations from a disc of
# 2 pixels.

n, pixel_size, count = 24, 8.0, 500
search = ExhaustiveSearch(SO3Grid(1), max_shift_pixels=2.0, translation_step=1.0)
rng = np.random.default_rng(0)
orientation = rng.integers(len(search.rotations), size=count)
translation = rng.integers(len(search.translations), size=count)
poses = Poses(search.rotations[orientation], search.translations[translation] * pixel_size)

volume = potential_map(demo_structure(), n, pixel_size)
simulated = replace(
    simulate_particles(volume, pixel_size, count, snr=0.05, seed=2), poses=poses
)
particles = ParticleStack.from_arrays(simulated.images(np.arange(count)), pixel_size)
print(f"{len(search.rotations)} orientations x {len(search.translations)} translations")

# %%
# Three likelihoods
# -----------------
# Counting mates twice is the same as halving the noise power, so three noise models do: the true one, half of it, and
# what images of pure noise give when a soft sphere has been put over them.

right = RadialGaussianNoise.white(1.0, shells=n // 2 + 1)
twice = RadialGaussianNoise(right.sigma2 / 2)
only_noise = ParticleStack.from_arrays(simulated.noise(np.arange(count)), pixel_size)
masked = initial_noise(
    FourierImages(only_noise, mask=soft_sphere(n, 7.0, 5.0, ndim=2, dtype=torch.float32))
)
models = {"right": right, "mates counted twice": twice, "noise of masked images": masked}

# %%
# Credible sets
# -------------
# The mass of the poses that are likelier than the true one is the size of the smallest credible set that holds the
# truth. If the posterior is right, it is a uniform random number (the true pose's own mass is shared out at random).


def set_sizes(noise):
    likelihood = MarginalLikelihood(FourierImages(particles), noise, search)
    sizes, effective = [], []
    for block in np.array_split(np.arange(count), 5):
        table = (
            likelihood.posterior(torch.as_tensor(simulated.volume), block).double().flatten(1)
        )
        true = torch.as_tensor(translation[block] * len(search.rotations) + orientation[block])
        mass = table.gather(1, true[:, None])
        likelier = torch.where(table > mass, table, 0).sum(1)
        sizes.append(likelier + mass[:, 0] * torch.as_tensor(rng.random(len(block))))
        effective.append(1 / (table**2).sum(1))
    return torch.cat(sizes).numpy(), float(torch.cat(effective).median())


claimed = np.linspace(0, 1, 101)
error = np.sqrt(claimed * (1 - claimed) / count)
figure, axis = plt.subplots(figsize=(5, 5), layout="constrained")
axis.fill_between(
    claimed,
    claimed - 2 * error,
    claimed + 2 * error,
    color="0.85",
    label="calibrated, ± 2 standard errors",
)
for name, noise in models.items():
    sizes, effective = set_sizes(noise)
    found = (sizes[:, None] <= claimed).mean(0)
    axis.plot(claimed, found, label=name)
    print(
        f"{name}: the 50 % set holds {found[50]:.0%} of the true poses, "
        f"the 90 % set {found[90]:.0%}; {effective:.0f} effective poses"
    )
axis.set(
    xlabel="posterior mass of the set", ylabel="share of particles whose true pose is in it"
)
axis.set(xlim=(0, 1), ylim=(0, 1))
axis.set_aspect("equal")
axis.legend(loc="upper left")
plt.show()

# %%
# The right likelihood follows the diagonal. The other two claim more than they know: what looks like confidence,
# fewer effective poses, is error, and an M-step that trusts it fits noise.
