"""A first noise power, before anything is known of the signal."""

from __future__ import annotations

import numpy as np
import torch

from cryoinv.noise import RadialGaussianNoise, ResidualPower
from cryoinv.parallel import Processes

from .images import FourierImages

__all__ = ["initial_noise"]


def initial_noise(
    images: FourierImages, indices: np.ndarray | None = None, processes: Processes | None = None
) -> RadialGaussianNoise:
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
    processes : Processes, optional
        Others that look at other particles at the same time: all of them count.

    Returns
    -------
    RadialGaussianNoise
    """
    indices = np.arange(len(images)) if indices is None else np.asarray(indices)
    disc, groups = images.disc, images.groups
    residuals = ResidualPower.zeros(groups, disc.n // 2 + 1)
    sums = torch.zeros(groups, len(disc), dtype=torch.complex128, device=images.device)
    counts = torch.zeros(groups, dtype=torch.float64)
    for group, block in images.group_blocks(indices, 256):
        transforms = images.transforms(block, masked=True).to(torch.complex128)
        residuals.add(group, (transforms.abs() ** 2).sum(0), disc.shells, disc.weights, len(block))
        sums[group] += transforms.sum(0)
        counts[group] += len(block)
    if processes is not None:
        parts = processes.sum([residuals.total, residuals.count, sums, counts])
        residuals, sums, counts = ResidualPower(parts[0], parts[1]), parts[2], parts[3]
    for group in np.flatnonzero(counts.numpy() > 1).tolist():
        # The mean takes one image's worth of power with it.
        power = -(sums[group].abs() ** 2) / float(counts[group])
        residuals.add(group, power, disc.shells, disc.weights, -1)
    return RadialGaussianNoise.from_residuals(residuals)
