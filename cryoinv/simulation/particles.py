r"""Particle images with known poses: exact projections of a map, CTF, shifts and noise.

An image is :math:`y_i = \mathcal F^{-1} S_{t_i} C_i P_{R_i} x + e_i`. Slices :math:`P_R x` are exact
trigonometric sums over the voxels (non-uniform FFT), not the interpolation that a reconstruction uses. Noise
comes after the CTF.

The contrast, stated once: the map is positive where there is protein and the CTF is positive at low
frequency, so protein is **bright** (white) in the map, in its projections and in the images at low
resolution. Experimental images have dark particles until they are inverted, as extraction in RELION does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from cryoinv.errors import InputError
from cryoinv.geometry import Poses, random_rotations
from cryoinv.operators import CTF, ForwardModel, FourierSlice, Shift
from cryoinv.simulation.lowpass import band_limit
from cryoinv.simulation.noise import draw_noise, noise_power
from cryoinv.simulation.optics import CtfDistribution
from cryoinv.spaces import VolumeSpace
from cryoinv.spaces.spectrum import centred_irfft, hermitian_weights, shell_indices

CONTRAST = "protein is positive, so bright, in the map and in the images (CTF positive at low frequency)"
"""The contrast sign of everything that is simulated."""

SNR_PARTICLES = 1000
"""The grey scale is set on at most this many particles, the first, so that more of them do not change it."""

_STREAMS = {"rotations": 0, "shifts": 1, "defocus": 2, "noise": 3}
_BLOCK_POINTS = 1 << 20


@dataclass(frozen=True, eq=False)
class SimulatedParticles:
    """Particles that are computed when asked for; subsets and their order change images by rounding only.

    Made by `simulate_particles`.

    Attributes
    ----------
    volume : ndarray, shape (n, n, n), float32
        The truth in the images' grey scale: its sum along image z is the clean image.
    pixel_size : float
        In Å.
    poses : Poses
        True poses.
    defocus : ndarray, shape (m, 3), or None
        ``defocus_u``, ``defocus_v`` in Å, angle in degrees; None without CTF.
    optics : CtfDistribution or None
        Microscope; None without CTF.
    noise_power : ndarray, shape (shells,)
        Power of the noise on every shell, its variance per pixel is 1.
    seed : int
        What the noise is drawn from.
    """

    volume: NDArray[np.float32]
    pixel_size: float
    poses: Poses
    defocus: NDArray[np.float64] | None
    optics: CtfDistribution | None
    noise_power: NDArray[np.float64]
    seed: int

    @property
    def n(self) -> int:
        """Box size."""
        return len(self.volume)

    def __len__(self) -> int:
        """Return the number of particles."""
        return len(self.poses)

    def blocks(self, indices: ArrayLike | None = None) -> Iterator[NDArray[np.intp]]:
        """Yield indices in runs whose images take bounded memory.

        Parameters
        ----------
        indices : array_like of int, optional
            All particles when left out.

        Yields
        ------
        ndarray of int
        """
        wanted = np.arange(len(self)) if indices is None else np.atleast_1d(np.asarray(indices))
        size = max(1, _BLOCK_POINTS // self.n**2)
        for start in range(0, len(wanted), size):
            yield wanted[start : start + size]

    def forward(self, indices: ArrayLike) -> ForwardModel:
        """Return the operator that maps `volume` to the noise-free image transforms of some particles.

        Parameters
        ----------
        indices : array_like of int, shape (k,)
            Particles from 0.

        Returns
        -------
        ForwardModel
            Exact slices (non-uniform FFT), CTF and shifts.
        """
        poses = self.poses[np.atleast_1d(np.asarray(indices))]
        space = VolumeSpace(self.n, self.pixel_size)
        slices = FourierSlice(space, poses.rotations, interpolation="nufft", tolerance=1e-6)
        ctf = None
        if self.optics is not None and self.defocus is not None:
            defocus = self.defocus[np.atleast_1d(np.asarray(indices))]
            ctf = CTF(slices.range, self.optics.values(self.n, self.pixel_size, defocus))
        return ForwardModel(slices, ctf, Shift(slices.range, poses.shifts / self.pixel_size))

    def clean_images(self, indices: ArrayLike) -> NDArray[np.float32]:
        """Compute images without noise, with CTF and shift.

        Parameters
        ----------
        indices : array_like of int, shape (k,)
            Particles from 0.

        Returns
        -------
        ndarray, shape (k, n, n), float32
        """
        volume = torch.from_numpy(self.volume)
        spectra = (self.forward(block).apply(volume) for block in self.blocks(indices))
        none = np.empty((0, self.n, self.n), dtype=np.float32)
        return np.concatenate([none, *(centred_irfft(block, self.n, ndim=2).numpy() for block in spectra)])

    def images(self, indices: ArrayLike) -> NDArray[np.float32]:
        """Compute noisy images, clean ones plus noise; parameters and result as in `clean_images`."""
        return self.clean_images(indices) + self.noise(indices)

    def noise(self, indices: ArrayLike) -> NDArray[np.float32]:
        """Draw noise images, each from a stream of its own; parameters and result as in `clean_images`."""
        noise = np.empty((np.size(indices), self.n, self.n), dtype=np.float32)
        for image, particle in zip(noise, np.atleast_1d(np.asarray(indices)), strict=True):
            image[:] = draw_noise(self.n, self.noise_power, _stream(self.seed, "noise", int(particle)))
        return noise

    def signal_variance(self, indices: ArrayLike | None = None) -> float:
        """Mean over images of the clean image's variance over pixels: the SNR, as the noise has variance 1.

        Parameters
        ----------
        indices : array_like of int, optional
            All particles when left out.

        Returns
        -------
        float
        """
        volume = torch.from_numpy(self.volume)
        weights = hermitian_weights(self.n).expand(self.n, -1) / self.n**2
        weights = weights.masked_fill(shell_indices(self.n, ndim=2) == 0, 0.0)
        powers = [
            (self.forward(block).apply(volume).abs().double() ** 2 * weights).sum(dim=(1, 2))
            for block in self.blocks(indices)
        ]
        return float(torch.cat(powers).mean())


def simulate_particles(
    volume: NDArray[np.floating],
    pixel_size: float,
    count: int,
    snr: float,
    seed: int = 0,
    max_shift: float = 0.0,
    ctf: CtfDistribution | None = None,
    noise: str = "white",
) -> SimulatedParticles:
    r"""Particles of a map at uniformly random orientations, :math:`y_i = H_{g_i} (c x) + e_i`.

    The factor c makes the signal-to-noise ratio the wanted one: the mean over images of the per-pixel
    variance of the noise-free image (CTF included), divided by the noise variance, which is 1. It is set on
    the first 1,000 particles. Rotations, shifts, defocus and each particle's noise have random streams of
    their own: a particle keeps its pose when the number of particles, the noise, the shifts or the CTF are
    changed.

    Parameters
    ----------
    volume : ndarray, shape (n, n, n)
        Map x, axes (z, y, x), any grey scale. It is band-limited to :math:`|k| \le (n-1)/2` first.
    pixel_size : float
        In Å.
    count : int
        Number of particles m.
    snr : float
        Signal-to-noise ratio.
    seed : int
        Determines everything.
    max_shift : float
        Shifts are uniform in a disc of this radius in Å. Images are periodic: density shifted out of the box
        comes in again on the other side.
    ctf : CtfDistribution, optional
        Optics and defocus; no CTF when left out.
    noise : {"white", "coloured"}
        Spectrum of the noise, see `noise_power`.

    Returns
    -------
    SimulatedParticles

    Raises
    ------
    InputError
        If an argument is out of range or the map is empty.

    References
    ----------
    D. Kimanius et al. (2020), section 3.1.

    Examples
    --------
    >>> x = np.zeros((16, 16, 16))
    >>> x[6:10, 7:9, 5:12] = 1.0
    >>> particles = simulate_particles(x, pixel_size=4.0, count=20, snr=0.1)
    >>> particles.images([3, 7]).shape, round(particles.signal_variance(), 6)
    ((2, 16, 16), 0.1)
    """
    if np.ndim(volume) != 3 or len(set(np.shape(volume))) != 1:
        raise InputError(f"the map to project has shape {np.shape(volume)}, expected a cube")
    for name, value, good in (
        ("particle count", count, count >= 1),
        ("SNR", snr, 0 < snr < np.inf),
        ("pixel size", pixel_size, 0 < pixel_size < np.inf),
        ("largest shift", max_shift, 0 <= max_shift < np.inf),
        ("seed", seed, seed >= 0),
    ):
        if not good:
            raise InputError(f"{name} is {value}, out of range")
    radius, angle = _stream(seed, "shifts").random((count, 2)).T
    radius, angle = max_shift * np.sqrt(radius), 2 * np.pi * angle
    particles = SimulatedParticles(
        volume=band_limit(volume),
        pixel_size=float(pixel_size),
        poses=Poses(
            random_rotations(count, _stream(seed, "rotations")),
            np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1),
        ),
        defocus=None if ctf is None else ctf.draw(count, _stream(seed, "defocus")),
        optics=ctf,
        noise_power=noise_power(len(volume), pixel_size, noise),
        seed=seed,
    )
    variance = particles.signal_variance(np.arange(min(count, SNR_PARTICLES)))
    if not (np.isfinite(variance) and variance > 0):
        raise InputError(f"the map is empty or not finite: its projections have variance {variance:g}")
    scaled = (particles.volume * np.sqrt(snr / variance)).astype(np.float32)
    return replace(particles, volume=scaled)


def _stream(seed: int, name: str, particle: int | None = None) -> np.random.Generator:
    key = (_STREAMS[name],) if particle is None else (_STREAMS[name], particle)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
