"""``cryoinv refine``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryoinv.cli.method import (
    DenoiserSpec,
    MStepSpec,
    OutputMStepSpec,
    OutputPriorSpec,
    PriorSpec,
    SolverSpec,
    method_from,
)
from cryoinv.cli.options import AllowDuplicates, Device, NoCtf, Padding, Seed, Symmetry, Threads, set_threads
from cryoinv.cli.ranks import among_all
from cryoinv.cli.refinement_options import (
    InitialLowpass,
    MaxIterations,
    MaxShift,
    Memory,
    NoiseEstimation,
    Output,
    ParticleDiameter,
    Particles,
    Reference,
    SignalExtent,
    settings_from,
)
from cryoinv.errors import InputError

if TYPE_CHECKING:
    from cryoinv.io import ParticleStack
    from cryoinv.parallel import Processes
    from cryoinv.refinement import RefinementSettings


def refine(
    particles: Particles,
    reference: Reference,
    output: Output,
    prior: PriorSpec = "gaussian",
    m_step: MStepSpec = None,
    solver: SolverSpec = "em",
    denoiser: DenoiserSpec = None,
    output_prior: OutputPriorSpec = None,
    output_m_step: OutputMStepSpec = None,
    particle_diameter: ParticleDiameter = None,
    max_shift: MaxShift = 6.0,
    no_ctf: NoCtf = False,
    initial_lowpass: InitialLowpass = 30.0,
    symmetry: Symmetry = "C1",
    max_iterations: MaxIterations = 30,
    noise_estimation: NoiseEstimation = "unmasked",
    signal_extent: SignalExtent = "sphere",
    padding: Padding = 2,
    device: Device = "auto",
    threads: Threads = None,
    memory: Memory = 512,
    seed: Seed = 0,
    allow_duplicates: AllowDuplicates = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run's files.")] = False,
) -> None:
    """Refine a map and its particles' poses from a starting map, in two independent halves.

    Writes map.mrc, half1.mrc, half2.mrc (unregularised), particles.star (poses, half-sets, posterior), fsc.csv,
    summary.json, iterations.jsonl and figures into the output folder.
    """
    if resume and overwrite:
        raise typer.BadParameter("--resume and --overwrite exclude each other")
    set_threads(threads)
    from cryoinv.cli.tables import print_table, refinement_rows

    settings = settings_from(
        no_ctf,
        memory,
        particle_diameter=particle_diameter,
        max_shift=max_shift,
        initial_lowpass=initial_lowpass,
        symmetry=symmetry,
        max_iterations=max_iterations,
        noise_estimation=noise_estimation,
        signal_extent=signal_extent,
        padding=padding,
        seed=seed,
        allow_duplicates=allow_duplicates,
    )
    with among_all() as processes:
        method = {
            "prior": prior,
            "m_step": m_step,
            "solver": solver,
            "denoiser": denoiser,
            "output_prior": output_prior,
            "output_m_step": output_m_step,
        }
        summary = run_refinement(
            particles, reference, output, settings, method, device, resume, overwrite, processes=processes
        )
    if summary is None:
        return
    print_table(f"Refinement of {particles.name}", refinement_rows(summary))
    typer.echo(f"maps, poses, curves and figures are in {output}")


def run_refinement(
    star: Path,
    reference: Path,
    output: Path,
    settings: RefinementSettings,
    method: Mapping[str, str | None] | None = None,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    processes: Processes | None = None,
) -> dict[str, Any] | None:
    """Check all inputs, refine, write the folder; return the summary, in the first process."""
    from cryoinv.cli.folder_lock import folder_lock, refuse_if_locked
    from cryoinv.cli.inputs import (
        check_output_folder,
        check_output_places,
        check_resumable,
        input_files,
        read_reference,
        refuse_to_replace,
    )
    from cryoinv.cli.running import run_in_folder
    from cryoinv.io import ParticleStack
    from cryoinv.parallel import Processes
    from cryoinv.refinement import Refinement
    from cryoinv.refinement.output import OUTPUT_FILES

    processes = Processes() if processes is None else processes
    if processes.first:
        refuse_if_locked(output)
        check_output_folder(output, resume or overwrite, "use --resume to go on, or --overwrite to replace its results")
        check_output_places(output, OUTPUT_FILES)
        if resume:
            check_resumable(output)
    words = {"prior": "gaussian"} if method is None else dict(method)
    chosen = method_from(**words)
    stack = ParticleStack.from_star(star, settings.allow_duplicates)
    refuse_to_replace(input_files(stack, star, reference), [output / name for name in OUTPUT_FILES])
    volume = read_reference(reference, stack, star)
    check_settings(settings, stack, star)
    refinement = Refinement(stack, volume, settings=settings, device=device, processes=processes, **chosen)
    details = {**words, "particles_file": str(star), "reference_file": str(reference)}
    with folder_lock(output) if processes.first else nullcontext():
        return run_in_folder(refinement, output, resume, overwrite, details)


def check_settings(settings: RefinementSettings, particles: ParticleStack, star: Path) -> None:
    """Refuse lengths that do not fit the box, and particles that do not make two halves."""
    from cryoinv.refinement.halves import split_particles

    box = particles.n * particles.pixel_size
    if settings.max_shift > box / 2:
        raise InputError(f"max_shift is {settings.max_shift:g} Å, more than half the box of {box:g} Å")
    if settings.initial_lowpass > box:
        raise InputError(f"initial_lowpass is {settings.initial_lowpass:g} Å, larger than the box of {box:g} Å")
    diameter, smallest = settings.particle_diameter, 2 * particles.pixel_size
    if diameter is not None and diameter < smallest:
        raise InputError(f"particle_diameter is {diameter:g} Å, less than two pixels ({smallest:g} Å)")
    try:
        split_particles(particles, settings.seed, settings.allow_duplicates)
    except InputError as error:
        raise InputError(f"{star}: {error}") from None
