"""One method of a comparison, refined in a process of its own: time, memory and crashes are that method's alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryoinv.cli.options import set_threads
from cryoinv.cli.reporting import describe, show_traceback, warnings_and_log
from cryoinv.errors import CryoinvError, InputWarning

if TYPE_CHECKING:
    from cryoinv.comparison.methods import MethodWords
    from cryoinv.refinement import RefinementSettings

__all__ = ["Problem", "refine_in_a_process"]

_INTERRUPTED, _TERMINATED = 130, 128 + signal.SIGTERM
_PATIENCE = 20.0  # seconds in which a process that was interrupted too may clear up


@dataclass(frozen=True)
class Problem:
    """What all methods share, in what can be sent to another process and read there without a heavy import.

    Parameters
    ----------
    star, reference : Path
        Particles and starting map.
    settings : dict
        Of `RefinementSettings`.
    device : str
        Where.
    threads : int, optional
        Of each method.
    """

    star: Path
    reference: Path
    settings: dict[str, Any]
    device: str
    threads: int | None

    @classmethod
    def of(
        cls, star: Path, reference: Path, settings: RefinementSettings, device: str, threads: int | None
    ) -> Problem:
        """The problem with its settings as a dict."""
        return cls(star, reference, asdict(settings), device, threads)


def refine_in_a_process(problem: Problem, words: MethodWords, folder: Path) -> str:
    """Refine with one method, in its folder, and wait; return why it failed, or nothing.

    The process begins as a fresh interpreter: what this one holds, or has loaded, does not count. It shows its progress
    itself. If this process is stopped, so is that one.

    Parameters
    ----------
    problem : Problem
        What is refined.
    words : MethodWords
        The method.
    folder : Path
        An existing folder; where it has a checkpoint, the refinement goes on from it.

    Returns
    -------
    str
        Empty if the folder is complete.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(problem, asdict(words), folder, sender))
    process.start()
    sender.close()  # the end of the process then ends the wait
    try:
        said = _received(receiver)
        process.join()
    except KeyboardInterrupt:  # a terminal sends it to both
        process.join(_PATIENCE)
        raise
    finally:
        if process.is_alive():
            process.terminate()
            process.join()
        receiver.close()
    return _ended(process.exitcode) if said is None else said


def _received(receiver: Connection) -> str | None:
    try:
        return str(receiver.recv())
    except EOFError:
        return None


def _ended(code: int | None) -> str:
    """Why a process ended that did not say."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        why = " (the system does so when memory runs out)" if name == "SIGKILL" else ""
        return f"its process was ended by signal {name}{why}"
    return f"its process ended with exit code {code}"


def _work(problem: Problem, words: Mapping[str, str], folder: Path, sender: Connection) -> None:
    """What the process does; what it says by `sender` is why it failed, or nothing."""
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        set_threads(problem.threads)
        with warnings_and_log():
            _refine(problem, words, folder)
        said = ""
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
    except CryoinvError as error:
        show_traceback()
        said = str(error)
    except Exception as error:  # a prior of somebody else's may raise anything
        show_traceback()
        said = describe(error)
    sender.send(said)


def _refine(problem: Problem, words: Mapping[str, str], folder: Path) -> None:
    from cryoinv.cli.folder_lock import folder_lock
    from cryoinv.cli.running import run_in_folder
    from cryoinv.comparison.methods import MethodWords
    from cryoinv.io import ParticleStack, read_array
    from cryoinv.refinement import Refinement, RefinementSettings
    from cryoinv.refinement.output import CHECKPOINT

    settings = RefinementSettings(**problem.settings)
    with warnings.catch_warnings():  # the inputs are checked, and what is odd about them was said
        warnings.simplefilter("ignore", InputWarning)
        stack = ParticleStack.from_star(problem.star, settings.allow_duplicates)
        volume, _ = read_array(problem.reference, cubic=True)
    method = MethodWords(**words).made()
    run = Refinement(stack, volume, settings=settings, device=problem.device, **method.arguments())
    said = {name: text for name, text in words.items() if text}
    files = {"particles_file": str(problem.star), "reference_file": str(problem.reference)}
    with folder_lock(folder):
        run_in_folder(run, folder, (folder / CHECKPOINT).exists(), False, said | files)


def _end_with_the_parent() -> None:
    """Stop this process when the one that began it is gone, however that came."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _stop(number: int, frame: object) -> None:
    raise SystemExit(_TERMINATED)
