"""Transformed particle images at the pixels of a Fourier disc, read by blocks."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import torch

from cryoinv.operators.ctf import ctf_at_pixels
from cryoinv.operators.pixels import FourierDisc
from cryoinv.spaces.spectrum import centred_rfft

from .read_ahead import read_ahead

if TYPE_CHECKING:
    from cryoinv.io import ParticleStack

__all__ = ["FourierImages"]


class FourierImages:
    """Half-disc transforms of a particle stack, with the CTF at the same pixels.

    Small sets are transformed once and kept. Larger ones are read and transformed block by block, so that memory does
    not grow with the number of particles; the blocks of `group_blocks` are read one ahead while the present one is
    worked on. Particles that are not this process's own, which it hardly asks for, are not kept either.

    Parameters
    ----------
    particles : ParticleStack
        Images and their optics.
    device : torch.device
        Where blocks are wanted.
    dtype : torch.dtype
        Real type of the arithmetic.
    use_ctf : bool
        Apply the CTF where the stack has one.
    mask : torch.Tensor, shape (n, n), optional
        Real-space mask for *scoring* (RELION's rule); statistics always take the unmasked images.
    cache_bytes : int
        Keep all transforms where they need no more than this.
    own : numpy.ndarray, optional
        Particles that are worth keeping; all by default.
    """

    def __init__(
        self,
        particles: ParticleStack,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        use_ctf: bool = True,
        mask: torch.Tensor | None = None,
        cache_bytes: int = 1 << 29,
        own: np.ndarray | None = None,
    ):
        self.particles = particles
        self.n, self.pixel_size = particles.n, particles.pixel_size
        self.device, self.dtype = torch.device(device), dtype
        self.disc = FourierDisc(self.n, device=self.device)
        self.use_ctf = use_ctf and particles.has_ctf
        self.mask = mask
        self.groups = int(particles.optics_group.max()) + 1 if len(particles) else 1
        bytes_each = len(self.disc) * (16 if dtype == torch.float64 else 8) * (1 if mask is None else 2)
        self._cache: dict[bool, torch.Tensor] = {}
        self._own = np.arange(len(particles)) if own is None else np.asarray(own)
        self._keep = len(self._own) * bytes_each <= cache_bytes
        self._row = np.full(len(particles), -1)
        self._row[self._own] = np.arange(len(self._own))
        self._present: tuple[np.ndarray, np.ndarray] | None = None  # indices and images of the block at hand
        self._reading = threading.Lock()  # files are read from two threads where a caller leaves the blocks' order

    def __len__(self) -> int:
        return len(self.particles)

    def transforms(self, indices: np.ndarray, masked: bool = False) -> torch.Tensor:
        """Image transforms of the given particles at all pixels of the disc, shape (len(indices), P)."""
        masked = masked and self.mask is not None
        rows = self._row[indices]
        if not self._keep or (rows < 0).any():
            present = self._present
            if present is not None and np.array_equal(present[0], indices):
                return self._transform(present[1], masked)
            return self._transform(self._read(indices), masked)
        if masked not in self._cache:
            blocks = np.array_split(self._own, max(1, len(self._own) // 256))
            self._cache[masked] = self._filled(read_ahead(self._read, blocks), masked)
        return self._cache[masked][torch.as_tensor(rows, device=self.device)]

    def ctf(self, indices: np.ndarray, count: int) -> torch.Tensor | None:
        """CTF of the given particles at the first `count` pixels, shape (len(indices), count); None without CTF."""
        if not self.use_ctf:
            return None
        parts = self.particles
        used, which = np.unique(np.asarray(parts.optics_group)[indices], return_inverse=True)
        optics = [parts.optics[group] for group in used]
        voltage, aberration, contrast = (
            np.array([getattr(group, name) for group in optics], dtype=np.float64)[which]
            for name in ("voltage", "spherical_aberration", "amplitude_contrast")
        )
        defocus_u, defocus_v, angle = np.asarray(parts.defocus)[indices].T
        return ctf_at_pixels(
            self.disc.pixels[:count],
            self.n,
            self.pixel_size,
            defocus_u,
            defocus_v,
            angle,
            voltage,
            aberration,
            contrast,
            0.0 if parts.phase_shift is None else parts.phase_shift[indices],
            0.0 if parts.ctf_bfactor is None else parts.ctf_bfactor[indices],
            self.dtype,
        )

    def group_blocks(self, indices: np.ndarray, size: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (optics group, particle indices) in blocks of at most `size`, one group a block."""
        groups = np.asarray(self.particles.optics_group)[indices]
        members = [(int(group), indices[groups == group]) for group in np.unique(groups)]
        blocks = [(group, own[start : start + size]) for group, own in members for start in range(0, len(own), size)]
        if self._keep:
            yield from blocks
            return
        # Closed at once where the caller leaves early: no thread outlives the loop.
        with closing(read_ahead(self._read, [block for _, block in blocks])) as ahead:
            try:
                for (group, _), present in zip(blocks, ahead, strict=True):
                    self._present = present
                    yield group, present[0]
            finally:
                self._present = None

    def _filled(self, blocks: Iterable[tuple[np.ndarray, np.ndarray]], masked: bool) -> torch.Tensor:
        """Transforms of all of this process's own images, block by block into their place: never twice in memory."""
        kept = torch.empty(len(self._own), len(self.disc), dtype=self.dtype.to_complex(), device=self.device)
        for indices, images in blocks:
            first = self._row[indices[0]]
            kept[first : first + len(images)] = self._transform(images, masked)
        return kept

    def _read(self, indices: np.ndarray) -> np.ndarray:
        with self._reading:
            return self.particles.images(indices)

    def _transform(self, images: np.ndarray, masked: bool) -> torch.Tensor:
        real = torch.as_tensor(images).to(self.device, self.dtype)
        if masked and self.mask is not None:
            real = real * self.mask
        spectrum = centred_rfft(real, ndim=2)
        return spectrum.reshape(len(images), -1)[:, self.disc.index]
