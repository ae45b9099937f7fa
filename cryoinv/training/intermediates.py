"""Pairs from our own refinements: the unregularised half-maps of every iteration, kept on disk."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cryoinv.errors import CryoinvError, InputError
from cryoinv.io import ParticleStack, read_weights, write_weights
from cryoinv.metrics import fourier_shell_correlation
from cryoinv.operators import low_pass
from cryoinv.refinement import RefinementObserver, RefinementSettings, refine
from cryoinv.refinement.gold_standard import HalfMaps
from cryoinv.simulation.particles import simulate_particles
from cryoinv.spaces import cube_rotations, rotate_by_cube

from .corpus import Structure
from .pairs import Pairs
from .truth import TruthMaker

__all__ = ["IntermediateMaker", "IntermediatePairs"]

log = logging.getLogger(__name__)

_KIND = "intermediate half-maps"
_START = 30.0  # Å, as the paper's refinements
_LOST = 0.3  # mean FSC with the truth over the first shells below which a refinement went astray


@dataclass
class IntermediateMaker:
    """Refinements of simulated particles under the Gaussian prior, whose half-maps are stored.

    A structure, its orientation and blur, the number of particles and their SNR are drawn from the seed and the run's
    number: files that exist are kept, so that making them can stop and go on anywhere.

    Parameters
    ----------
    truth : TruthMaker
        Structures; maps are made on the CPU.
    folder : Path
        Where files go, one a refinement.
    particles : tuple of int
        Fewest and most.
    snr : tuple of float
        Smallest and largest signal-to-noise ratio of an image, drawn evenly in its logarithm. They are for so many
        particles that a tenth of the paper's suffices.
    max_shift : float
        Å.
    seed : int
        Of all runs.
    device : str
        Of the refinements.
    """

    truth: TruthMaker
    folder: Path
    particles: tuple[int, int] = (300, 600)
    snr: tuple[float, float] = (0.02, 0.3)
    max_shift: float = 6.0
    seed: int = 0
    device: str = "cpu"

    def path(self, run: int) -> Path:
        """File of a run's number."""
        return Path(self.folder) / f"run-{self.seed}-{run:05d}.safetensors"

    def make(self, run: int) -> Path | None:
        """Refine and store one run, unless it is there; None where the refinement failed.

        Parameters
        ----------
        run : int
            Number from 0.
        """
        path = self.path(run)
        if path.is_file():
            return path
        rng = np.random.default_rng((self.seed, run))
        volume, structure = self.truth(rng)
        low, high = np.log(self.snr)
        count, snr = int(rng.integers(*self.particles, endpoint=True)), float(np.exp(rng.uniform(low, high)))
        particles = simulate_particles(
            volume.numpy(), self.truth.pixel_size, count, snr, int(rng.integers(2**31)), self.max_shift
        )
        stack = ParticleStack.from_arrays(particles.images(np.arange(count)), pixel_size=self.truth.pixel_size)
        reference = low_pass(torch.from_numpy(particles.volume), self.truth.pixel_size, _START)
        kept = _Kept()
        settings = RefinementSettings(max_shift=self.max_shift, seed=run)
        try:
            result = refine(stack, reference, settings=settings, device=self.device, observer=kept)
        except CryoinvError as error:
            log.warning("refinement %d of %s is left out: %s", run, structure.name, error)
            return None
        kept.add(result.half_maps, result.fsc)
        facts = {"particles": count, "snr": snr, "radius": result.particle_diameter / 2}
        self._write(path, kept, particles.volume, structure, facts)
        return path

    def _write(self, path: Path, kept: _Kept, truth: np.ndarray, structure: Structure, facts: dict[str, float]) -> None:
        scale = float(np.std(truth))
        tensors = {
            "halves": (torch.stack(kept.halves) / scale).half(),
            "truth": (torch.from_numpy(truth) / scale).half(),
            "fsc": torch.stack(kept.fsc).float(),
        }
        facts |= {"pixel_size": self.truth.pixel_size}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_weights(path, tensors, {"kind": _KIND, "structure": structure.name, **facts})


@dataclass
class _Kept(RefinementObserver):
    """Half-maps (2, n, n, n) and FSC of every iteration."""

    halves: list[torch.Tensor] = field(default_factory=list)
    fsc: list[torch.Tensor] = field(default_factory=list)

    def half_maps(self, iteration: int, maps: HalfMaps) -> None:
        self.add(maps.volumes, maps.fsc)

    def add(self, volumes: tuple[torch.Tensor, torch.Tensor], fsc: torch.Tensor) -> None:
        self.halves.append(torch.stack(volumes).cpu())
        self.fsc.append(fsc.cpu())


class IntermediatePairs:
    """Both half-maps of a random iteration of a random stored refinement, in one of the cube's 24 orientations.

    Refinements that lost the particle, whose last map does not resemble the truth, are left out.

    Parameters
    ----------
    folder : str or Path
        What `IntermediateMaker` wrote.
    n : int
        Box size that maps must have.
    pixel_size : float
        Å they must have.
    runs : int, optional
        Take runs of a lower number only; all by default.

    Raises
    ------
    InputError
        If there are no files, one cannot be read or is of another box or pixel size.
    """

    def __init__(self, folder: str | Path, n: int, pixel_size: float, runs: int | None = None):
        self.pixel_size, self.lost = pixel_size, 0
        self.runs: list[tuple[dict[str, Any], dict[str, torch.Tensor]]] = []
        paths = sorted(Path(folder).glob("run-*.safetensors"))
        paths = [path for path in paths if runs is None or int(path.stem.rpartition("-")[2]) < runs]
        if not paths:
            raise InputError(f"{folder}: holds no intermediate maps (run-*.safetensors)")
        for path in paths:
            tensors, metadata = read_weights(path)
            _check(path, tensors, metadata, n, pixel_size)
            if _resemblance(tensors) < _LOST:
                self.lost += 1
                continue
            self.runs.append((metadata, tensors))
        if not self.runs:
            raise InputError(f"{folder}: none of {len(paths)} refinements can be used, {self.lost} of them went astray")

    def __len__(self) -> int:
        return len(self.runs)

    def __call__(self, rng: np.random.Generator) -> Pairs:
        """Both halves of one iteration."""
        run = int(rng.integers(len(self)))
        return self.pair(run, int(rng.integers(self.iterations(run))), rng)

    def iterations(self, run: int) -> int:
        """Number of iterations that a run has, its last pass among them."""
        return len(self.runs[run][1]["halves"])

    def pair(self, run: int, iteration: int, rng: np.random.Generator | None = None) -> Pairs:
        """Half-maps of an iteration; turned and in a random grey scale where there are random numbers."""
        metadata, tensors = self.runs[run]
        rotation = cube_rotations()[0 if rng is None else int(rng.integers(24))]
        scale = 1.0 if rng is None else float(np.exp(rng.uniform(-1, 1)))
        halves = torch.stack([rotate_by_cube(half, rotation) for half in tensors["halves"][iteration].float()])
        truth, used = rotate_by_cube(tensors["truth"].float(), rotation), tensors["fsc"][iteration] != 0
        name, radius = metadata["structure"], float(metadata["radius"])
        return Pairs.of_halves(scale * halves, scale * truth, self.pixel_size, name, radius, used)


def _check(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, Any], n: int, pixel_size: float) -> None:
    """Refuse a file that is not what `IntermediateMaker` writes, or of other maps."""
    numbers = [metadata.get(key) for key in ("pixel_size", "radius")]
    if (
        metadata.get("kind") != _KIND
        or not {"halves", "truth", "fsc"} <= set(tensors)
        or not all(isinstance(each, (int, float)) and each > 0 for each in numbers)
        or not isinstance(metadata.get("structure"), str)
    ):
        raise InputError(f"{path}: is no file of intermediate half-maps")
    truth, halves, fsc = (tensors[key] for key in ("truth", "halves", "fsc"))
    if truth.shape != (n,) * 3 or abs(metadata["pixel_size"] / pixel_size - 1) > 1e-3:
        found = f"{' x '.join(map(str, truth.shape))} voxels at {metadata['pixel_size']:g} Å"
        raise InputError(f"{path}: maps have {found}, expected box {n} at {pixel_size:g} Å")
    iterations = len(fsc)
    if not iterations or halves.shape != (iterations, 2, n, n, n) or fsc.shape != (iterations, n // 2 + 1):
        raise InputError(
            f"{path}: half-maps have shape {tuple(halves.shape)} and FSCs {tuple(fsc.shape)}, expected two maps of box "
            f"{n} and {n // 2 + 1} shells an iteration"
        )
    for name in ("truth", "halves", "fsc"):
        if not bool(torch.isfinite(tensors[name]).all()):
            raise InputError(f"{path}: not all values of {name!r} are finite")


def _resemblance(tensors: dict[str, torch.Tensor]) -> float:
    """Mean FSC of the last half-map with the truth over the shells down to a quarter of the Nyquist frequency."""
    curve = fourier_shell_correlation(tensors["halves"][-1, 0].float(), tensors["truth"].float())
    return float(curve[1 : max(2, len(curve) // 4)].mean())
