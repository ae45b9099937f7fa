"""The map a refinement starts from: background, low-pass, sphere and grey scale."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cryoinv.errors import InputError
from cryoinv.geometry import PointGroup, SO3Grid
from cryoinv.likelihood import ExhaustiveSearch, FourierImages, MarginalLikelihood
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators.interpolation import Interpolation
from cryoinv.parallel import Processes

__all__ = ["GreyScale", "estimate_diameter", "fit_grey_scale", "scale_particles"]

log = logging.getLogger(__name__)

_CHANCE = 5.0  # nats that a factor fitted to images of noise gains in all, once in a thousand times


@dataclass(frozen=True)
class GreyScale:
    """Factor that brings a reference to the images' grey scale.

    Parameters
    ----------
    factor : float
        Negative where the images' contrast is opposite to the reference's.
    gain : float
        Log-likelihood per particle over that of no signal at all.
    """

    factor: float
    gain: float


def estimate_diameter(reference: torch.Tensor, pixel_size: float, blur: float) -> float:
    """Diameter in Å of the sphere about the box centre that holds the particle.

    It reaches as far as density above a tenth of the maximum does, less what the low-pass filter adds: the edge of a
    body falls to a tenth 0.22 times the filter's resolution outside of it. At least a quarter of the box and at most
    0.95 of it.

    Parameters
    ----------
    reference : torch.Tensor, shape (n, n, n)
        Low-passed map, its background at zero, protein positive.
    pixel_size : float
        Å per pixel.
    blur : float
        Resolution in Å that the map was low-passed to.
    """
    n = reference.shape[0]
    axis = torch.arange(n, device=reference.device, dtype=reference.dtype) - n // 2
    radius = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).sqrt()
    inside = reference > 0.1 * reference.max()
    largest = float(radius[inside].max()) - 0.22 * blur / pixel_size if inside.any() else n / 2
    return float(np.clip(2 * largest, 0.25 * n, 0.95 * n) * pixel_size)


def scale_particles(count: int, most: int = 100, seed: int = 0) -> np.ndarray:
    """Particles, of so many, that the grey scale is fitted to."""
    return np.sort(np.random.default_rng(seed).choice(count, min(most, count), replace=False))


def fit_grey_scale(
    reference: torch.Tensor,
    images: FourierImages,
    noise: RadialGaussianNoise,
    interpolation: Interpolation,
    r_max: float,
    symmetry: PointGroup,
    max_shift_pixels: float,
    particles: int = 100,
    seed: int = 0,
    memory_bytes: int = 1 << 29,
    processes: Processes | None = None,
) -> GreyScale:
    r"""Scale of the reference under which the images are likeliest, either sign, poses marginalised.

    A coarse ladder of factors of two about the scale at which the projections' power equals the images' is
    refined by a parabola through the three likeliest rungs, in log scale. The images' means have no say: they may
    all have been made zero. Several `processes` look at some of the orientations each.

    Raises
    ------
    InputError
        If the reference projects to nothing.
    """
    processes = Processes() if processes is None else processes
    chosen = scale_particles(len(images), particles, seed)
    grid = SO3Grid(min(2, 1 if images.n < 16 else 2), symmetry)
    search = ExhaustiveSearch(grid, max_shift_pixels, max(1.0, max_shift_pixels / 2))
    sigma2 = noise.sigma2.clone()
    sigma2[:, 0] = 1e6 * sigma2.amax(1)
    noise = RadialGaussianNoise(sigma2)
    parts = search.parts(processes.size)
    likelihood = MarginalLikelihood(
        images, noise, parts[processes.rank % len(parts)], interpolation, r_max, PointGroup("C1"),
        memory_bytes=memory_bytes,
    )  # fmt: skip
    start = _scale_of_equal_power(reference, images, chosen, interpolation, grid, likelihood.count)

    def values(factors: Sequence[float]) -> np.ndarray:
        """Log-likelihoods over all orientations, of which this process looks at its part, of multiples."""
        own = likelihood.log_likelihoods(reference, chosen, factors)
        found = [arrays["own"] for arrays in processes.gather({"own": own})[: len(parts)]]
        return np.logaddexp.reduce(found).sum(1) / len(chosen)

    ladder = np.array([[sign * start * 2.0**-step for step in range(5)] for sign in (1, -1)])
    silent, *rungs = values([0.0, *ladder.reshape(-1)])
    row, best = divmod(int(np.argmax(rungs)), 5)
    sign, step = (1, -1)[row], float(best)
    for width in (0.5, 0.25):
        heights = values([sign * start * 2.0 ** -(step + d) for d in (-width, 0.0, width)])
        bend = heights[0] - 2 * heights[1] + heights[2]
        offset = 0.5 * (heights[0] - heights[2]) / bend if bend < 0 else float(np.argmax(heights)) - 1
        step += width * float(np.clip(offset, -1, 1))
    factor = sign * start * 2.0**-step
    result = GreyScale(factor, float(values([factor])[0] - silent))
    _tell(result, len(chosen))
    return result


def _scale_of_equal_power(
    reference: torch.Tensor,
    images: FourierImages,
    chosen: np.ndarray,
    interpolation: Interpolation,
    grid: SO3Grid,
    count: int,
) -> float:
    """Scale at which the projections' power equals the images', signal and noise."""
    weights = images.disc.weights[1:count]
    slices = interpolation.slices(
        interpolation.prepare(reference),
        torch.as_tensor(grid.matrices[:: max(1, len(grid) // 200)]),
        images.disc.pixels[1:count],
    )
    power = (slices.abs() ** 2).mean(0).double()
    ctf = images.ctf(chosen, count)
    if ctf is not None:
        power *= (ctf[:, 1:] ** 2).mean(0)
    predicted = float((power * weights).sum())
    if not predicted > 0:
        raise InputError("the reference projects to zero: it holds no density at the frequencies used")
    transforms = images.transforms(chosen)[:, 1:count]
    observed = float(((transforms.abs() ** 2).mean(0).double() * weights).sum())
    return float((observed / predicted) ** 0.5)


def _tell(scale: GreyScale, particles: int) -> None:
    """Log what was found, and what is odd about it."""
    log.info("grey scale of the reference: times %.4g (gain %.3g nats a particle)", scale.factor, scale.gain)
    if scale.gain * particles < _CHANCE:
        log.warning(
            "the reference explains the images no better than no signal at all (gain %.3g nats a particle): "
            "is it the right particle, pixel size and box?",
            scale.gain,
        )
    if scale.factor < 0:
        log.warning(
            "the images' contrast is opposite to the reference's: the reference is inverted, so maps come out with "
            "the images' contrast"
        )
