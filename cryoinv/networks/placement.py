"""A module where, and in the precision in which, tensors are."""

from __future__ import annotations

import copy

import torch

__all__ = ["Placement"]


class Placement:
    """Frozen copies of a module, one for every device and precision it is used in.

    Parameters
    ----------
    module : torch.nn.Module
        Copied at once: what is done to it afterwards has no effect.

    Attributes
    ----------
    module : torch.nn.Module
        The copy, in evaluation mode, its weights held fixed.

    Examples
    --------
    >>> place = Placement(torch.nn.Linear(2, 1))
    >>> place(torch.zeros(2, dtype=torch.float64)).weight.dtype
    torch.float64
    """

    def __init__(self, module: torch.nn.Module):
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self._copies: dict[tuple[torch.device, torch.dtype], torch.nn.Module] = {}

    def __call__(self, like: torch.Tensor) -> torch.nn.Module:
        """Return the module on the device and in the type of `like`."""
        key = (like.device, like.dtype)
        if key not in self._copies:
            self._copies[key] = copy.deepcopy(self.module).to(like.device, like.dtype)
        return self._copies[key]
