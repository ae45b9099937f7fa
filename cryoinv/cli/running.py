"""A refinement whose inputs are checked, run in the output folder that is its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cryoinv import __version__
from cryoinv.cli.inputs import check_images
from cryoinv.cli.progress import Progress, RefinementProgress
from cryoinv.cli.reporting import say
from cryoinv.errors import CryoinvError, InputError, LostProcessError
from cryoinv.refinement import Refinement, RefinementResult
from cryoinv.refinement.evaluation import read_summary
from cryoinv.refinement.output import CHECKPOINT, OUTPUT_FILES, IterationLog, write_refinement
from cryoinv.refinement.state import RefinementState

__all__ = ["finished_summary", "run_in_folder"]


def run_in_folder(
    refinement: Refinement, output: Path, resume: bool, overwrite: bool, details: dict[str, Any]
) -> dict[str, Any] | None:
    """Check the images, refine, write the folder; return the summary, in the first process."""
    processes = refinement.processes
    state = refinement.saved(output / CHECKPOINT) if resume else None
    log = IterationLog(output, state.history if state else (), overwrite)
    finished = finished_summary(state, refinement, output) if state and processes.first else None
    if processes.broadcast({"finished": np.array(finished is not None)})["finished"]:
        say(f"the refinement in {output} is finished: nothing is left to do")
        return finished
    with Progress() as progress:
        check_images(_own_particles(refinement), progress)
        if processes.first:
            refinement.observer = RefinementProgress(progress, log)
        with _telling_how_to_go_on(refinement, log):
            result = refinement.run(output / CHECKPOINT, state)
            details |= _of_processes(refinement)
            return _written(result, refinement, output, details) if processes.first else None


def finished_summary(state: RefinementState, refinement: Refinement, output: Path) -> dict[str, Any] | None:
    """Summary of a run that has reached its end, if all its files are there."""
    if not state.done(refinement.settings) or not all((output / name).is_file() for name in OUTPUT_FILES):
        return None
    try:
        summary = read_summary(output)
    except InputError:
        return None
    return summary if summary.get("iterations") == state.iteration else None


def _own_particles(refinement: Refinement) -> Any:
    """Particles whose images this process looks at."""
    if refinement.processes.size == 1:
        return refinement.particles
    return refinement.particles.subset(np.sort(np.concatenate(refinement.share)))


@contextmanager
def _telling_how_to_go_on(refinement: Refinement, log: IterationLog) -> Iterator[None]:
    """Add to what stops a run how it is resumed."""
    first, alone = refinement.processes.first, refinement.processes.size == 1
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if alone and log.saved:
            say(f"stopped; --resume goes on after iteration {log.saved}, saved in {log.folder}")
        raise
    except CryoinvError as error:
        if not log.saved if first else not isinstance(error, LostProcessError):
            raise
        last = f"iteration {log.saved}" if first else "the last iteration"
        raise type(error)(f"{error}; --resume goes on after {last} saved in {log.folder}") from error


def _of_processes(refinement: Refinement) -> dict[str, Any]:
    """Entries of the summary about who did the work, and how long each of several waited for the others."""
    processes = refinement.processes
    waited = [float(arrays["waited"]) for arrays in processes.gather({"waited": np.array(processes.waited)})]
    entries = {"processes": processes.size, "threads": torch.get_num_threads()}
    return entries if processes.size == 1 else entries | {"waiting_seconds": [round(t, 3) for t in waited]}


def _written(
    result: RefinementResult, refinement: Refinement, output: Path, details: dict[str, Any]
) -> dict[str, Any]:
    details |= {"version": __version__}
    device = str(refinement.device)
    return write_refinement(output, result, refinement.particles, refinement.settings, device, details)
