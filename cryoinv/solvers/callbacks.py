"""Callbacks for iterates, in ODL's manner: ``solver(..., callback=PrintProgress() & Store())``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["StopSolver", "asked_to_stop"]


class StopSolver(Exception):  # noqa: N818 (it is no error)
    """Raised by a callback to end the loop that called it; the solver returns the iterate it had just told of."""


def asked_to_stop(callback: Callable[[torch.Tensor], Any] | None, x: torch.Tensor) -> bool:
    """Tell a callback, if there is one, of an iterate; whether it asks the loop to end (`StopSolver`)."""
    if callback is None:
        return False
    try:
        callback(x)
    except StopSolver:
        return True
    return False
