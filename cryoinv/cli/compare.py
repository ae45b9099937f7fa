"""``cryoinv compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cryoinv.cli.options import AllowDuplicates, Device, NoCtf, Padding, Seed, Symmetry, Threads, set_threads
from cryoinv.cli.ranks import only_alone
from cryoinv.errors import CryoinvError

_METHOD = "SPEC [m-step=SPEC] [solver=SPEC] [denoiser=SPEC] [output-prior=SPEC] [label=TEXT]"


def compare(
    particles: Annotated[Path, typer.Argument(metavar="PARTICLES.star", help="Particles; poses are not used.")],
    reference: Annotated[Path, typer.Option(help="Starting map (.mrc); it is low-passed first.")],
    output: Annotated[Path, typer.Option(help="Folder for the results.")],
    prior: Annotated[
        list[str] | None,
        typer.Option(
            metavar=f"'{_METHOD}'",
            help="A method: a prior, and how to solve with it; once for each. A SPEC is NAME[,key=value...] or "
            "module:object[,key=value...]. Gaussian, masked Gaussian and RED, as far as they are there, if not given.",
            show_default=False,
        ),
    ] = None,
    m_step: Annotated[
        str, typer.Option(help="M-step of methods that name none, where it suits their prior.", show_default=False)
    ] = "",
    solver: Annotated[
        str, typer.Option(help="Solver of methods that name none, where it suits their prior.", show_default=False)
    ] = "",
    denoiser: Annotated[
        str, typer.Option(help="Denoiser of methods that name none, where the prior takes one.", show_default=False)
    ] = "",
    truth: Annotated[Path | None, typer.Option(help="True map (.mrc).", show_default=False)] = None,
    truth_poses: Annotated[
        Path | None, typer.Option(help="STAR file with the true poses; needed with --truth.", show_default=False)
    ] = None,
    mean_fsc_to: Annotated[
        float | None, typer.Option(help="Å that the mean FSC goes to; to Nyquist if not given.", show_default=False)
    ] = None,
    particle_diameter: Annotated[
        float | None, typer.Option(help="Å; estimated from the reference if not given.", show_default=False)
    ] = None,
    max_shift: Annotated[float, typer.Option(help="Largest shift in Å that is searched.")] = 6.0,
    no_ctf: NoCtf = False,
    initial_lowpass: Annotated[float, typer.Option(help="Å the reference is low-passed to.")] = 30.0,
    symmetry: Symmetry = "C1",
    max_iterations: Annotated[int, typer.Option(min=1, help="At most so many, and a final one.")] = 30,
    noise_estimation: Annotated[str, typer.Option(help="unmasked, or masked as in RELION.")] = "unmasked",
    signal_extent: Annotated[
        str, typer.Option(help="Where the prior expects signal: sphere, or box as in RELION.")
    ] = "sphere",
    padding: Padding = 2,
    device: Device = "auto",
    threads: Threads = None,
    memory: Annotated[
        int, typer.Option(min=64, help="MiB for temporaries, of each process, and as much for transformed images.")
    ] = 512,
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
    from cryoinv.refinement import RefinementSettings

    settings = RefinementSettings(
        particle_diameter=particle_diameter,
        max_shift=max_shift,
        use_ctf=not no_ctf,
        initial_lowpass=initial_lowpass,
        symmetry=symmetry,
        max_iterations=max_iterations,
        noise_estimation=noise_estimation,
        signal_extent=signal_extent,
        padding=padding,
        memory_bytes=memory << 20,
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
