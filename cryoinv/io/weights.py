"""Weights of networks in files that hold numbers and text only, so that reading one runs no code of its maker."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from cryoinv.errors import InputError
from cryoinv.files import atomic_path, existing_file

__all__ = ["read_weights", "write_weights"]

_ENTRY = "cryoinv"  # of the file's metadata, which are strings by name: all of ours as JSON in one
_ENDING = ".safetensors"
_KIND = "file of weights"


def write_weights(
    path: str | os.PathLike[str], state: Mapping[str, torch.Tensor], metadata: Mapping[str, Any]
) -> None:
    """Write tensors by name, and what is to be known about them, as a ``.safetensors`` file.

    Parameters
    ----------
    path : str or path-like
        Ends in ``.safetensors``. The file is there whole or not at all.
    state : mapping of str to torch.Tensor
        For example ``module.state_dict()``.
    metadata : mapping of str to what JSON can hold
        For example the kind of network and its sizes.

    Raises
    ------
    InputError
        If the name ends otherwise, the metadata are not what JSON can hold or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/line.safetensors"
    >>> write_weights(path, torch.nn.Linear(2, 1).state_dict(), {"kind": "line"})
    >>> tensors, metadata = read_weights(path)
    >>> sorted(tensors), metadata
    (['bias', 'weight'], {'kind': 'line'})
    """
    if not str(os.fspath(path)).endswith(_ENDING):
        raise InputError(f"{path}: a {_KIND} is written under a name that ends in {_ENDING}")
    try:
        text = json.dumps(dict(metadata), allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: the metadata of weights must be what JSON can hold ({error})") from None
    # Copies, since tensors that share memory are refused.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}
    content = save(tensors, {_ENTRY: text})
    with atomic_path(path, len(content)) as temporary:
        temporary.write_bytes(content)


def read_weights(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what `write_weights` wrote.

    Parameters
    ----------
    path : str or path-like
        A ``.safetensors`` file.

    Returns
    -------
    tensors : dict of str to torch.Tensor
        On the CPU.
    metadata : dict
        What the file says about them.

    Raises
    ------
    InputError
        If the file is missing, cut short, of another format, or does not say what its tensors are.
    """
    path = existing_file(path, _KIND)
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(_ENTRY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: is no safetensors file, or is cut short or damaged ({error})") from None
    if text is None:
        raise InputError(f"{path}: the tensors come without the metadata entry {_ENTRY!r} that says what they are")
    try:
        metadata = json.loads(text)
    except ValueError as error:
        raise InputError(f"{path}: the metadata entry {_ENTRY!r} is no JSON ({error})") from None
    if not isinstance(metadata, dict):
        raise InputError(f"{path}: the metadata entry {_ENTRY!r} is a {type(metadata).__name__}, expected an object")
    return tensors, metadata
