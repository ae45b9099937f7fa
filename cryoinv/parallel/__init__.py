"""Several processes at one piece of work: which of them this is, and what they tell each other.

What needs PyTorch is imported when first used: the command line asks for its place before that.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .launch import Launch, launched

if TYPE_CHECKING:
    from .group import ProcessGroup, joined
    from .processes import Processes

__all__ = ["Launch", "ProcessGroup", "Processes", "joined", "launched"]

_HOME = {"ProcessGroup": "group", "joined": "group", "Processes": "processes"}


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for."""
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
