"""What an architecture says of itself, so that a file of weights can name it and it can be made again."""

from __future__ import annotations

from typing import ClassVar

import torch

from cryoinv.errors import InputError

__all__ = ["Network"]


class Network(torch.nn.Module):
    """A module that is made again from its name and its sizes.

    A subclass states the class attributes, and hands the sizes it was made with to this constructor.

    Parameters
    ----------
    **sizes : int
        Whatever numbers the architecture is made from; all positive.

    Attributes
    ----------
    name : str
        What files call the architecture.
    kind : {"denoiser", "critic"}
        What it is for.
    version : int
        Raised when the meaning of its weights changes.
    normalisation : str
        Rule by which whoever applies the network prepares its input.
    sizes : dict of str to int
        What it was made with.

    Raises
    ------
    InputError
        If a size is not a positive whole number.
    """

    name: ClassVar[str]
    kind: ClassVar[str]
    version: ClassVar[int] = 1
    normalisation: ClassVar[str]

    def __init__(self, **sizes: int):
        super().__init__()
        for key, size in sizes.items():
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise InputError(f"the {key} of {type(self).__name__} is {size!r}, expected a positive whole number")
        self.sizes = sizes
