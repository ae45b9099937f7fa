"""``cryoinv evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryoinv.cli.options import Json
from cryoinv.cli.ranks import only_alone

if TYPE_CHECKING:
    from cryoinv.refinement.evaluation import Evaluation


def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `cryoinv refine` wrote.")],
    truth: Annotated[Path, typer.Option(help="True map (.mrc).")],
    truth_poses: Annotated[Path, typer.Option(help="STAR file with the true poses.")],
    particle_diameter: Annotated[
        float | None, typer.Option(help="Å; the refinement's if not given.", show_default=False)
    ] = None,
    symmetry: Annotated[
        str | None, typer.Option(help="Point group of the truth; the refinement's if not given.", show_default=False)
    ] = None,
    figures: Annotated[Path | None, typer.Option(help="Folder to draw figures into.")] = None,
    as_json: Json = False,
) -> None:
    """Compare a refinement with the truth it was simulated from.

    The map may be turned, moved or mirrored as a whole: that is found from the poses, said, and taken out.
    """
    only_alone("evaluate")
    from cryoinv.cli.tables import evaluation_rows, print_table
    from cryoinv.refinement.evaluation import evaluate_refinement

    evaluation = evaluate_refinement(folder, truth, truth_poses, particle_diameter, symmetry)
    if figures is not None:
        draw_evaluation(evaluation, figures)
    if as_json:
        typer.echo(json.dumps(evaluation.to_dict(), allow_nan=False))
    else:
        print_table(f"{folder.name} against {truth.name}", evaluation_rows(evaluation))


def draw_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write fsc_truth.png, slices_truth.png and angular_errors.png."""
    from cryoinv.plotting import plot_angular_errors, plot_central_slices, plot_fsc
    from cryoinv.refinement.output import make_folder

    make_folder(folder)
    curves = {"map and truth": evaluation.fsc, "map and truth, in sphere": evaluation.fsc_masked}
    n, pixel_size = len(evaluation.truth), evaluation.pixel_size
    plot_fsc(curves, n, pixel_size, folder / "fsc_truth.png")
    maps = {"map": evaluation.map, "truth": evaluation.truth}
    plot_central_slices(maps, pixel_size, folder / "slices_truth.png")
    plot_angular_errors({"all particles": evaluation.poses.angle_degrees}, folder / "angular_errors.png")
