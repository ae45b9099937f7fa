"""``cryoinv simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cryoinv.cli.options import Seed, Threads, set_threads
from cryoinv.cli.ranks import only_alone
from cryoinv.errors import InputError

SIMULATED_FILES = (
    "particles.mrcs",
    "particles.star",
    "truth.star",
    "truth.mrc",
    "reference.mrc",
    "simulation.json",
)


def simulate(
    structure: Annotated[Path, typer.Argument(help="Atoms (.pdb, .ent, .cif) or a map (.mrc, .map), also .gz.")],
    output: Annotated[Path, typer.Option(help="Folder for the data set.")],
    box: Annotated[int, typer.Option(min=8, help="Box size in pixels.")] = 64,
    pixel_size: Annotated[float, typer.Option(help="Å per pixel.")] = 3.0,
    particles: Annotated[int, typer.Option(min=1, help="How many.")] = 1000,
    snr: Annotated[float, typer.Option(help="Variance of the clean images over that of the noise.")] = 0.05,
    max_shift: Annotated[float, typer.Option(help="Largest shift in Å.")] = 6.0,
    ctf: Annotated[bool, typer.Option("--ctf", help="Apply a CTF, defocus from 1 to 3 µm at 300 kV.")] = False,
    noise: Annotated[str, typer.Option(help="white or coloured.")] = "white",
    b_factor: Annotated[float, typer.Option(help="Added to the atoms' B-factors, in Å².")] = 0.0,
    seed: Seed = 0,
    threads: Threads = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier data set.")] = False,
) -> None:
    """Simulate particles of a known structure, with the truth beside them.

    Writes particles.mrcs, particles.star (no poses), truth.star (poses), truth.mrc (the map in the images' grey
    scale) and reference.mrc (the map low-passed to 30 Å).
    """
    only_alone("simulate")
    set_threads(threads)
    from cryoinv.cli.inputs import check_output_folder, check_output_places, refuse_to_replace
    from cryoinv.cli.progress import Progress
    from cryoinv.simulation import simulate_dataset

    check_output_folder(output, True, "")
    check_output_places(output, SIMULATED_FILES)
    existing = [name for name in SIMULATED_FILES if (output / name).exists()]
    if existing and not overwrite:
        raise InputError(f"{output}: holds {', '.join(existing)} already; use --overwrite to replace them")
    refuse_to_replace([structure], [output / name for name in SIMULATED_FILES])
    with Progress() as progress, progress.task("simulating", particles) as advance:
        done = 0

        def count(finished: int, _: int) -> None:
            nonlocal done
            advance(finished - done)
            done = finished

        summary = simulate_dataset(
            structure,
            output,
            n=box,
            pixel_size=pixel_size,
            particles=particles,
            snr=snr,
            max_shift=max_shift,
            ctf=ctf,
            seed=seed,
            noise=noise,
            b_factor=b_factor,
            callback=count,
        )
    typer.echo(str(summary))
