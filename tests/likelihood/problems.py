"""Tiny problems and their dense, brute-force solutions in double precision."""

import numpy as np
import torch

from cryoinv.geometry import Poses, random_rotations
from cryoinv.noise import RadialGaussianNoise


class ArrayParticles:
    """The least a particle stack must offer, held in memory."""

    def __init__(self, images, pixel_size=1.0, groups=None, ctf=None):
        self._images, self.n, self.pixel_size = images, images.shape[-1], pixel_size
        self.optics_group = np.zeros(len(images), int) if groups is None else groups
        self.has_ctf = ctf is not None
        self._ctf = ctf

    def __len__(self):
        return len(self._images)

    def images(self, indices):
        return self._images[indices]


def random_volume(n, seed=0):
    """Smooth random volume inside a ball."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(n) - n // 2] * 3, indexing="ij"), -1)
    volume = np.zeros((n, n, n))
    for _ in range(6):
        centre = rng.normal(size=3) * n / 9
        volume += np.exp(-((grid - centre) ** 2).sum(-1) / (2 * (n / 12) ** 2))
    return torch.as_tensor(volume)


def direct_slices(volume, rotations, pixels):
    """Orthonormal image transform of projections by a direct sum over voxels, (M, P)."""
    n = volume.shape[0]
    axis = torch.arange(n, dtype=torch.float64) - n // 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    points = torch.stack([x, y, z]).reshape(3, -1)
    k = torch.cat([pixels.double(), torch.zeros(len(pixels), 1, dtype=torch.float64)], 1)
    frequency = torch.einsum("mij,pi->mpj", torch.as_tensor(rotations), k)
    phase = -2 * torch.pi / n * (frequency @ points)
    return (volume.reshape(-1).to(torch.complex128) * torch.exp(1j * phase)).sum(-1) / n


def simulate(volume, count, variance, seed=0, shifts=None):
    """Images (count, n, n) of exact projections with white noise, and their rotations; shifts in pixels."""
    from cryoinv.operators.nufft import nufft_type2
    from cryoinv.operators.pixels import FourierDisc

    rng = np.random.default_rng(seed)
    n = volume.shape[0]
    rotations = random_rotations(count, rng)
    disc = FourierDisc(n)
    points = 2 * np.pi / n * np.einsum("mji,pj->mpi", rotations[:, :2], disc.pixels.numpy())
    values = nufft_type2(volume, torch.as_tensor(points.reshape(-1, 3)), 1e-12).reshape(count, -1) / n
    shifts = np.zeros((count, 2)) if shifts is None else shifts
    angle = -2 * np.pi / n * (torch.as_tensor(shifts) @ disc.pixels.double().T)
    return to_images(values * torch.exp(1j * angle), disc) + rng.normal(size=(count, n, n)) * np.sqrt(
        variance
    ), rotations


def to_images(values, disc):
    """Real images (m, n, n) of disc values (m, P)."""
    spectra = disc.place(values)
    return torch.fft.fftshift(torch.fft.irfft2(spectra, s=(disc.n,) * 2, norm="ortho"), dim=(-2, -1)).numpy()


def brute_force(transforms, slices, tables, ctf, sigma2, weights, log_prior):
    """Posterior (I, T, O) and log-likelihood (I,) of every pose, one density at a time."""
    images, orientations, translations = len(transforms), len(slices), len(tables)
    log_joint = np.zeros((images, translations, orientations))
    for i in range(images):
        for t in range(translations):
            for o in range(orientations):
                predicted = slices[o] * ctf[i] / tables[t]
                error = (transforms[i] - predicted).abs() ** 2
                density = -0.5 * weights * (error / sigma2[i] + torch.log(2 * torch.pi * sigma2[i] / weights))
                log_joint[i, t, o] = float(density.sum()) + log_prior[t, o]
    highest = log_joint.max((1, 2), keepdims=True)
    evidence = highest[:, 0, 0] + np.log(np.exp(log_joint - highest).sum((1, 2)))
    return np.exp(log_joint - evidence[:, None, None]), evidence


def random_noise(n, groups=1, seed=0):
    rng = np.random.default_rng(seed)
    return RadialGaussianNoise(torch.as_tensor(0.5 + rng.random((groups, n // 2 + 1))))


__all__ = [
    "ArrayParticles",
    "Poses",
    "brute_force",
    "direct_slices",
    "random_noise",
    "random_volume",
    "simulate",
]
