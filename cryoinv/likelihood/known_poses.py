"""Sufficient statistics of particles whose poses are known: a posterior of one pose each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from cryoinv.geometry import PointGroup, Poses
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators.interpolation import Interpolation

from .accumulator import SliceAccumulator
from .images import FourierImages
from .scores import image_terms, shift_table
from .statistics import PosteriorSummary, SufficientStatistics

__all__ = ["known_pose_statistics"]

_BLOCK = 256


def known_pose_statistics(
    images: FourierImages,
    noise: RadialGaussianNoise,
    poses: Poses,
    interpolation: Interpolation,
    indices: np.ndarray | None = None,
    symmetry: PointGroup | None = None,
    callback: Callable[[int], None] | None = None,
) -> SufficientStatistics:
    r"""Statistics :math:`B = \sum_i H_i^*\sigma^{-2}y_i` and lumped K of particles at given poses.

    No map is involved: the residual powers are the images' own, and probabilities are one.

    Parameters
    ----------
    images : FourierImages
        Transformed particles.
    noise : RadialGaussianNoise
        Noise powers.
    poses : Poses
        One a particle of the stack, shifts in Å.
    interpolation : Interpolation
        How slices are inserted.
    indices : numpy.ndarray, optional
        Particles; all by default.
    symmetry : PointGroup, optional
        Every image stands for all its symmetry mates.
    callback : callable, optional
        Called with the number of particles finished since the last call.

    Returns
    -------
    SufficientStatistics
    """
    indices = np.arange(len(images)) if indices is None else np.asarray(indices)
    symmetry = PointGroup("C1") if symmetry is None else symmetry
    accumulator = SliceAccumulator(interpolation, images.disc, symmetry, noise.sigma2.shape[0])
    constant = np.zeros(len(images))
    for group, block in images.group_blocks(indices, _BLOCK):
        terms = image_terms(images, noise, group, block, len(images.disc))
        undo = shift_table(
            images.disc.pixels, images.n, poses.shifts[block] / images.pixel_size, images.dtype
        )
        nothing = torch.zeros_like(terms.inserted)
        accumulator.add_images(group, terms.power, len(block))
        accumulator.add_slices(
            group,
            poses.rotations[block],
            nothing,
            terms.inserted * undo,
            terms.weight.expand(len(block), -1),
            terms.precision,
        )
        constant[block] = terms.constant.cpu().numpy()
        if callback is not None:
            callback(len(block))
    one = np.ones(len(indices))
    summary = PosteriorSummary(indices, poses[indices], one, 0 * one, one, constant[indices])
    data, weight = accumulator.statistics_terms()
    return SufficientStatistics(
        interpolation,
        data,
        weight,
        accumulator.residuals,
        summary,
        images.pixel_size,
    )
