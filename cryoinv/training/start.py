"""Weights to begin a training with: those that an earlier one has left."""

from __future__ import annotations

import hashlib
import os
import warnings
from typing import Any

from cryoinv.errors import InputError, InputWarning
from cryoinv.networks import Network, read_network

from .presets import Preset

__all__ = ["earlier_network"]

_TOLD = ("steps", "pairs", "seed", "corpus", "names", "started_from")


def earlier_network(
    path: str | os.PathLike[str], preset: Preset, finest: float | None, held_out: list[str]
) -> tuple[Network, dict[str, Any]]:
    """Network of an earlier training, for one that goes on from its weights, and what the card is to say of it.

    Parameters
    ----------
    path : str or path-like
        Weights with their card, as a training leaves them.
    preset : Preset
        Network and grid that are asked for.
    finest : float, optional
        Å: the finest features that the network may know.
    held_out : list of str
        Structures to be measured on.

    Returns
    -------
    network : Network
        In evaluation mode, on the CPU.
    facts : dict
        How the earlier training went, the hash of its weights among it.

    Raises
    ------
    InputError
        If the file cannot be read or is of another network or pixel size, its network knows finer features, or it
        learned from structures that are held out here.

    Warns
    -----
    InputWarning
        If the file does not say which structures it learned from.
    """
    network, metadata = read_network(path, "denoiser")
    notes = metadata["notes"]
    if network.name != preset.architecture or network.sizes != preset.sizes:
        raise InputError(
            f"{path}: is a {network.name} of {network.sizes}, expected {preset.architecture} of {preset.sizes}"
        )
    low, high = metadata["pixel_sizes"]
    if not low * (1 - 1e-3) <= preset.pixel_size <= high * (1 + 1e-3):
        raise InputError(f"{path}: learned with pixels of {low:g} to {high:g} Å, expected {preset.pixel_size:g} Å")
    knows = notes.get("finest")
    if finest is not None and (knows is None or knows < finest):
        told = "features of all sizes" if knows is None else f"features of {knows:g} Å"
        raise InputError(f"{path}: knows {told}, expected none finer than {finest:g} Å")
    if not notes.get("names"):
        message = f"{path}: does not say what it learned from, expected none of the structures that are held out here"
        warnings.warn(message, InputWarning, stacklevel=2)
    both = sorted(set(map(_entry, notes.get("names") or ())) & set(map(_entry, held_out)))
    if both:
        raise InputError(f"{path}: learned from {len(both)} structures that are held out here, such as {both[0]}")
    weights = hashlib.sha256(b"".join(each.numpy().tobytes() for each in network.state_dict().values())).hexdigest()
    return network, {"weights": weights[:16], **{key: notes[key] for key in _TOLD if notes.get(key) is not None}}


def _entry(name: str) -> str:
    """Name of a structure, however its file was called."""
    return name.partition(".")[0].lower()
