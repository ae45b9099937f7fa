"""A simulated data set on disk, ready for a refinement, with its truth beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoinv.errors import InputError
from cryoinv.files import atomic_path
from cryoinv.io import (
    AtomicModel,
    OpticsGroup,
    StackWriter,
    read_structure,
    read_volume,
    write_particles_star,
    write_volume,
)
from cryoinv.io.checks import check_varies
from cryoinv.operators import low_pass
from cryoinv.simulation.optics import CtfDistribution
from cryoinv.simulation.particles import CONTRAST, SimulatedParticles, simulate_particles
from cryoinv.simulation.potential import centre_of_mass, check_fits, model_diameter, potential_map
from cryoinv.simulation.resample import resample

REFERENCE_RESOLUTION = 30.0
"""Resolution in Å of the reference map, as in Kimanius et al. (2020)."""

_CROPPED_POWER = 0.05
_MAP_SUFFIXES = (".mrc", ".map", ".mrc.gz", ".map.gz")


@dataclass(frozen=True)
class SimulatedDataset:
    """What was written, and how.

    Attributes
    ----------
    folder : Path
        Where the files are: ``particles.mrcs``, ``particles.star`` (no poses), ``truth.star`` (poses),
        ``truth.mrc`` (the map in the images' grey scale), ``reference.mrc`` (low-passed to 30 Å) and
        ``simulation.json`` (this record).
    structure : str
        Name of the structure or map.
    particles, n : int
        Number of particles and box size.
    pixel_size : float
        In Å.
    snr, realised_snr : float
        Wanted, and found over all images.
    max_shift : float
        Radius of the disc of shifts in Å.
    ctf : CtfDistribution or None
        Optics.
    noise : str
        Kind of noise; its variance per pixel is 1.
    b_factor : float
        Added to the atoms' own, in Å^2.
    seed : int
        Seed of everything.
    diameter : float or None
        Largest distance between two atoms in Å; None for a map.
    contrast : str
        The sign of the density, in words.
    """

    folder: Path
    structure: str
    particles: int
    n: int
    pixel_size: float
    snr: float
    realised_snr: float
    max_shift: float
    ctf: CtfDistribution | None
    noise: str
    b_factor: float
    seed: int
    diameter: float | None
    contrast: str = CONTRAST

    def __str__(self) -> str:
        """Return a few lines for the terminal."""
        size = "" if self.diameter is None else f", largest diameter {self.diameter:.0f} Å"
        return (
            f"{self.particles} particles of {self.structure}{size}\n"
            f"{self.n} pixels of {self.pixel_size:g} Å, {self.noise} noise of variance 1, "
            f"SNR {self.realised_snr:.4g}, "
            f"CTF: {'yes' if self.ctf else 'no'}, shifts up to {self.max_shift:g} Å\n"
            f"contrast: {self.contrast}\n"
            f"in {self.folder}: particles.star, particles.mrcs, truth.star, truth.mrc, reference.mrc"
        )


def simulate_dataset(
    structure: str | os.PathLike[str] | AtomicModel | NDArray[np.floating],
    output: str | os.PathLike[str],
    *,
    n: int,
    pixel_size: float,
    particles: int,
    snr: float,
    max_shift: float = 0.0,
    ctf: bool | CtfDistribution = False,
    seed: int = 0,
    noise: str = "white",
    b_factor: float = 0.0,
    callback: Callable[[int, int], None] | None = None,
) -> SimulatedDataset:
    r"""Simulate particles :math:`y_i = H_{g_i} x + e_i` of a structure and write them with their truth.

    Images are made and written by blocks. Every file appears under its name only when it is whole, the STAR
    files last. Grey scale, contrast, poses and noise are those of `simulate_particles`.

    Parameters
    ----------
    structure : path, AtomicModel or ndarray
        A structure (.pdb, .ent, .cif, also .gz), made a map by `potential_map`; a map (.mrc, .map, also
        .gz), resampled to the box by `resample`; or a map of shape (n, n, n) already on the grid.
    output : path
        Folder, made where it does not exist. Files of these names in it are replaced.
    n : int
        Box size.
    pixel_size : float
        In Å.
    particles : int
        Number of particles.
    snr : float
        Mean per-pixel variance of the noise-free images over the noise variance.
    max_shift : float
        Shifts are uniform in a disc of this radius in Å.
    ctf : bool or CtfDistribution
        Whether to apply a CTF; True takes the default distribution.
    seed : int
        Determines everything.
    noise : {"white", "coloured"}
        Spectrum of the noise.
    b_factor : float
        Added to the B-factor of every atom, in Å^2; atoms only.
    callback : callable, optional
        Called with (particles written, particles in all) after every block.

    Returns
    -------
    SimulatedDataset

    Raises
    ------
    InputError
        If the structure cannot be read or does not fit the box, or an argument is out of range.

    Examples
    --------
    >>> import tempfile
    >>> from cryoinv.simulation import demo_structure
    >>> folder = tempfile.mkdtemp()
    >>> summary = simulate_dataset(demo_structure(), folder, n=32, pixel_size=5.0, particles=10, snr=0.1)
    >>> print(summary)
    10 particles of 2XHE, largest diameter 106 Å
    32 pixels of 5 Å, white noise of variance 1, SNR 0.1, CTF: no, shifts up to 0 Å
    contrast: protein is positive, so bright, in the map and in the images (CTF positive at low frequency)
    in ...: particles.star, particles.mrcs, truth.star, truth.mrc, reference.mrc
    """
    if not 2 * pixel_size <= REFERENCE_RESOLUTION <= n * pixel_size:
        box = f"{n} pixels of {pixel_size:g} Å"
        raise InputError(f"{box} cannot hold a reference at {REFERENCE_RESOLUTION:g} Å")
    volume, name, diameter = _map_of(structure, n, pixel_size, max_shift, b_factor)
    optics = CtfDistribution() if ctf is True else ctf or None
    simulated = simulate_particles(volume, pixel_size, particles, snr, seed, max_shift, optics, noise)
    folder = _made_folder(output)
    write_volume(folder / "truth.mrc", simulated.volume, pixel_size)
    reference = low_pass(simulated.volume, pixel_size, REFERENCE_RESOLUTION)
    write_volume(folder / "reference.mrc", reference, pixel_size)
    realised = _write_images(simulated, folder / "particles.mrcs", callback)
    _write_stars(simulated, folder)
    summary = SimulatedDataset(
        folder=folder,
        structure=name,
        particles=particles,
        n=n,
        pixel_size=float(pixel_size),
        snr=float(snr),
        realised_snr=realised,
        max_shift=float(max_shift),
        ctf=optics,
        noise=noise,
        b_factor=float(b_factor),
        seed=seed,
        diameter=diameter,
    )
    record = {key: value for key, value in asdict(summary).items() if key != "folder"}
    with atomic_path(folder / "simulation.json") as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")
    return summary


def _map_of(
    structure: str | os.PathLike[str] | AtomicModel | NDArray[np.floating],
    n: int,
    pixel_size: float,
    max_shift: float,
    b_factor: float,
) -> tuple[NDArray[np.floating], str, float | None]:
    """Map on the wanted grid, name, and diameter where there are atoms."""
    if isinstance(structure, np.ndarray):
        _check_map_options(n * pixel_size, max_shift, b_factor)
        if structure.shape != (n, n, n):
            raise InputError(f"the map to project has shape {structure.shape}, expected {(n, n, n)}")
        return structure, "a map", None
    if not isinstance(structure, AtomicModel):
        path = Path(structure)
        if path.name.lower().endswith(_MAP_SUFFIXES):
            _check_map_options(n * pixel_size, max_shift, b_factor)
            return _resampled_map(path, n, pixel_size), path.name, None
        structure = read_structure(path)
    check_fits(structure.positions - centre_of_mass(structure), n, pixel_size, max_shift)
    volume = potential_map(structure, n, pixel_size, b_factor)
    return volume, structure.name, model_diameter(structure)


def _check_map_options(box: float, max_shift: float, b_factor: float) -> None:
    if max_shift > box / 2:
        raise InputError(f"the largest shift is {max_shift:g} Å, more than half the box of {box:g} Å")
    if b_factor != 0:
        raise InputError(f"a B-factor of {b_factor:g} Å^2 was given, but it is for atoms, and the structure is a map")


def _resampled_map(path: Path, n: int, pixel_size: float) -> NDArray[np.float32]:
    volume, old_pixel_size = read_volume(path)
    check_varies(volume, str(path))
    m = len(volume)
    outside = np.abs(np.arange(m) - m // 2) * old_pixel_size > n * pixel_size / 2
    squares = (volume - np.median(volume)).astype(np.float64) ** 2
    lost = 1 - squares[np.ix_(~outside, ~outside, ~outside)].sum() / max(squares.sum(), np.finfo(float).tiny)
    if lost > _CROPPED_POWER:
        raise InputError(
            f"{path}: the box of {n} pixels of {pixel_size:g} Å cuts off {100 * lost:.0f} % of the power of "
            f"the map ({m} voxels of {old_pixel_size:g} Å): use a larger box, or mask the solvent first"
        )
    return resample(volume, old_pixel_size, n, pixel_size)


def _made_folder(output: str | os.PathLike[str]) -> Path:
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: the output folder cannot be made ({error.strerror})") from error
    return folder


def _write_images(
    simulated: SimulatedParticles, path: Path, callback: Callable[[int, int], None] | None
) -> float:
    """Write the stack by blocks; return the SNR over all images."""
    total = len(simulated)
    variance = 0.0
    with StackWriter(path, total, simulated.n, simulated.pixel_size) as writer:
        for block in simulated.blocks():
            clean = simulated.clean_images(block)
            variance += float(clean.var(axis=(1, 2), dtype=np.float64).sum())
            writer.write(clean + simulated.noise(block))
            if callback is not None:
                callback(int(block[-1]) + 1, total)
    return variance / total


def _write_stars(simulated: SimulatedParticles, folder: Path) -> None:
    """Write ``truth.star`` with poses and ``particles.star`` without."""
    columns: dict[str, ArrayLike] = {
        "rlnImageName": [f"{i:06d}@particles.mrcs" for i in range(1, len(simulated) + 1)],
        "rlnOpticsGroup": np.ones(len(simulated), dtype=np.int64),
    }
    group = OpticsGroup("simulated", simulated.pixel_size)
    if simulated.optics is not None and simulated.defocus is not None:
        labels = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
        columns.update(zip(labels, simulated.defocus.T, strict=True))
        optics = simulated.optics
        group = OpticsGroup(
            "simulated",
            simulated.pixel_size,
            optics.voltage,
            optics.spherical_aberration,
            optics.amplitude_contrast,
        )
    for name, poses in (("truth.star", simulated.poses), ("particles.star", None)):
        write_particles_star(folder / name, columns, poses=poses, optics=[group], n=simulated.n)
