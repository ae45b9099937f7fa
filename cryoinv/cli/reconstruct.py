"""``cryoinv reconstruct``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cryoinv.cli.maps import map_ending, refuse_existing
from cryoinv.cli.method import SPEC, DenoiserSpec, MStepSpec, method_from
from cryoinv.cli.options import AllowDuplicates, Device, NoCtf, Padding, Seed, Symmetry, Threads, set_threads
from cryoinv.cli.ranks import only_alone
from cryoinv.errors import InputError


def reconstruct(
    particles: Annotated[Path, typer.Argument(metavar="PARTICLES.star", help="Particles with poses.")],
    output: Annotated[Path, typer.Option(help="The map (.mrc).")],
    prior: Annotated[
        str | None,
        typer.Option(help="Prior on the map; none, so unregularised, if not given.", metavar=SPEC, show_default=False),
    ] = None,
    m_step: MStepSpec = None,
    denoiser: DenoiserSpec = None,
    particle_diameter: Annotated[
        float | None,
        typer.Option(
            help="Å, of the sphere that holds the particle, which priors are told; the box if not given.",
            show_default=False,
        ),
    ] = None,
    half_maps: Annotated[
        bool, typer.Option("--half-maps", help="Write NAME_half1.mrc and NAME_half2.mrc as well.")
    ] = False,
    no_ctf: NoCtf = False,
    symmetry: Symmetry = "C1",
    padding: Padding = 2,
    device: Device = "auto",
    threads: Threads = None,
    seed: Seed = 0,
    allow_duplicates: AllowDuplicates = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the map if it is there.")] = False,
) -> None:
    """Reconstruct a map from particles whose poses are known."""
    only_alone("reconstruct")
    set_threads(threads)
    from cryoinv import refinement
    from cryoinv.cli.inputs import check_images, check_output_folder, input_files, refuse_to_replace
    from cryoinv.cli.progress import Progress
    from cryoinv.cli.tables import print_table
    from cryoinv.geometry import PointGroup
    from cryoinv.io import ParticleStack, write_volume
    from cryoinv.io.particle_checks import checked_poses
    from cryoinv.metrics import resolution_at
    from cryoinv.refinement.halves import split_particles
    from cryoinv.refinement.output import make_folder
    from cryoinv.spaces import resolve_device

    outputs = _outputs(output, half_maps, overwrite)
    check_output_folder(output.parent, True, "")
    if prior is None and (m_step or denoiser):
        raise InputError("--m-step and --denoiser go with a --prior, found none")
    method = {} if prior is None else method_from(prior, m_step, denoiser=denoiser)
    PointGroup(symmetry)
    device = resolve_device(device)
    stack = ParticleStack.from_star(particles, allow_duplicates)
    refuse_to_replace(input_files(stack, particles), outputs)
    checked_poses(stack, str(particles))
    try:
        split_particles(stack, seed, allow_duplicates)
    except InputError as error:
        raise InputError(f"{particles}: {error}") from None
    with Progress() as progress:
        check_images(stack, progress)
        with progress.task("reconstructing", len(stack)) as advance:
            result = refinement.reconstruct(
                stack,
                prior=method.get("prior"),
                m_step=method.get("m_step"),
                particle_diameter=particle_diameter,
                padding=padding,
                symmetry=symmetry,
                use_ctf=not no_ctf,
                device=device,
                seed=seed,
                allow_duplicates=allow_duplicates,
                callback=advance,
            )
    make_folder(output.parent)
    for path, volume in zip(outputs, (result.map, *result.half_maps), strict=False):
        write_volume(path, volume.cpu().numpy(), result.pixel_size)
    found = resolution_at(result.fsc, 0.143, stack.n, stack.pixel_size)
    print_table(
        f"Reconstruction of {particles.name}",
        [("particles", str(len(stack))), ("resolution, half-maps at 0.143", str(found)), ("map", str(output))],
    )


def _outputs(output: Path, half_maps: bool, overwrite: bool) -> list[Path]:
    """Files to be written, the map first."""
    ending = map_ending(output)
    stem = output.name.removesuffix(ending)
    halves = [output.with_name(f"{stem}_half{half}{ending}") for half in (1, 2)] if half_maps else []
    refuse_existing([output, *halves], overwrite)
    return [output, *halves]
