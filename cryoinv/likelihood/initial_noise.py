"""A first noise power, before anything is known of the signal."""

from __future__ import annotations

import numpy as np
import torch

from cryoinv.noise import RadialGaussianNoise, ResidualPower

from .images import FourierImages

__all__ = ["initial_noise"]


def initial_noise(images: FourierImages, indices: np.ndarray | None = None) -> RadialGaussianNoise:
    r"""Variance of the images, :math:`E|y - E y|^2`, per optics group and shell.

    The signal that varies with the pose stays in: the estimate is high, most at low frequency, and the first
    posteriors are softer than they need be. Groups of few particles borrow from the others in the lowest shells (see
    `RadialGaussianNoise.from_residuals`).

    Parameters
    ----------
    images : FourierImages
        Transformed particles.
    indices : numpy.ndarray, optional
        Particles to use; all by default.

    Returns
    -------
    RadialGaussianNoise
    """
    indices = np.arange(len(images)) if indices is None else np.asarray(indices)
    disc = images.disc
    residuals = ResidualPower.zeros(images.groups, disc.n // 2 + 1)
    sums: dict[int, torch.Tensor] = {}
    counts: dict[int, int] = {}
    for group, block in images.group_blocks(indices, 256):
        transforms = images.transforms(block, masked=True).to(torch.complex128)
        residuals.add(group, (transforms.abs() ** 2).sum(0), disc.shells, disc.weights, len(block))
        sums[group] = sums.get(group, 0) + transforms.sum(0)
        counts[group] = counts.get(group, 0) + len(block)
    for group, total in sums.items():
        if counts[group] > 1:
            # The mean takes one image's worth of power with it.
            residuals.add(group, -(total.abs() ** 2) / counts[group], disc.shells, disc.weights, -1)
    return RadialGaussianNoise.from_residuals(residuals)
