"""Reconstruction from particles whose poses are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from cryoinv.errors import InputError
from cryoinv.geometry import PointGroup, Poses
from cryoinv.io.particle_checks import checked_poses
from cryoinv.likelihood import FourierImages, SufficientStatistics, initial_noise, known_pose_statistics
from cryoinv.operators import soft_sphere
from cryoinv.operators.interpolation import interpolation_scheme
from cryoinv.priors import Prior, PriorContext
from cryoinv.solvers import MStep
from cryoinv.spaces import resolve_device

from .estimate import MapEstimator, check_grey_scale, trust_of
from .gold_standard import HalfMaps, of_both, tau2_from_fsc
from .halves import split_particles

if TYPE_CHECKING:
    from cryoinv.io import ParticleStack

__all__ = ["Reconstruction", "reconstruct"]


@dataclass
class Reconstruction:
    """Maps of particles at known poses.

    Parameters
    ----------
    map : torch.Tensor, shape (n, n, n)
        Of all particles.
    half_maps : tuple of torch.Tensor, shape (n, n, n)
        Unregularised maps of the halves.
    fsc : torch.Tensor, shape (n//2+1,)
        Their FSC.
    pixel_size : float
        Å per pixel.
    """

    map: torch.Tensor
    half_maps: tuple[torch.Tensor, torch.Tensor]
    fsc: torch.Tensor
    pixel_size: float


def reconstruct(
    particles: ParticleStack,
    poses: Poses | None = None,
    halves: np.ndarray | None = None,
    prior: Prior | None = None,
    m_step: MStep | None = None,
    interpolation: str = "trilinear",
    padding: int = 2,
    gridding: str = "separable",
    symmetry: str = "C1",
    use_ctf: bool = True,
    device: str = "auto",
    seed: int = 0,
    allow_duplicates: bool = False,
    callback: Callable[[int], None] | None = None,
    particle_diameter: float | None = None,
) -> Reconstruction:
    r"""Map of particles at known poses, :math:`x = B/K`, or the M-step's under a prior.

    Parameters
    ----------
    particles : ParticleStack
        Images.
    poses : Poses, optional
        One a particle; those of the stack by default.
    halves : numpy.ndarray, shape (m,), optional
        Half-set, 1 or 2, of every particle; those of the stack, or a random split.
    prior : Prior, optional
        Any; without one the map is unregularised.
    m_step : MStep, optional
        By default the simplest one that suits the prior.
    interpolation, padding, gridding : str, int, str
        How slices are inserted.
    symmetry : str
        Point group.
    use_ctf : bool
        Apply the CTF where the particles have one.
    device : str
        "auto", "cpu", "cuda" or "cuda:N".
    seed : int
        Of the random split.
    allow_duplicates : bool
        Take particles that are the same image, as in a symmetry-expanded set; they are in the same half.
    callback : callable, optional
        Called with the number of particles finished since the last call.
    particle_diameter : float, optional
        Å, of the sphere that priors are told holds the particle; the box by default.

    Returns
    -------
    Reconstruction

    Raises
    ------
    InputError
        If there are no poses, or not one a particle, or two particles are the same image without leave, or prior and
        M-step do not fit, or the particle is larger than the box.

    References
    ----------
    D. Kimanius et al. (2020), eqs. 9, 11.
    """
    estimator = None if prior is None else MapEstimator(prior, m_step).for_output()
    box = particles.n * particles.pixel_size
    if particle_diameter is not None and not 0 < particle_diameter <= box:
        raise InputError(f"particle_diameter is {particle_diameter:g} Å, expected one inside the box of {box:g} Å")
    poses = checked_poses(particles, "the particles") if poses is None else poses
    if len(poses) != len(particles):
        raise InputError(f"{len(poses)} poses were given for {len(particles)} particles")
    if halves is not None:
        particles = replace(particles, random_subset=np.asarray(halves))
    halves = split_particles(particles, seed, allow_duplicates)
    images = FourierImages(particles, resolve_device(device), use_ctf=use_ctf)
    scheme = interpolation_scheme(particles.n, interpolation, padding, gridding)
    # Within a shell only the ratios between optics groups matter; equal weight across shells mixes neighbours least.
    absolute, group = initial_noise(images), PointGroup(symmetry)
    noise = absolute.relative()
    first, second = (
        known_pose_statistics(images, noise, poses, scheme, np.flatnonzero(halves == half), group, callback)
        for half in (1, 2)
    )
    n, pixel_size = particles.n, particles.pixel_size
    radius = (n * pixel_size if particle_diameter is None else particle_diameter) / 2
    maps = HalfMaps.of((first, second), soft_sphere(n, radius / pixel_size, device=images.device))
    if estimator is None:
        joined = first + second
        volume = joined.to_volume(joined.unregularised())
    else:
        precision = (1 / absolute.sigma2).mean(0)
        volume = _solve([_in_nats(half, precision) for half in (first, second)], maps, estimator, radius)
    return Reconstruction(volume, maps.volumes, maps.fsc, pixel_size)


def _solve(
    halves: Sequence[SufficientStatistics], maps: HalfMaps, estimator: MapEstimator, radius: float
) -> torch.Tensor:
    joined = halves[0] + halves[1]
    n, pixel_size = joined.n, joined.pixel_size
    resolution = maps.resolution(pixel_size).angstrom

    def context(statistics: SufficientStatistics, fsc: torch.Tensor, inside: torch.Tensor) -> PriorContext:
        tau2 = tau2_from_fsc(fsc, statistics)
        return PriorContext(n, pixel_size, fsc, tau2, resolution, radius, fsc_masked=inside)

    trust = trust_of(estimator.prior, halves, [context(half, maps.fsc, maps.fsc_masked) for half in halves])
    both = of_both(maps.fsc)
    volume = estimator(joined, replace(context(joined, both, of_both(maps.fsc_masked)), trust=trust))
    check_grey_scale(volume, joined.to_volume(joined.unregularised()), both, estimator.prior)
    return volume


def _in_nats(statistics: SufficientStatistics, precision: torch.Tensor) -> SufficientStatistics:
    """Statistics of images whose noise has mean precision one in every shell, made those of their own noise."""
    factor = statistics.expand(precision.to(statistics.weight))
    return replace(statistics, data=factor * statistics.data, weight=factor * statistics.weight)
