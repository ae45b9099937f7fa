"""A comparison of methods in a folder: inputs checked, methods run one after the other, outputs written."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryoinv.cli.folder_lock import folder_lock, refuse_if_locked
from cryoinv.cli.inputs import (
    check_images,
    check_output_folder,
    check_output_places,
    check_resumable,
    input_files,
    read_reference,
    refuse_to_replace,
)
from cryoinv.cli.method_process import Problem, refine_in_a_process
from cryoinv.cli.progress import Progress
from cryoinv.cli.refine import check_settings
from cryoinv.cli.reporting import say
from cryoinv.cli.running import finished_summary
from cryoinv.comparison import Comparison, MethodResult, default_methods
from cryoinv.comparison.methods import MethodWords
from cryoinv.comparison.output import COMPARISON_FILES, LAST_WRITTEN, METHODS_FOLDER
from cryoinv.comparison.run import checked_finest, checked_refinement, versions
from cryoinv.comparison.saved import METHOD_FILE, arranged, remove_methods, save_words, saved_words
from cryoinv.io import ParticleStack
from cryoinv.refinement.evaluation import check_truth, evaluate_refinement
from cryoinv.refinement.output import CHECKPOINT, OUTPUT_FILES
from cryoinv.refinement.together import quiet
from cryoinv.spaces import resolve_device

if TYPE_CHECKING:
    from cryoinv.refinement import RefinementSettings

__all__ = ["Inputs", "run_comparison"]

Methods = Mapping[str, MethodWords]  # by the names of their folders


@dataclass(frozen=True)
class Inputs:
    """What is compared on, and where the results go.

    Parameters
    ----------
    star, reference : Path
        Particles and starting map.
    truth : tuple of Path, optional
        True map, and STAR file with the true poses.
    output : Path
        Folder of the comparison.
    settings : RefinementSettings
        Shared by all methods.
    device : str
        Where they run.
    threads : int, optional
        Of each method.
    finest : float, optional
        Å; the mean FSC against the truth goes to the shell there.
    """

    star: Path
    reference: Path
    truth: tuple[Path, Path] | None
    output: Path
    settings: RefinementSettings
    device: str
    threads: int | None
    finest: float | None

    @property
    def files(self) -> dict[str, str | None]:
        """Input files by what they are."""
        truth, poses = self.truth or (None, None)
        named = {"particles": self.star, "reference": self.reference, "truth": truth, "truth_poses": poses}
        return {f"{name}_file": None if path is None else str(path) for name, path in named.items()}

    def place(self, name: str) -> Path:
        """Folder of a method."""
        return self.output / METHODS_FOLDER / name


def run_comparison(
    inputs: Inputs, priors: Sequence[str], common: Mapping[str, str], resume: bool, overwrite: bool
) -> Comparison:
    """Check everything, run the methods that are not finished, write the folder.

    Parameters
    ----------
    inputs : Inputs
        What is compared on.
    priors : sequence of str
        Methods in words; the default ones if empty.
    common : mapping of str to str
        Specifications of m_step, solver and denoiser for methods that name none.
    resume, overwrite : bool
        What may be done where there are results already.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If anything is not what it must be; nothing has been written then.
    """
    _check_output(inputs.output, resume or overwrite)
    stack = ParticleStack.from_star(inputs.star, inputs.settings.allow_duplicates)
    reference = read_reference(inputs.reference, stack, inputs.star)
    check_settings(inputs.settings, stack, inputs.star)
    if inputs.truth is not None:
        check_truth(stack, *inputs.truth)
    finest, device = checked_finest(inputs.finest, stack.pixel_size), resolve_device(inputs.device)
    methods = _methods(inputs.output, priors, common, resume)
    _check_places(inputs, methods, stack)
    finished = _checked(inputs, methods, stack, reference, resume)
    if len(finished) < len(methods):
        with Progress() as progress:
            check_images(stack, progress)
    problem = Problem.of(inputs.star, inputs.reference, inputs.settings, device, inputs.threads)
    origin = {"command": ["cryoinv", *sys.argv[1:]], **inputs.files, "device": device, "versions": versions()}
    with folder_lock(inputs.output):
        if overwrite:
            remove_methods(inputs.output)
        (inputs.output / LAST_WRITTEN).unlink(missing_ok=True)  # which says that the folder is complete
        results = _results(inputs, methods, finished, problem)
        settings: dict[str, Any] = asdict(inputs.settings)
        comparison = Comparison(results, stack.n, stack.pixel_size, len(stack), settings, finest, origin)
        comparison.write(inputs.output)
    return comparison


def _check_output(output: Path, may_hold_results: bool) -> None:
    refuse_if_locked(output)
    advice = "use --resume to go on, or --overwrite to replace its results"
    check_output_folder(output, may_hold_results, advice)
    check_output_places(output, [*COMPARISON_FILES, f"{METHODS_FOLDER}/{METHOD_FILE}"])


def _methods(output: Path, priors: Sequence[str], common: Mapping[str, str], resume: bool) -> Methods:
    """Methods that were named, or the default ones; and those that the folder has besides."""
    saved = saved_words(output) if resume else {}
    named = list(priors) or ([] if saved else default_methods())
    methods = arranged([MethodWords.parsed(text).with_common(**common) for text in named], saved)
    others = [words.label for words in list(methods.values())[len(named) :]]
    if named and others:
        say(f"{output} has more methods, which are taken along: {', '.join(others)}")
    return methods


def _check_places(inputs: Inputs, methods: Methods, stack: ParticleStack) -> None:
    """Refuse places of files that are taken: by an input, by another run, by a folder."""
    outputs = [inputs.output / name for name in COMPARISON_FILES]
    for name in methods:
        place = inputs.place(name)
        refuse_if_locked(place)
        check_output_places(place, [METHOD_FILE, *OUTPUT_FILES])
        outputs += [place / file for file in (METHOD_FILE, *OUTPUT_FILES)]
    refuse_to_replace(input_files(stack, inputs.star, inputs.reference, *(inputs.truth or ())), outputs)


def _checked(
    inputs: Inputs, methods: Methods, stack: ParticleStack, reference: Any, resume: bool
) -> set[str]:
    """See that every method can be made, and gone on with; return the folders of those that are finished."""
    finished = set()
    for name, words in methods.items():
        place = inputs.place(name)
        with quiet(True):  # each method's process will say it
            run = checked_refinement(words.made(), stack, reference, inputs.settings)
        if not resume:
            continue
        check_resumable(place)
        state = run.saved(place / CHECKPOINT) if (place / CHECKPOINT).exists() else None
        if state is not None and finished_summary(state, run, place) is not None:
            finished.add(name)
    return finished


def _results(
    inputs: Inputs, methods: Methods, finished: Collection[str], problem: Problem
) -> list[MethodResult]:
    """Run what is not finished, and read what all have left."""
    results = []
    for number, (name, words) in enumerate(methods.items(), 1):
        folder, place = f"{METHODS_FOLDER}/{name}", inputs.place(name)
        say(f"method {number} of {len(methods)}: {words.label}{' (finished before)' if name in finished else ''}")
        error = ""
        if name not in finished:
            save_words(inputs.output, name, words)
            error = refine_in_a_process(problem, words, place)
        if error:
            say(f"method {words.label}: {error}", "error")
            results.append(MethodResult(words.made(), error=error, folder=folder))
        else:
            evaluation = None if inputs.truth is None else evaluate_refinement(place, *inputs.truth)
            results.append(MethodResult.from_folder(words.made(), place, evaluation, folder))
    return results
