"""Named arrays as bytes and back: a line of JSON that describes them, then their numbers."""

from __future__ import annotations

import json
import math

import numpy as np

from .processes import Arrays

__all__ = ["packed", "unpacked"]

_KINDS = "biufc"  # numbers only: anything else could hold objects


def packed(arrays: Arrays) -> np.ndarray:
    """Bytes of named arrays of numbers, shape (b,), uint8.

    Examples
    --------
    >>> unpacked(packed({"a": np.arange(3)}))
    {'a': array([0, 1, 2])}
    """
    given = {name: np.asarray(array) for name, array in arrays.items()}
    wrong = [name for name, array in given.items() if array.dtype.kind not in _KINDS]
    if wrong:
        raise TypeError(f"array {wrong[0]!r} is of type {given[wrong[0]].dtype}, expected numbers")
    head = json.dumps([[name, array.dtype.str, list(array.shape)] for name, array in given.items()]) + "\n"
    parts = [head.encode(), *(np.ascontiguousarray(array).tobytes() for array in given.values())]
    return np.frombuffer(b"".join(parts), np.uint8)


def unpacked(message: np.ndarray) -> dict[str, np.ndarray]:
    """Named arrays of a message."""
    content = message.tobytes()
    start = content.index(b"\n") + 1
    arrays = {}
    for name, kind, shape in json.loads(content[:start]):
        count = math.prod(shape)
        arrays[name] = np.frombuffer(content, np.dtype(kind), count, start).reshape(shape).copy()
        start += arrays[name].nbytes
    return arrays
