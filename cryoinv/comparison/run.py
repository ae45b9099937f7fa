"""Many methods on the same particles, one after the other, in this process."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cryoinv.errors import CryoinvError, InputError
from cryoinv.geometry import Poses
from cryoinv.priors import Prior
from cryoinv.refinement import Refinement, RefinementObserver, RefinementResult, RefinementSettings
from cryoinv.refinement.evaluation import Evaluation, evaluate_map, true_poses
from cryoinv.refinement.output import CHECKPOINT, make_folder, summarise, write_refinement
from cryoinv.spaces import resolve_device

from .methods import Method, default_methods, distinct, folder_names, method_from
from .output import METHODS_FOLDER
from .result import MethodResult
from .table import Comparison

if TYPE_CHECKING:
    from cryoinv.io import ParticleStack

__all__ = ["compare", "in_all_names", "versions"]

log = logging.getLogger(__name__)

Place = str | os.PathLike[str]
Judge = Callable[[RefinementResult], Evaluation | None]


def compare(
    particles: ParticleStack | Place,
    reference: torch.Tensor | np.ndarray | Place,
    methods: Sequence[Method | Prior | str] | None = None,
    truth: torch.Tensor | np.ndarray | Place | None = None,
    truth_poses: Poses | Place | None = None,
    settings: RefinementSettings | None = None,
    output: Place | None = None,
    device: str = "auto",
    resume: bool = False,
    finest: float | None = None,
    observer: RefinementObserver | None = None,
) -> Comparison:
    """Refine the same particles with each of several methods, from the same reference, with the same half-sets.

    A method that fails, as one that diverges, is noted with its error, and the others go on. All methods are checked
    before the first one runs.

    Parameters
    ----------
    particles : ParticleStack or path-like
        Images, or their STAR file.
    reference : torch.Tensor or numpy.ndarray, shape (n, n, n), or path-like
        Starting map, or its MRC file.
    methods : sequence of Method, Prior or str, optional
        What is compared; words are as `method_from` takes them. By default `default_methods`.
    truth : torch.Tensor or numpy.ndarray, shape (n, n, n), or path-like, optional
        True map.
    truth_poses : Poses or path-like, optional
        True poses in the order of the particles, or a STAR file that has them, in any order. Needed with `truth`.
    settings : RefinementSettings, optional
        Shared by all methods.
    output : path-like, optional
        Folder that every method's files, the table, figures and a report are written to.
    device : str
        "auto", "cpu", "cuda" or "cuda:N".
    resume : bool
        Go on from what an earlier call has left in `output`, which must be empty otherwise.
    finest : float, optional
        Å; the mean FSC against the truth goes to the shell there, by default to the Nyquist frequency's.
    observer : RefinementObserver, optional
        Told how each refinement goes.

    Returns
    -------
    Comparison
        Its rows have time and, on a GPU, memory of each method. The processor's memory is not told apart, as all
        methods share this process; ``cryoinv compare`` gives each its own.

    Raises
    ------
    InputError
        If files or methods are not what they must be, naming the method, or the output folder is not empty.

    Examples
    --------
    >>> from cryoinv.io import ParticleStack
    >>> from cryoinv.simulation import demo_structure, potential_map, simulate_particles
    >>> volume = potential_map(demo_structure(), 16, 9.0)
    >>> data = simulate_particles(volume, 9.0, 12, snr=2.0, seed=0)
    >>> stack = ParticleStack.from_arrays(data.images(np.arange(12)), 9.0)
    >>> settings = RefinementSettings(max_shift=0, orientation_order=0, max_iterations=1, initial_lowpass=60)
    >>> found = compare(stack, volume, ["gaussian", "gaussian,tau2_fudge=4 label=rougher"], data.volume, data.poses,
    ...                 settings, device="cpu")
    >>> found.to_dataframe()["status"].to_dict()
    {'gaussian': 'finished', 'rougher': 'finished'}
    """
    settings = RefinementSettings() if settings is None else settings
    stack = _particles(particles, settings)
    volume = _volume(reference, stack)
    chosen = in_all_names([_method(each) for each in (default_methods() if methods is None else methods)])
    judge = _judge(stack, truth, truth_poses, settings)
    device = resolve_device(device)
    finest = checked_finest(finest, stack.pixel_size)
    names = folder_names([method.label for method in chosen])
    places = [None if output is None else Path(output) / METHODS_FOLDER / name for name in names]
    if output is not None and not resume and Path(output).exists() and any(Path(output).iterdir()):
        raise InputError(f"{output}: the output folder is not empty; resume to go on, or choose another")
    for method, place in zip(chosen, places, strict=True):
        _resumable(checked_refinement(method, stack, volume, settings), place if resume else None)
    results = []
    for number, (method, place) in enumerate(zip(chosen, places, strict=True), 1):
        log.info("method %d of %d: %s", number, len(chosen), method.label)
        run = Refinement(stack, volume, settings=settings, device=device, observer=observer, **method.arguments())
        results.append(_one(method, run, judge, place, resume))
    origin: dict[str, Any] = {"device": device, "versions": versions()}
    found = Comparison(results, stack.n, stack.pixel_size, len(stack), asdict(settings), finest, origin)
    if output is not None:
        found.write(output)
    return found


def _one(method: Method, run: Refinement, judge: Judge, place: Path | None, resume: bool) -> MethodResult:
    """Refine; write the method's folder if it has one."""
    if run.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(run.device)
    checkpoint = None
    if place is not None:
        make_folder(place)
        checkpoint = place / CHECKPOINT
    try:
        result = run.run(checkpoint, _resumable(run, place if resume else None))
    except CryoinvError as error:
        log.warning("method %s failed: %s", method.label, error)
        return MethodResult(method, error=str(error))
    unknown = {"peak_memory_mib": None}  # it is the peak of all methods so far
    name = "" if place is None else f"{METHODS_FOLDER}/{place.name}"
    if place is None:
        summary = summarise(result, run.particles, run.settings, str(run.device)) | unknown
    else:
        details = unknown | method.parts()
        summary = write_refinement(place, result, run.particles, run.settings, str(run.device), details)
    return MethodResult.from_result(method, result, summary, judge(result), name)


def _resumable(run: Refinement, place: Path | None) -> Any:
    """State that an earlier call has saved, refused if it is another run's; None where there is none."""
    return run.saved(place / CHECKPOINT) if place is not None and (place / CHECKPOINT).exists() else None


def checked_refinement(
    method: Method, particles: ParticleStack, reference: Any, settings: RefinementSettings
) -> Refinement:
    """The refinement of a method, made on the CPU to see that it can be; what is wrong is said of the method.

    Parameters
    ----------
    method : Method
        To be checked.
    particles, reference, settings
        As in `Refinement`.

    Returns
    -------
    Refinement

    Raises
    ------
    InputError
        If it cannot be made.
    """
    try:
        arguments = method.arguments()
    except InputError as error:
        raise InputError(f"method {method.label!r}: {error}") from None
    return Refinement(particles, reference, settings=settings, device="cpu", **arguments)


def in_all_names(methods: Sequence[Method]) -> list[Method]:
    """The methods under names that are told apart.

    Raises
    ------
    InputError
        If there is none.
    """
    if not methods:
        raise InputError("there is no method to compare, expected one or more")
    names = distinct([method.label for method in methods])
    return [replace(method, label=name) for method, name in zip(methods, names, strict=True)]


def checked_finest(finest: float | None, pixel_size: float) -> float:
    """Resolution in Å to which the mean FSC goes, the Nyquist frequency's by default."""
    if finest is not None and not 0 < finest < np.inf:
        raise InputError(f"the mean FSC cannot go to {finest:g} Å, expected a positive number")
    return max(float(finest or 0), 2 * float(pixel_size))


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on.

    Returns
    -------
    dict of str to str
    """
    from cryoinv import __version__

    return {
        "cryoinv": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "platform": platform.platform(),
    }


def _method(given: Method | Prior | str) -> Method:
    if isinstance(given, str):
        return method_from(given)
    return given if isinstance(given, Method) else Method(given)


def _particles(given: Any, settings: RefinementSettings) -> ParticleStack:
    from cryoinv.io import ParticleStack

    return given if isinstance(given, ParticleStack) else ParticleStack.from_star(given, settings.allow_duplicates)


def _volume(given: Any, particles: ParticleStack) -> Any:
    """A map as it was given, or that of a file, refused if its pixels are not the particles'."""
    from cryoinv.io import read_volume, same_pixel_size

    if isinstance(given, (torch.Tensor, np.ndarray)):
        return given
    volume, pixel_size = read_volume(given)
    if not same_pixel_size(pixel_size, particles.pixel_size):
        found = f"{pixel_size:.4g} Å, but {particles.pixel_size:.4g} Å in the particles"
        raise InputError(f"{given}: the pixel size is {found}")
    return volume


def _judge(particles: ParticleStack, truth: Any, poses: Any, settings: RefinementSettings) -> Judge:
    """What holds a result against the truth, or finds nothing where that is not known."""
    if (truth is None) != (poses is None):
        given, lacking = ("true map", "true poses") if poses is None else ("true poses", "true map")
        raise InputError(f"there is a {given}, but no {lacking}; expected both or neither")
    if truth is None:
        return lambda result: None
    volume = np.asarray(torch.as_tensor(_volume(truth, particles)).cpu(), dtype=np.float32)
    if volume.shape != (particles.n,) * 3:
        raise InputError(f"the true map has shape {volume.shape}, but the particles have {particles.n} pixels a side")
    if not np.isfinite(volume).all() or volume.min() == volume.max():
        raise InputError("the true map is constant or not finite")
    true = _true_poses(particles, poses)

    def judge(result: RefinementResult) -> Evaluation:
        return evaluate_map(
            result.map.cpu().numpy(),
            result.poses,
            volume,
            true,
            result.pixel_size,
            result.particle_diameter,
            settings.symmetry,
        )

    return judge


def _true_poses(particles: ParticleStack, poses: Any) -> Poses:
    if isinstance(poses, Poses):
        if len(poses) != len(particles):
            raise InputError(f"there are {len(poses)} true poses, but {len(particles)} particles")
        return poses
    return true_poses(particles, poses)
