"""``cryoinv compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cryoinv.cli.method import DEFAULT_METHODS, DENOISER_NAMES, M_STEP_NAMES, PRIOR_NAMES, SOLVER_NAMES, SPEC
from cryoinv.cli.options import AllowDuplicates, Device, NoCtf, Padding, Seed, Symmetry, Threads, set_threads
from cryoinv.cli.ranks import only_alone
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
from cryoinv.errors import CryoinvError

_METHOD = "SPEC [m-step=SPEC] [solver=SPEC] [denoiser=SPEC] [output-prior=SPEC] [output-m-step=SPEC] [label=TEXT]"


def compare(
    particles: Particles,
    reference: Reference,
    output: Output,
    prior: Annotated[
        list[str] | None,
        typer.Option(
            metavar=f"'{_METHOD}'",
            help="A method: a prior, and how to solve with it; once for each. A SPEC is NAME[,key=value...] or "
            f"module:object[,key=value...]. Priors: {PRIOR_NAMES}. The methods are {DEFAULT_METHODS} if "
            "none is given.",
            show_default=False,
        ),
    ] = None,
    m_step: Annotated[
        str,
        typer.Option(
            help=f"M-step of methods that name none, where it suits their prior: {M_STEP_NAMES}.",
            metavar=SPEC,
            show_default=False,
        ),
    ] = "",
    solver: Annotated[
        str,
        typer.Option(
            help=f"Solver of methods that name none, where it suits their prior: {SOLVER_NAMES}.",
            metavar=SPEC,
            show_default=False,
        ),
    ] = "",
    denoiser: Annotated[
        str,
        typer.Option(
            help="Denoiser of methods that name none, where the prior takes one: a file of a network, or "
            f"{DENOISER_NAMES}.",
            metavar=f"{SPEC}|FILE",
            show_default=False,
        ),
    ] = "",
    truth: Annotated[Path | None, typer.Option(help="True map (.mrc).", show_default=False)] = None,
    truth_poses: Annotated[
        Path | None, typer.Option(help="STAR file with the true poses; needed with --truth.", show_default=False)
    ] = None,
    mean_fsc_to: Annotated[
        float | None, typer.Option(help="Å that the mean FSC goes to; to Nyquist if not given.", show_default=False)
    ] = None,
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
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a comparison stopped, and add methods that are new.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier comparison's files.")] = False,
) -> None:
    """Refine the same particles with several methods, and report how they compare.

    All share data, half-sets, seed and schedule; each runs in a process of its own. Writes comparison.csv, .md, .json,
    figures and report.html, and each method's files, into the output folder. A method that fails is noted, the others
    go on, and the exit code is 1 in the end.
    """
    if resume and overwrite:
        raise typer.BadParameter("--resume and --overwrite exclude each other")
    if (truth is None) != (truth_poses is None):
        raise typer.BadParameter("--truth and --truth-poses are needed together, or neither")
    only_alone("compare")
    set_threads(threads)
    from cryoinv.cli.comparing import Inputs, run_comparison
    from cryoinv.cli.tables import print_comparison

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
    common = {"m_step": m_step, "solver": solver, "denoiser": denoiser}
    known = (truth, truth_poses) if truth is not None and truth_poses is not None else None
    inputs = Inputs(particles, reference, known, output, settings, device, threads, mean_fsc_to)
    comparison = run_comparison(inputs, prior or [], common, resume, overwrite)
    print_comparison(f"Comparison on {particles.name}", comparison)
    typer.echo(f"the report is {output / 'report.html'}, the table {output / 'comparison.csv'}")
    if comparison.failed:
        names = ", ".join(result.label for result in comparison.failed)
        raise CryoinvError(f"{len(comparison.failed)} of {len(comparison)} methods failed: {names}; see the report")
