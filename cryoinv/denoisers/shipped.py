"""Denoisers that come with the package, by name."""

from __future__ import annotations

import os
from pathlib import Path

from cryoinv.errors import InputError
from cryoinv.specs import nearest

from .network import NetworkDenoiser

__all__ = ["SHIPPED", "load_denoiser"]

_DATA = Path(__file__).resolve().parent.parent / "data"
SHIPPED: dict[str, str] = {
    "cryoinv-small": "denoiser_small.safetensors",
    "cryoinv-coarse": "denoiser_coarse.safetensors",
}
"""Files by name; `load_denoiser` reads them, and ``--denoiser NAME``; the coarse one knows nothing finer than 8 Å."""

_DEFAULT = "cryoinv-small"


def load_denoiser(name: str | os.PathLike[str] = _DEFAULT) -> NetworkDenoiser:
    """Read a network of the package by its name, or one of your own by the path of its file.

    Parameters
    ----------
    name : str or path-like
        One of `SHIPPED`, or a ``.safetensors`` file.

    Returns
    -------
    NetworkDenoiser

    Raises
    ------
    InputError
        If there is none of that name, or the file does not suit, see `networks.read_network`.

    Examples
    --------
    >>> load_denoiser("cryoinv-smal")
    Traceback (most recent call last):
    ...
    cryoinv.errors.InputError: unknown denoiser 'cryoinv-smal', expected a file or one of: cryoinv-coarse,
    cryoinv-small; did you mean 'cryoinv-small'?
    """
    name = os.fspath(name)
    if name in SHIPPED:
        return NetworkDenoiser(shipped_file(name))
    if not name.endswith(".safetensors") and not Path(name).is_file():
        raise InputError(
            f"unknown denoiser {name!r}, {nearest(name, SHIPPED).replace('expected', 'expected a file or', 1)}"
        )
    return NetworkDenoiser(name)


def shipped_file(name: str) -> Path:
    """File of a network of the package."""
    return _DATA / SHIPPED[name]
