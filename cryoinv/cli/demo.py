"""``cryoinv demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cryoinv.cli.options import Device, Seed, Threads, set_threads
from cryoinv.cli.ranks import only_alone

_BOX, _PIXEL_SIZE, _PARTICLES, _SNR, _MAX_SHIFT = 64, 3.0, 400, 0.2, 3.0


def demo(
    output: Annotated[Path, typer.Option(help="Folder for everything.")] = Path("cryoinv-demo"),
    device: Device = "auto",
    threads: Threads = None,
    seed: Seed = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo's files.")] = False,
) -> None:
    """Simulate, refine and evaluate a real structure that ships with the package: a minute or two.

    The structure is PDB entry 2XHE, 89 kDa. The data set comes into OUTPUT/data, the refinement into OUTPUT.
    """
    only_alone("demo")
    set_threads(threads)
    from cryoinv.cli.evaluate import draw_evaluation
    from cryoinv.cli.inputs import check_output_folder
    from cryoinv.cli.refine import run_refinement
    from cryoinv.cli.reporting import say
    from cryoinv.cli.tables import evaluation_rows, print_table, refinement_rows
    from cryoinv.refinement import RefinementSettings
    from cryoinv.refinement.evaluation import evaluate_refinement
    from cryoinv.simulation import demo_structure, simulate_dataset
    from cryoinv.spaces import resolve_device

    device = resolve_device(device)
    check_output_folder(output, overwrite, "use --overwrite to replace an earlier demo")
    data = output / "data"
    simulated = simulate_dataset(
        demo_structure(),
        data,
        n=_BOX,
        pixel_size=_PIXEL_SIZE,
        particles=_PARTICLES,
        snr=_SNR,
        max_shift=_MAX_SHIFT,
        seed=seed,
    )
    say(str(simulated))
    summary = run_refinement(
        data / "particles.star",
        data / "reference.mrc",
        output,
        RefinementSettings(max_shift=_MAX_SHIFT, seed=seed),
        device=device,
        overwrite=True,
    )
    assert summary is not None
    evaluation = evaluate_refinement(output, data / "truth.mrc", data / "truth.star")
    draw_evaluation(evaluation, output / "figures")
    rows = [*refinement_rows(summary), *evaluation_rows(evaluation)]
    print_table("Demo: PDB entry 2XHE, simulated, refined, and held against the truth", rows)
    typer.echo(f"figures are in {output / 'figures'}, the map is {output / 'map.mrc'}, the data are in {data}")
