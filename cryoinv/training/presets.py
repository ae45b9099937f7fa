"""Networks and plans by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from cryoinv.errors import InputError
from cryoinv.networks import ARCHITECTURES, Network
from cryoinv.specs import nearest

__all__ = ["PRESETS", "Preset", "preset_of"]


@dataclass(frozen=True)
class Preset:
    """A network, the grid it learns on, and how long.

    Parameters
    ----------
    architecture : str
        Of `networks.ARCHITECTURES`.
    sizes : dict of str to int
        Of the architecture.
    box : int
        Voxels a side of the maps it learns from; it can be applied to any.
    pixel_size : float
        Å.
    batch : int
        Pairs a step, even.
    steps : int
        By default.
    rate : float
        Highest learning rate.
    about : str
        One line for people.
    """

    architecture: str
    sizes: dict[str, int] = field(default_factory=dict)
    box: int = 48
    pixel_size: float = 3.0
    batch: int = 4
    steps: int = 3000
    rate: float = 6e-4
    about: str = ""

    def network(self, seed: int) -> Network:
        """Network of these sizes with random weights, which the seed tells."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return ARCHITECTURES[self.architecture](**self.sizes)

    def described(self) -> dict[str, Any]:
        """What tells the training of one preset from that of another."""
        return {
            "architecture": self.architecture,
            "sizes": dict(self.sizes),
            "box": self.box,
            "pixel_size": self.pixel_size,
            "batch": self.batch,
        }


PRESETS: dict[str, Preset] = {
    "small": Preset(
        "gated-unet",
        {"width": 32, "depth": 3, "blocks": 1},
        steps=4000,
        about="an hour on two cores; 1.6 million weights",
    ),
    "base": Preset(
        "gated-unet",
        {"width": 48, "depth": 3, "blocks": 2},
        box=64,
        batch=16,
        steps=20000,
        about="for a GPU; 6.7 million weights",
    ),
    "paper": Preset(
        "residual-unet",
        {"width": 16, "depth": 5},
        box=64,
        batch=10,
        steps=20000,
        about="the U-Net of Kimanius et al. (2020)",
    ),
}


def preset_of(name: str) -> Preset:
    """Preset of a name.

    Parameters
    ----------
    name : str
        One of `PRESETS`.

    Returns
    -------
    Preset

    Raises
    ------
    InputError
        If there is none; the message names the nearest.

    Examples
    --------
    >>> preset_of("smal")
    Traceback (most recent call last):
    ...
    cryoinv.errors.InputError: unknown preset 'smal', expected one of: base, paper, small; did you mean 'small'?
    """
    if name not in PRESETS:
        raise InputError(f"unknown preset {name!r}, {nearest(name, PRESETS)}")
    return PRESETS[name]
