"""Networks from files of weights that say which architecture they belong to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

from cryoinv.errors import InputError, shortened
from cryoinv.io import read_weights, write_weights
from cryoinv.specs import nearest

from .base import Network
from .critic import ConvolutionalCritic
from .gated import GatedResidualNetwork
from .gated_unet import GatedUNet
from .residual_unet import ResidualUNet

__all__ = ["ARCHITECTURES", "RECONSTRUCTOR", "read_network", "write_network"]

_ALL = (GatedUNet, ResidualUNet, GatedResidualNetwork, ConvolutionalCritic)
ARCHITECTURES: dict[str, type[Network]] = {each.name: each for each in _ALL}


RECONSTRUCTOR = "1: trilinear, padding 2, separable gridding correction, B/K, K at least 0.001 of its shell's mean"
"""What makes the maps that networks learn from and are applied to: a network learns the errors of this, too."""


def write_network(
    path: str | os.PathLike[str],
    network: Network,
    pixel_sizes: tuple[float, float],
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write a network's weights, with all that is needed to use them rightly.

    Parameters
    ----------
    path : str or path-like
        Ends in ``.safetensors``.
    network : Network
        Of one of `ARCHITECTURES`.
    pixel_sizes : tuple of float
        Smallest and largest pixel size in Å that it was trained with.
    notes : mapping, optional
        Whatever else is to be remembered, such as the data it was trained with. A ``reconstructor`` among them must be
        `RECONSTRUCTOR` when the file is read.

    Raises
    ------
    InputError
        If the architecture is none of those known, the pixel sizes are no range, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/critic.safetensors"
    >>> write_network(path, ConvolutionalCritic(width=4), (3.0, 3.0))
    >>> network, metadata = read_network(path, "critic")
    >>> network.sizes, metadata["architecture"], metadata["pixel_sizes"]
    ({'width': 4}, 'convolutional-critic', (3.0, 3.0))
    """
    if ARCHITECTURES.get(getattr(network, "name", "")) is not type(network):
        raise InputError(f"{path}: cannot write a {type(network).__name__}, {nearest('', ARCHITECTURES)}")
    low, high = pixel_sizes
    if not 0 < low <= high:
        raise InputError(f"{path}: pixel sizes {low} to {high} Å, expected a range of positive numbers")
    metadata = {
        "kind": network.kind,
        "architecture": network.name,
        "version": network.version,
        "sizes": network.sizes,
        "normalisation": network.normalisation,
        "pixel_sizes": [low, high],
        "notes": dict(notes or {}),
    }
    write_weights(path, network.state_dict(), metadata)


def read_network(path: str | os.PathLike[str], kind: str) -> tuple[Network, dict[str, Any]]:
    """Make the network of a file.

    Parameters
    ----------
    path : str or path-like
        What `write_network` wrote.
    kind : {"denoiser", "critic"}
        What it must be for.

    Returns
    -------
    network : Network
        On the CPU, in evaluation mode.
    metadata : dict
        What the file says of it, its ``pixel_sizes`` among it.

    Raises
    ------
    InputError
        If the file cannot be read, is of another kind, of an unknown architecture or version, learned from maps of
        another reconstructor, or its weights do not fit or are not finite.
    """
    tensors, metadata = read_weights(path)
    found = metadata.get("kind")
    if found != kind:
        raise InputError(f"{path}: is a {found or 'file of unknown kind'}, expected a {kind}")
    architecture = _architecture(path, metadata, kind)
    sizes, (low, high) = _numbers(path, metadata)
    try:
        network = architecture(**sizes)
        network.load_state_dict(tensors)
    except (TypeError, RuntimeError) as error:
        text = str(error).splitlines()
        raise InputError(f"{path}: the weights do not fit {architecture.name} of {sizes} ({' '.join(text)})") from None
    notes = _notes(path, metadata)
    made_by = notes.get("reconstructor", RECONSTRUCTOR)
    if made_by != RECONSTRUCTOR:
        raise InputError(f"{path}: learned from maps of the reconstructor {made_by!r}, expected {RECONSTRUCTOR!r}")
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{path}: the weights {name!r} are not finite")
    return network.eval(), metadata | {"pixel_sizes": (low, high), "notes": notes}


def _architecture(path: str | os.PathLike[str], metadata: dict[str, Any], kind: str) -> type[Network]:
    known = {name: each for name, each in ARCHITECTURES.items() if each.kind == kind}
    name = str(metadata.get("architecture"))
    if name not in known:
        raise InputError(f"{path}: unknown architecture {name!r}, {nearest(name, known)}")
    for key in ("version", "normalisation"):
        expected = getattr(known[name], key)
        if metadata.get(key) != expected:
            raise InputError(f"{path}: {key} of {name} is {metadata.get(key)!r}, expected {expected!r}")
    return known[name]


def _numbers(path: str | os.PathLike[str], metadata: dict[str, Any]) -> tuple[dict[str, int], tuple[float, float]]:
    """Sizes, which must be numbers by name, and the range of pixel sizes."""
    sizes, pixels = metadata.get("sizes"), metadata.get("pixel_sizes")
    if not isinstance(sizes, dict):
        raise InputError(f"{path}: the sizes of the network are {sizes!r}, expected numbers by name")
    try:
        low, high = map(float, pixels or ())
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not 0 < low <= high:
        raise InputError(f"{path}: the pixel sizes are {pixels!r}, expected the smallest and the largest in Å")
    return sizes, (low, high)


def _notes(path: str | os.PathLike[str], metadata: dict[str, Any]) -> dict[str, Any]:
    """Notes, what the package reads of which must be of its type."""
    notes = metadata.get("notes") or {}
    if not isinstance(notes, dict):
        raise InputError(f"{path}: the notes are a {type(notes).__name__}, expected entries by name")
    names, finest, calibration = (notes.get(key) for key in ("names", "finest", "calibration"))
    if names is not None and not (isinstance(names, list) and all(isinstance(each, str) for each in names)):
        raise InputError(f"{path}: the structures learned from are {shortened(names)!r}, expected a list of names")
    if finest is not None and (isinstance(finest, bool) or not isinstance(finest, (int, float)) or not finest > 0):
        raise InputError(f"{path}: the finest features are {shortened(finest)!r}, expected a positive number in Å")
    if calibration is not None and not isinstance(calibration, dict):
        raise InputError(f"{path}: the calibration is a {type(calibration).__name__}, expected tables by name")
    return notes
