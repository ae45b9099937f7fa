"""Denoisers by name."""

from __future__ import annotations

from cryoinv.specs import made_from

from .base import Denoiser
from .filters import LowPass, Wiener

__all__ = ["DENOISERS", "denoiser_from"]

DENOISERS: dict[str, type[Denoiser]] = {each.name: each for each in (LowPass, Wiener)}


def denoiser_from(spec: str) -> Denoiser:
    """Make the denoiser of a specification.

    Parameters
    ----------
    spec : str
        ``NAME[,key=value...]`` with a name of `DENOISERS`, or ``module:object[,key=value...]``.

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
    return made_from(spec, DENOISERS, "denoiser", Denoiser)
