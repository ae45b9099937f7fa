"""Options that `refine` and `compare` share, and the settings they make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cryoinv.refinement import RefinementSettings

__all__ = [
    "InitialLowpass",
    "MaxIterations",
    "MaxShift",
    "Memory",
    "NoiseEstimation",
    "Output",
    "ParticleDiameter",
    "Particles",
    "Reference",
    "SignalExtent",
    "settings_from",
]

Particles = Annotated[Path, typer.Argument(metavar="PARTICLES.star", help="Particles; poses are not used.")]
Reference = Annotated[Path, typer.Option(help="Starting map (.mrc); it is low-passed first.")]
Output = Annotated[Path, typer.Option(help="Folder for the results.")]
ParticleDiameter = Annotated[
    float | None, typer.Option(help="Å; estimated from the reference if not given.", show_default=False)
]
MaxShift = Annotated[float, typer.Option(help="Largest shift in Å that is searched.")]
InitialLowpass = Annotated[float, typer.Option(help="Å the reference is low-passed to.")]
MaxIterations = Annotated[int, typer.Option(min=1, help="At most so many, and a final one.")]
NoiseEstimation = Annotated[str, typer.Option(help="unmasked, or masked as in RELION.")]
SignalExtent = Annotated[str, typer.Option(help="Where the prior expects signal: sphere, or box as in RELION.")]
Memory = Annotated[
    int, typer.Option(min=64, help="MiB for temporaries, of each process, and as much for transformed images.")
]


def settings_from(no_ctf: bool, memory: int, **settings: float | str | bool | None) -> RefinementSettings:
    """Settings of the options' values: those that are called alike, the CTF to be left out, and MiB of memory."""
    from cryoinv.refinement import RefinementSettings

    return RefinementSettings(use_ctf=not no_ctf, memory_bytes=memory << 20, **settings)  # type: ignore[arg-type]
