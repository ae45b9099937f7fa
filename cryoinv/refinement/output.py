"""The folder a refinement leaves behind: maps, poses, curves, numbers and figures."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cryoinv.errors import InputError
from cryoinv.files import atomic_path, remove_temporaries

from .result import RefinementObserver, RefinementResult
from .schedule import STAGES
from .settings import RefinementSettings

if TYPE_CHECKING:
    from cryoinv.io import ParticleStack

__all__ = [
    "CHECKPOINT",
    "OUTPUT_FILES",
    "IterationLog",
    "peak_memory_mib",
    "remove_outputs",
    "write_refinement",
]

CHECKPOINT = "checkpoint.npz"
OUTPUT_FILES = (
    "map.mrc",
    "half1.mrc",
    "half2.mrc",
    "particles.star",
    "fsc.csv",
    "summary.json",
    "iterations.jsonl",
    CHECKPOINT,
    "figures/fsc.png",
    "figures/slices.png",
    "figures/orientations.png",
    "figures/resolution.png",
)


def write_refinement(
    folder: str | os.PathLike[str],
    result: RefinementResult,
    particles: ParticleStack,
    settings: RefinementSettings,
    device: str,
    details: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write everything in `OUTPUT_FILES` but the checkpoint, each file whole or not at all.

    ``summary.json`` is written last: where it is, the rest is, and belongs to it.

    Parameters
    ----------
    folder : str or path-like
        An existing folder.
    result : RefinementResult
        What `refine` returned.
    particles : ParticleStack
        The particles that were refined.
    settings : RefinementSettings
        The settings used.
    device : str
        Where the refinement ran.
    details : mapping, optional
        More entries of the summary.

    Returns
    -------
    dict
        The summary.

    Raises
    ------
    InputError
        If a file cannot be written.
    """
    from cryoinv.io import write_particles_star, write_volume

    folder = Path(folder)
    make_folder(folder / "figures")
    for name, volume in zip(("map.mrc", "half1.mrc", "half2.mrc"), (result.map, *result.half_maps), strict=True):
        write_volume(folder / name, volume.cpu().numpy(), result.pixel_size)
    posterior = result.posterior
    moments = posterior.moments
    assert moments is not None
    write_particles_star(
        folder / "particles.star",
        particles,
        poses=result.poses,
        random_subset=result.halves,
        extra_columns={
            "rlnMaxValueProbDistribution": posterior.max_probability,
            "rlnLogLikeliContribution": posterior.log_likelihood,
            "cryoinvPosteriorEntropy": posterior.entropy,
            "cryoinvMeanProbability": posterior.mean_probability,
            "cryoinvOrientationSpreadDegrees": moments.degrees,
            "cryoinvShiftSpreadAngstrom": moments.angstrom,
        },
    )
    write_fsc_table(
        folder / "fsc.csv", {"fsc": result.fsc, "fsc_masked": result.fsc_masked}, particles.n, result.pixel_size
    )
    write_figures(folder / "figures", result)
    write_records(folder / "iterations.jsonl", result.history)
    summary = summarise(result, particles, settings, device) | dict(details or {})
    write_json(folder / "summary.json", summary)
    return summary


def summarise(
    result: RefinementResult, particles: ParticleStack, settings: RefinementSettings, device: str
) -> dict[str, Any]:
    """Return the numbers of ``summary.json``; units are in their names."""
    whole, masked = result.resolution, result.resolution_masked
    summary: dict[str, Any] = {
        "resolution_half_0143_angstrom": round(whole.angstrom, 4),
        "resolution_half_0143_reached_nyquist": whole.reached_nyquist,
        "resolution_half_0143_masked_angstrom": round(masked.angstrom, 4),
        "resolution_half_0143_masked_reached_nyquist": masked.reached_nyquist,
        "reached_nyquist": whole.reached_nyquist,
        "iterations": len(result.history),
        "converged": result.converged,
        "wall_seconds": round(result.wall_seconds, 3),
        "peak_memory_mib": peak_memory_mib(),
        "device": device,
        "seed": settings.seed,
        "particles": len(particles),
        "box_pixels": particles.n,
        "pixel_size_angstrom": float(result.pixel_size),
        "particle_diameter_angstrom": round(float(result.particle_diameter), 3),
        "symmetry": settings.symmetry,
        "ctf_applied": bool(settings.use_ctf and particles.has_ctf),
        "settings": asdict(settings),
        "warnings": list(result.warnings),
    }
    if device.startswith("cuda"):
        summary["device_name"] = torch.cuda.get_device_name(device)
        summary["peak_device_memory_mib"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return summary


def peak_memory_mib() -> float | None:
    """Most memory this whole process has held so far, in MiB; None where the system does not tell.

    Linux says it of the program that runs; what ``getrusage`` says there holds for its parent's memory too, which a new
    process shares until it becomes another program.
    """
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        kib = next(line for line in lines if line.startswith("VmHWM:")).split()[1]
        return round(int(kib) / 2**10, 1)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def remove_outputs(folder: Path) -> None:
    """Remove what a refinement writes, and the figures' folder if that leaves it empty; nothing else."""
    for name in OUTPUT_FILES:
        (folder / name).unlink(missing_ok=True)
    figures = folder / "figures"
    if figures.is_dir() and not any(figures.iterdir()):
        figures.rmdir()


class IterationLog(RefinementObserver):
    """Keeps ``iterations.jsonl``, one line an iteration, replaced whole as it comes.

    Nothing is written before the first pass over the particles begins, so that a refinement that fails to start
    leaves no trace. Then what killed runs have left half-written is removed, and an earlier ``summary.json``, which
    says that the folder is complete.

    Parameters
    ----------
    folder : Path
        Made if need be, with its parents.
    history : sequence of dict
        Records of the run that is resumed.
    overwrite : bool
        Remove an earlier refinement's files first.
    """

    def __init__(self, folder: Path, history: Iterable[dict] = (), overwrite: bool = False):
        self.folder, self.history, self.overwrite = folder, list(history), overwrite
        self._begun = False

    @property
    def saved(self) -> int:
        """Last iteration that is on the disk; 0 where none is."""
        return int(self.history[-1]["iteration"]) if self.history else 0

    def stage(self, name: str, particles: int) -> None:
        """Make the folder when the first pass over particles begins."""
        if self._begun or not particles:
            return
        make_folder(self.folder)
        if self.overwrite:
            remove_outputs(self.folder)
        (self.folder / "summary.json").unlink(missing_ok=True)
        for file in OUTPUT_FILES:
            remove_temporaries(self.folder / file)
        write_records(self.folder / "iterations.jsonl", self.history)
        self._begun = True

    def iteration(self, record: dict) -> None:
        """Add a line."""
        self.history.append(record)
        write_records(self.folder / "iterations.jsonl", self.history)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents where they are missing; an `InputError` says why it cannot."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: the output folder cannot be made ({error.strerror})") from error


def write_records(path: Path, records: Iterable[dict]) -> None:
    """Write records as lines of JSON."""
    _write_text(path, "".join(json.dumps(record) + "\n" for record in records))


def write_json(path: Path, entries: Mapping[str, Any]) -> None:
    """Write one JSON object, indented."""
    _write_text(path, json.dumps(entries, indent=2, allow_nan=False) + "\n")


def _write_text(path: Path, text: str) -> None:
    content = text.encode()
    with atomic_path(path, len(content)) as temporary:
        temporary.write_bytes(content)


def write_fsc_table(path: Path, curves: Mapping[str, Any], n: int, pixel_size: float) -> None:
    """Write FSC curves as CSV: shell, spatial frequency (1/Å), resolution (Å), one column a curve.

    Parameters
    ----------
    path : Path
        The file.
    curves : mapping of str to array_like, shape (n//2+1,)
        Curves by the name of their column.
    n : int
        Box size.
    pixel_size : float
        Å per pixel.
    """
    columns = [np.asarray(torch.as_tensor(values).cpu()) for values in curves.values()]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["shell", "frequency_per_angstrom", "resolution_angstrom", *curves])
    for shell, values in enumerate(zip(*columns, strict=True)):
        resolution = f"{n * pixel_size / shell:.4f}" if shell else "inf"
        numbers = [f"{value:.6f}" for value in values]
        writer.writerow([shell, f"{shell / (n * pixel_size):.6f}", resolution, *numbers])
    _write_text(path, text.getvalue())


def write_figures(folder: Path, result: RefinementResult) -> None:
    """Draw FSC, central slices, distribution of views, and resolution from iteration to iteration."""
    from cryoinv.plotting import plot_central_slices, plot_fsc, plot_orientations, plot_resolution_history

    n, pixel_size = result.map.shape[0], result.pixel_size
    curves = {"half-maps": result.fsc, "half-maps, in sphere": result.fsc_masked}
    plot_fsc({name: c.cpu().numpy() for name, c in curves.items()}, n, pixel_size, folder / "fsc.png", (0.143,))
    maps = {"map": result.map, "half-map 1": result.half_maps[0], "half-map 2": result.half_maps[1]}
    plot_central_slices({name: v.cpu().numpy() for name, v in maps.items()}, pixel_size, folder / "slices.png")
    plot_orientations(result.poses.rotations, folder / "orientations.png")
    if result.history:
        plot_resolution_history(
            {
                "half-maps, 0.143": [r["resolution_half_0143_angstrom"] for r in result.history],
                "in sphere, 0.143": [r["resolution_half_0143_masked_angstrom"] for r in result.history],
            },
            folder / "resolution.png",
            pixel_size,
            _stage_names(result.history),
        )


def _stage_names(history: list[dict]) -> dict[int, str]:
    """Name of the search that begins with an iteration, by iteration."""
    names, previous = {}, None
    for record in history:
        if record["stage"] != previous:
            kind = STAGES[record["stage"]]
            names[record["iteration"]] = f"{kind} {record['search_degrees']:.3g}°"
        previous = record["stage"]
    return names
