"""What an architecture says of itself, so that a file of weights can name it and it can be made again."""

from __future__ import annotations

from typing import ClassVar

import torch

from cryoinv.errors import InputError

__all__ = ["DenoisingNetwork", "Network"]


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


class DenoisingNetwork(Network):
    """Network from noisy and Wiener-filtered maps (batch, 1 + bands, n, n, n) to denoised ones (batch, n, n, n).

    Its input and output are scaled by `apply_denoising`, for training and application alike. The filtered map comes
    whole, as one band, unless the network has `filters` of its own.

    Parameters
    ----------
    **sizes : int
        As of `Network`.

    Attributes
    ----------
    unit : {"filtered", "noisy"}
        Whose units the output is in.
    takes_description : bool
        Whether it is called with a second argument, the description of whole maps in `NetworkInputs`.
    reach : int or None
        Voxels on every side that have a say in what a voxel becomes, at most; None where all have.
    period : int
        Voxels by which the map may be shifted for the result to be shifted alike: 2 to the times the grid is halved.
    """

    kind = "denoiser"
    normalisation = (
        "Wx/s with s^2 the sum of (Wx)^4 over that of (Wx)^2, "
        "and x/(sc) with c the standard deviation of x/s, at least 1; W is the FSC in the particle's sphere"
    )
    unit: ClassVar[str] = "filtered"
    takes_description: ClassVar[bool] = False

    def filters(self, transfer: torch.Tensor) -> torch.Tensor:
        """Filters whose maps it sees beside the noisy one; by default the Wiener filter.

        Parameters
        ----------
        transfer : torch.Tensor, shape (batch, n//2+1)
            The Wiener filter of each map.

        Returns
        -------
        torch.Tensor, shape (batch, bands, n//2+1)
        """
        return transfer[:, None]

    @property
    def reach(self) -> int | None:
        """None: all voxels have a say."""
        return None

    @property
    def period(self) -> int:
        """1: the grid is not halved."""
        return 1
