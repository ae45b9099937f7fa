"""``cryoinv train``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryoinv.cli.options import Device, Json, Seed, Threads, set_threads
from cryoinv.cli.ranks import only_alone
from cryoinv.errors import InputError

if TYPE_CHECKING:
    from cryoinv.cli.progress import Progress


def train(
    structures: Annotated[
        Path, typer.Option(help="Folder of PDB or mmCIF files or a pack of them; sub-folders train and valid split it.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for weights, log and checkpoint.")],
    preset: Annotated[str, typer.Option(help="small, base or paper: the network and the grid it learns on.")] = "small",
    pairs: Annotated[str, typer.Option(help="gaussian, posed or intermediate: what it learns from.")] = "posed",
    minutes: Annotated[float | None, typer.Option(help="Time to fill, in place of --steps.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Batches; those of the preset if not given.")] = None,
    finest: Annotated[
        float | None, typer.Option(help="Å: the network shall know no finer features, so that these can validate.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Weights of an earlier training to begin with; give another --seed than it had.")
    ] = None,
    intermediates: Annotated[
        int, typer.Option(min=2, help="Refinements to learn from, of --pairs intermediate.")
    ] = 100,
    box: Annotated[int | None, typer.Option(min=16, help="Voxels a side, in place of the preset's.")] = None,
    pixel_size: Annotated[float | None, typer.Option(help="Å, in place of the preset's.")] = None,
    precision: Annotated[
        str, typer.Option(help="Of convolutions: full, or bfloat16, which is faster on GPUs.")
    ] = "full",
    device: Device = "auto",
    seed: Seed = 0,
    threads: Threads = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last checkpoint.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier training.")] = False,
    as_json: Json = False,
) -> None:
    """Train a denoiser on atomic structures, from atoms to weights.

    Writes weights.safetensors, which --denoiser takes, with a card of what it was trained on; log.csv and TensorBoard
    event files; and checkpoint.safetensors, from which --resume goes on, after a kill as well.
    """
    only_alone("train")
    set_threads(threads)
    from dataclasses import replace

    from cryoinv.cli.folder_lock import folder_lock
    from cryoinv.cli.inputs import check_output_folder, check_output_places
    from cryoinv.cli.progress import Progress
    from cryoinv.training import Training, preset_of
    from cryoinv.training.run import CHECKPOINT, WRITTEN

    chosen = preset_of(preset)
    if pixel_size is not None and not 0.1 <= pixel_size <= 100:
        raise InputError(f"the pixel size is {pixel_size:g} Å, expected one from 0.1 to 100 Å")
    chosen = replace(chosen, box=box or chosen.box, pixel_size=pixel_size or chosen.pixel_size)
    check_output_folder(output, True, "")
    check_output_places(output, WRITTEN)
    existing = [name for name in WRITTEN if (output / name).exists()]
    if existing and not (resume or overwrite):
        raise InputError(f"{output}: holds {', '.join(existing)} already; use --resume to go on or --overwrite")
    if resume and existing and CHECKPOINT not in existing and not overwrite:
        raise InputError(
            f"{output}: holds {', '.join(existing)} but no {CHECKPOINT} to go on from; use --overwrite"
        )
    if start is not None and overwrite and start.resolve() in [(output / name).resolve() for name in existing]:
        raise InputError(f"{start}: is in the folder that is to be replaced; choose another --output")
    training = Training(
        structures, output, chosen, pairs, device, steps, minutes, seed, finest, start, precision, intermediates
    )
    with folder_lock(output), Progress("batches") as progress:
        training.observer = _observer(progress)
        summary = training.run(resume, overwrite)
    if as_json:
        typer.echo(json.dumps(summary, allow_nan=False))
    else:
        typer.echo(_told(summary, output))


def _observer(progress: Progress) -> Any:
    """What shows a training: a bar with rate and time left, and a line at every measurement."""
    from cryoinv.cli.reporting import say
    from cryoinv.training import TrainingObserver

    class Shown(TrainingObserver):
        losses: list[float] = []  # noqa: RUF012 - one training a command

        def prepared(self, facts: dict[str, Any]) -> None:
            say(
                f"{facts['structures']} structures fit the box ({facts['left_out']} left out), {facts['steps']} "
                f"steps of {facts['batch']} {facts['pairs']} pairs on {facts['device']}"
                + (f", going on after step {facts['step']}" if facts["step"] else "")
            )

        def stage(self, name: str, total: int) -> None:
            progress.begin(name, total)

        def advance(self, count: int) -> None:
            progress.advance(count)

        def measured(self, row: dict[str, float]) -> None:
            progress.advance(1)
            self.losses.append(row["loss"])
            if "l2_ratio_to_masked_wiener" in row:
                recent = self.losses[-100:]
                say(
                    f"step {row['step']:.0f}: loss {sum(recent) / len(recent):.4f}, held out: L2 error "
                    f"{row['l2_ratio_to_wiener']:.3f} of the Wiener filter's, "
                    f"{row['l2_ratio_to_masked_wiener']:.3f} of the masked one's, {progress.rate:.3g} steps/s"
                )

    return Shown()


def _told(summary: dict[str, Any], output: Path) -> str:
    held = summary["held_out"]
    return (
        f"{output / 'weights.safetensors'}: {summary['architecture']} after {summary['steps']} steps\n"
        f"on {held['maps']} held-out maps: better than the Wiener filter on {held['fraction_better_than_wiener']:.0%}, "
        f"than the masked one on {held['fraction_better_than_masked_wiener']:.0%}; L2 error "
        f"{held['l2_ratio_to_masked_wiener']:.3f} of the masked one's"
    )
