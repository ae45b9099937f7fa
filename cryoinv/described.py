"""Objects that print how they were made: what fingerprints, logs and tables tell them apart by."""

from __future__ import annotations

import hashlib
import inspect
from typing import Any, Self

import numpy as np
import torch

__all__ = ["Described"]

_SHORT = 16  # arrays with more entries are named by a hash


class Described:
    """Prints the arguments it was made with, but for those that are the default.

    Arrays with many entries and networks stand there as short hashes of their values.

    Examples
    --------
    >>> class Fit(Described):
    ...     def __init__(self, order, weights=None, floor=0.1):
    ...         pass
    >>> Fit(3, torch.ones(2)), Fit(order=3, floor=0.1)
    (Fit(order=3, weights=[1.0, 1.0]), Fit(order=3))
    """

    _arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep the arguments."""
        made = super().__new__(cls)
        made._arguments = {}
        try:
            bound = inspect.signature(cls).bind(*args, **kwargs)
        except (TypeError, ValueError):  # a copy, made without arguments, or a call that __init__ refuses
            return made
        for name, value in bound.arguments.items():
            default = _text(bound.signature.parameters[name].default)
            if _text(value) != default:
                made._arguments[name] = value
        return made

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={_text(v)}' for k, v in self._arguments.items())})"


def _text(value: Any) -> str:
    if isinstance(value, torch.nn.Module):
        weights = [tensor.detach().cpu().numpy() for tensor in value.state_dict().values()]
        return f"{type(value).__name__}<{_short_hash(weights)}>"
    if isinstance(value, (torch.Tensor, np.ndarray)):
        array = np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
        return str(array.tolist()) if array.size <= _SHORT else f"{list(array.shape)}<{_short_hash([array])}>"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_text(each) for each in value) + "]"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    name = getattr(value, "__qualname__", repr(value))
    # Functions without a name of their own are told apart by what they do.
    return f"<lambda {_short_hash([value.__code__.co_code])}>" if "<lambda>" in name else name


def _short_hash(values: list[np.ndarray] | list[bytes]) -> str:
    digest = hashlib.sha256()
    for value in values:
        digest.update(value if isinstance(value, bytes) else np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()[:8]
