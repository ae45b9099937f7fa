"""Denoisers by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryoinv.specs import made_from, split_outside_brackets, split_spec

from .bands import ResolutionBands
from .base import Denoiser
from .combined import Composition, RotationAverage
from .filters import LowPass, Wiener
from .network import NetworkDenoiser
from .patches import Patchwise
from .real_space import NonLocalMeans, TotalVariation, Wavelet
from .shipped import SHIPPED, shipped_file
from .solvent import SolventFlattening

__all__ = ["DENOISERS", "denoiser_from", "denoisers_from"]

_ALL: tuple[type[Denoiser], ...] = (
    LowPass,
    Wiener,
    TotalVariation,
    Wavelet,
    NonLocalMeans,
    SolventFlattening,
    Composition,
    RotationAverage,
    ResolutionBands,
    Patchwise,
    NetworkDenoiser,
)
DENOISERS: dict[str, type[Denoiser]] = {each.name: each for each in _ALL}


def denoiser_from(spec: str) -> Denoiser:
    """Make the denoiser of a specification.

    Parameters
    ----------
    spec : str
        ``NAME[,key=value...]`` with a name of `DENOISERS`, or of a network of the package (`SHIPPED`),
        ``FILE[,key=value...]`` with a ``.safetensors`` file of a `NetworkDenoiser`, or
        ``module:object[,key=value...]``. The values of ``denoiser``, ``first`` and ``then`` are specifications of
        denoisers, in brackets if they have options; that of ``denoisers`` is several, separated by semicolons.

    Returns
    -------
    Denoiser

    Raises
    ------
    InputError
        If there is none, a key is unknown or a value does not suit; the message names the nearest name.

    Examples
    --------
    >>> denoiser_from("lowpass,resolution=12")
    LowPass(resolution=12)
    >>> denoiser_from("rotations,denoiser=(tv,strength=2),count=4")
    RotationAverage(denoiser=TotalVariation(strength=2), count=4)
    """
    name, _ = split_spec(spec, "denoiser")
    if name in SHIPPED:
        spec = spec.strip().replace(name, f"network,network={shipped_file(name)}", 1)
    elif name.endswith(".safetensors") or (name not in DENOISERS and Path(name).is_file()):
        spec = spec.strip().replace(name, f"network,network={name}", 1)
    parts: dict[str, Callable[[str], Any]] = dict.fromkeys(("denoiser", "first", "then"), denoiser_from)
    return made_from(spec, DENOISERS, "denoiser", Denoiser, parts | {"denoisers": denoisers_from})


def denoisers_from(specs: str) -> tuple[Denoiser, ...]:
    """Make the denoisers of specifications that semicolons separate.

    Parameters
    ----------
    specs : str
        ``NAME[,key=value...];NAME[,key=value...]...``; semicolons within brackets belong to what is in the brackets.

    Returns
    -------
    tuple of Denoiser

    Raises
    ------
    InputError
        As `denoiser_from`.

    Examples
    --------
    >>> denoisers_from("lowpass,resolution=12;wiener")
    (LowPass(resolution=12), Wiener())
    """
    pieces = split_outside_brackets(specs, ";", "denoisers")
    return tuple(denoiser_from(piece) for piece in pieces)
