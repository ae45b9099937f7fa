"""Denoisers by name."""

from __future__ import annotations

from pathlib import Path

from cryoinv.specs import made_from, split_spec

from .base import Denoiser
from .filters import LowPass, Wiener
from .network import NetworkDenoiser

__all__ = ["DENOISERS", "denoiser_from"]

DENOISERS: dict[str, type[Denoiser]] = {each.name: each for each in (LowPass, Wiener, NetworkDenoiser)}


def denoiser_from(spec: str) -> Denoiser:
    """Make the denoiser of a specification.

    Parameters
    ----------
    spec : str
        ``NAME[,key=value...]`` with a name of `DENOISERS`, ``FILE[,key=value...]`` with a ``.safetensors`` file of a
        `NetworkDenoiser`, or ``module:object[,key=value...]``.

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
    """
    name, _ = split_spec(spec, "denoiser")
    if name.endswith(".safetensors") or (name not in DENOISERS and Path(name).is_file()):
        spec = spec.strip().replace(name, f"network,network={name}", 1)
    return made_from(spec, DENOISERS, "denoiser", Denoiser)
