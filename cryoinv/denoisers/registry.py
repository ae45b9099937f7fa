"""Denoisers by name."""

from __future__ import annotations

from cryoinv.specs import made_from

from .base import Denoiser
from .combined import Composition, RotationAverage
from .filters import LowPass, Wiener
from .patches import Patchwise
from .real_space import NonLocalMeans, TotalVariation, Wavelet
from .solvent import SolventFlattening

__all__ = ["DENOISERS", "denoiser_from"]

DENOISERS: dict[str, type[Denoiser]] = {
    each.name: each
    for each in (
        LowPass,
        Wiener,
        TotalVariation,
        Wavelet,
        NonLocalMeans,
        SolventFlattening,
        Composition,
        RotationAverage,
        Patchwise,
    )
}


def denoiser_from(spec: str) -> Denoiser:
    """Make the denoiser of a specification.

    Parameters
    ----------
    spec : str
        ``NAME[,key=value...]`` with a name of `DENOISERS`, or ``module:object[,key=value...]``. The values of
        ``denoiser``, ``first`` and ``then`` are specifications of denoisers, in brackets if they have options.

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
    parts = dict.fromkeys(("denoiser", "first", "then"), denoiser_from)
    return made_from(spec, DENOISERS, "denoiser", Denoiser, parts)
