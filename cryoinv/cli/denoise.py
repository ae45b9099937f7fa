"""``cryoinv denoise``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryoinv.cli.method import DENOISER_NAMES, SPEC
from cryoinv.cli.options import Device, Json, Threads, set_threads
from cryoinv.cli.ranks import only_alone
from cryoinv.errors import InputError, lacks_memory

if TYPE_CHECKING:
    import numpy as np
    import torch

    from cryoinv.denoisers import Denoiser, NetworkDenoiser, PriorContext
    from cryoinv.metrics import Resolution

_RESOLVED = 0.143  # FSC of half-maps


@dataclass
class _Done:
    """What is reported beside the map and its resolution."""

    denoiser: str
    wall_seconds: float
    device: str
    output: str


def denoise(
    first: Annotated[
        Path, typer.Argument(metavar="MAP.mrc", help="Unregularised, unmasked map: of one half, or of all particles.")
    ],
    denoiser: Annotated[
        str,
        typer.Option(
            help=f"A .safetensors file of a network, or a name with its options. Names: {DENOISER_NAMES}.",
            metavar=f"{SPEC}|FILE",
        ),
    ],
    output: Annotated[Path, typer.Option(help="The denoised map (.mrc).")],
    half2: Annotated[
        Path | None,
        typer.Option(
            metavar="MAP2.mrc", help="The map of the other half: FSC and resolution are found, the mean is denoised."
        ),
    ] = None,
    resolution: Annotated[
        float | None, typer.Option(help="Å, of MAP.mrc, where there is no --half2.", show_default=False)
    ] = None,
    particle_diameter: Annotated[
        float | None,
        typer.Option(help="Å, of the sphere that holds the particle; 0.8 of the box if not given.", show_default=False),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the map if it is there.")] = False,
    as_json: Json = False,
) -> None:
    """Denoise a map: the mean of two half-maps, or one map of known resolution."""
    only_alone("denoise")
    set_threads(threads)
    from cryoinv.cli.inputs import check_output_folder, refuse_to_replace
    from cryoinv.cli.maps import map_ending, refuse_existing
    from cryoinv.denoisers import denoiser_from
    from cryoinv.io import write_volume
    from cryoinv.refinement.output import make_folder
    from cryoinv.spaces import resolve_device

    map_ending(output)
    refuse_to_replace([first, *([half2] if half2 else [])], [output])
    refuse_existing([output], overwrite)
    check_output_folder(output.parent, True, "")
    _check_one_source(half2, resolution)
    device = resolve_device(device)
    made = denoiser_from(denoiser)
    volume, context, found = _map_and_context(first, half2, resolution, particle_diameter)
    begun = time.perf_counter()
    result = _denoised(made, volume, context, device)
    seconds = round(time.perf_counter() - begun, 3)
    make_folder(output.parent)
    write_volume(output, result, context.pixel_size)
    title = f"{first.name} denoised" if half2 is None else f"{first.name} and {half2.name} denoised"
    _report(title, context, found, _Done(denoiser, seconds, device, str(output)), as_json)


def _check_one_source(half2: Path | None, resolution: float | None) -> None:
    """The FSC comes from the other half or from a stated resolution."""
    if half2 is None and resolution is None:
        raise InputError("the map's resolution is not known: give --half2, the other half's map, or --resolution in Å")
    if half2 is not None and resolution is not None:
        raise InputError("--half2 tells the resolution, found --resolution as well; leave out one of them")


def _map_and_context(
    first: Path, half2: Path | None, stated: float | None, diameter: float | None
) -> tuple[torch.Tensor, PriorContext, Resolution | None]:
    """Map to be denoised, what its denoiser is told, and the half-maps' resolution if there are two."""
    import torch

    from cryoinv.cli.maps import read_map, read_two_maps
    from cryoinv.denoisers import PriorContext

    if half2 is not None:
        a, b, pixel_size = read_two_maps(first, half2)
        radius = _radius(diameter, len(a), pixel_size)
        return _joined(torch.from_numpy(a), torch.from_numpy(b), pixel_size, radius, f"{half2} and {first}")
    volume, pixel_size = read_map(first)
    n, resolution = len(volume), float(stated or 0)
    if not 2 * pixel_size <= resolution <= n * pixel_size:
        raise InputError(
            f"--resolution is {resolution:g} Å, expected one from {2 * pixel_size:.4g} (two pixels) to "
            f"{n * pixel_size:.4g} Å (the box)"
        )
    context = PriorContext.nominal(n, pixel_size, resolution, _radius(diameter, n, pixel_size))
    return torch.from_numpy(volume), context, None


def _radius(diameter: float | None, n: int, pixel_size: float) -> float:
    """Radius of the particle in Å."""
    box = n * pixel_size
    if diameter is None:
        return 0.4 * box
    if not 0 < diameter <= box:
        raise InputError(f"--particle-diameter is {diameter:g} Å, expected one inside the box of {box:.4g} Å")
    return diameter / 2


def _joined(
    a: torch.Tensor, b: torch.Tensor, pixel_size: float, radius: float, names: str
) -> tuple[torch.Tensor, PriorContext, Resolution]:
    """Mean of two half-maps, with the FSC of a map of all particles, 2 F / (1 + F)."""
    import torch

    from cryoinv.denoisers import PriorContext
    from cryoinv.metrics import fourier_shell_correlation
    from cryoinv.operators import soft_sphere
    from cryoinv.refinement.gold_standard import of_both, resolution_of
    from cryoinv.spaces import centred_rfft, radial_mean

    if torch.equal(a, b):
        raise InputError(f"{names}: the same map twice, expected those of the two halves of the particles")
    n, fsc, volume = len(a), fourier_shell_correlation(a, b), (a + b) / 2
    if not bool((fsc[1:4] >= _RESOLVED).any()):
        raise InputError(
            f"{names}: their FSC does not reach {_RESOLVED} in shells 1 to 3 (at most {float(fsc[1:4].max()):.3f}), "
            "expected the two half-maps of one refinement"
        )
    found = resolution_of(fsc, n, pixel_size, _RESOLVED)
    sphere, joined = soft_sphere(n, radius / pixel_size), of_both(fsc)
    inside = of_both(fourier_shell_correlation(a * sphere, b * sphere))
    power = radial_mean(centred_rfft(volume).abs().double() ** 2, n)
    tau2 = (joined * power).clamp(min=1e-30)
    context = PriorContext(n, pixel_size, joined, tau2, found.angstrom, radius, fsc_masked=inside)
    return volume, context, found


def _denoised(denoiser: Denoiser, volume: torch.Tensor, context: PriorContext, device: str) -> np.ndarray:
    """Map (n, n, n) of a denoiser that runs on a device."""
    import torch

    from cryoinv.denoisers.base import checked_volume

    with torch.no_grad(), _advice_on_memory(denoiser, context.n, device):
        context = context.to(device)
        volume = volume.to(device)
        return checked_volume(denoiser.denoise(volume, context), volume, denoiser).cpu().numpy()


@contextmanager
def _advice_on_memory(denoiser: Denoiser, n: int, device: str) -> Iterator[None]:
    """Let an error for want of memory say what needs less."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        networks = _networks(denoiser)
        width = min([n, *(each.tile for each in networks)])
        advice = ["a machine with more memory"]
        if networks and width // 2 >= max(each.least_tile for each in networks):
            advice.insert(0, f"smaller tiles (--denoiser FILE,tile={width // 2})")
        if device != "cpu":
            advice.insert(-1, "--device cpu")
        at_once = f"{width} voxels a side at once, of a box of {n}"
        raise InputError(f"{device} ran out of memory ({at_once}); try {' or '.join(advice)}") from error


def _networks(denoiser: Denoiser) -> list[NetworkDenoiser]:
    """Every network in a denoiser."""
    from cryoinv.denoisers import Denoiser, NetworkDenoiser

    if isinstance(denoiser, NetworkDenoiser):
        return [denoiser]
    parts = [part for found in vars(denoiser).values() for part in (found if isinstance(found, tuple) else (found,))]
    return [network for part in parts if isinstance(part, Denoiser) for network in _networks(part)]


def _report(title: str, context: PriorContext, found: Resolution | None, done: _Done, as_json: bool) -> None:
    """Say what was done, as a table or as JSON."""
    from cryoinv.cli.tables import angstrom, print_table

    source = "stated" if found is None else "half-maps at 0.143"
    nyquist = found is not None and found.reached_nyquist
    if as_json:
        entries = {
            "box_pixels": context.n,
            "pixel_size_angstrom": context.pixel_size,
            "particle_diameter_angstrom": round(2 * context.particle_radius, 4),
            "resolution_angstrom": round(context.resolution, 4),
            "resolution_reached_nyquist": nyquist,
            "resolution_source": source,
        }
        typer.echo(json.dumps(entries | asdict(done), allow_nan=False))
        return
    rows = [
        ("box", f"{context.n} pixels of {context.pixel_size:.4g} Å"),
        (f"resolution, {source}", angstrom(context.resolution, nyquist)),
        ("denoiser", done.denoiser),
        ("time", f"{done.wall_seconds:.1f} s on {done.device}"),
        ("map", done.output),
    ]
    print_table(title, rows)
