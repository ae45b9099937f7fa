"""Objects that print how they were made: what fingerprints, logs and tables tell them apart by."""

from __future__ import annotations

import functools
import hashlib
import inspect
import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch

__all__ = ["Described"]

_SHORT = 16  # arrays with more entries are named by a hash


class Described:
    """Prints the arguments it was made with, but for those that are the default.

    Arrays with many entries, networks and functions stand there with short hashes of their values and of what they do.

    Examples
    --------
    >>> class Fit(Described):
    ...     def __init__(self, order, weights=None, floor=0.1):
    ...         pass
    >>> Fit(3, torch.ones(2)), Fit(order=3, floor=0.1)
    (Fit(order=3, weights=[1.0, 1.0]), Fit(order=3))
    """

    made_with: dict[str, Any]  # arguments by name, but for those that are the default

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep the arguments."""
        made = super().__new__(cls)
        made.made_with = {}
        try:
            bound = inspect.signature(cls).bind(*args, **kwargs)
        except (TypeError, ValueError):  # a copy, made without arguments, or a call that __init__ refuses
            return made
        for name, value in bound.arguments.items():
            default = _text(bound.signature.parameters[name].default)
            if _text(value) != default:
                made.made_with[name] = value
        return made

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={_text(value)}" for name, value in self.made_with.items())
        return f"{type(self).__name__}({given})"

    def identity(self) -> str:
        """What it prints, with the module of its class: for telling runs apart."""
        return f"{type(self).__module__}.{self!r}"


def _text(value: Any) -> str:
    if isinstance(value, torch.nn.Module):
        weights = [_bytes(tensor) for tensor in value.state_dict().values()]
        return f"{type(value).__name__}<{_short_hash([_place(type(value)), repr(value), *weights])}>"
    if isinstance(value, (torch.Tensor, np.ndarray)):
        shape = list(value.shape)
        if math.prod(shape) > _SHORT:
            return f"{shape}<{_short_hash([_bytes(value)])}>"
        return str(value.tolist())
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_text(each) for each in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(key)}: {_text(each)}" for key, each in value.items()) + "}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return _text_of_function(value) if callable(value) and not isinstance(value, (type, Described)) else repr(value)


def _text_of_function(value: Any) -> str:
    """Functions by their name and what they do, with all they hold on to; other callables by what they are made of."""
    if isinstance(value, functools.partial):
        return f"partial({_text(value.func)}, {_text(value.args)}, {_text(value.keywords)})"
    code = getattr(value, "__code__", None)
    if code is None and type(value).__repr__ is not object.__repr__:
        return getattr(value, "__qualname__", repr(value))
    if code is None:
        return f"{type(value).__name__}<{_short_hash([_place(type(value)), _text(vars(value))])}>"
    held = [cell.cell_contents for cell in value.__closure__ or ()]
    parts = [_place(value), code.co_code, str(code.co_names), _text(list(code.co_consts)), _text(held)]
    return f"{value.__name__}<{_short_hash([*parts, _text(value.__defaults__ or ())])}>"


def _place(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _bytes(values: torch.Tensor | np.ndarray) -> bytes:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        # NumPy has no bfloat16.
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return np.ascontiguousarray(values).tobytes()


def _short_hash(parts: list[str | bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else part.encode())
    return digest.hexdigest()[:8]
