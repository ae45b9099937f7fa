"""The contract of denoisers: described once, bound to a space of volumes and an iteration, then an operator."""

from __future__ import annotations

import torch

from cryoinv.described import Described
from cryoinv.errors import InputError
from cryoinv.operators import TorchOperator
from cryoinv.spaces import VolumeSpace

from .context import PriorContext

__all__ = ["Denoiser", "DenoiserOperator", "checked_volume"]


class Denoiser(Described):
    r"""A map :math:`f` from noisy volumes to clean ones.

    A subclass implements `denoise`, nothing else being required; `bind` makes it an operator. It prints the arguments
    it was made with, by which runs are told apart.

    Attributes
    ----------
    name : str
        What users call it.
    is_linear : bool
        Whether f is linear once bound.
    needs_whole_box : bool
        Whether f measures the box around the particle, so that it makes no sense on a part of the map.
    """

    name = "denoiser"
    is_linear = False
    needs_whole_box = False

    def denoise(self, volume: torch.Tensor, context: PriorContext) -> torch.Tensor:
        """Estimate of the clean volume.

        Parameters
        ----------
        volume : torch.Tensor, shape (n, n, n), real
            Unmasked; in any grey scale. It must not be modified.
        context : PriorContext
            Radial quantities of the iteration.

        Returns
        -------
        torch.Tensor, shape (n, n, n)
            In the same grey scale, type and device.
        """
        raise NotImplementedError

    def target_fsc(self, context: PriorContext) -> torch.Tensor:
        """What f multiplies a clean map's shells by, as far as priors that undo it know: the half-map FSC.

        Parameters
        ----------
        context : PriorContext
            Radial quantities of the iteration.

        Returns
        -------
        torch.Tensor, shape (n//2+1,)
        """
        return context.fsc

    def bind(self, space: VolumeSpace, context: PriorContext) -> DenoiserOperator:
        """Return f as an operator on a space of volumes.

        Parameters
        ----------
        space : VolumeSpace
            Domain and range.
        context : PriorContext
            Radial quantities of the iteration.

        Returns
        -------
        DenoiserOperator
        """
        return DenoiserOperator(space, self, context)


class DenoiserOperator(TorchOperator):
    """A denoiser as an operator on a `VolumeSpace`; its derivative is automatic where torch can differentiate it.

    Parameters
    ----------
    space : VolumeSpace
        Domain and range.
    denoiser : Denoiser
        What denoises.
    context : PriorContext
        Radial quantities.
    """

    def __init__(self, space: VolumeSpace, denoiser: Denoiser, context: PriorContext):
        if space.n != context.n:
            raise InputError(f"{denoiser!r}: the space has box {space.n}, the context has {context.n}")
        super().__init__(space, space, linear=denoiser.is_linear)
        self.denoiser, self.context = denoiser, context

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """Denoise; raises an `InputError` if what comes back has another shape or is not finite."""
        return checked_volume(self.denoiser.denoise(x, self.context), x, self.denoiser)


def checked_volume(
    found: torch.Tensor, like: torch.Tensor, maker: Described | None, what: str = ""
) -> torch.Tensor:
    """`found` if it is a finite tensor of the shape of `like`; an `InputError` names its maker, or what it is of it."""
    wrong = None
    if not isinstance(found, torch.Tensor):
        wrong = f"a {type(found).__name__}, expected a tensor of shape {tuple(like.shape)}"
    elif found.shape != like.shape:
        wrong = f"shape {tuple(found.shape)}, expected {tuple(like.shape)}"
    elif not bool(torch.isfinite(found.detach()).all()):
        wrong = "values that are not finite"
    if wrong is not None:  # printing a network hashes its weights: not before it is needed
        name = " of ".join(part for part in (what, repr(maker) if maker is not None else "") if part)
        raise InputError(f"{name} returned {wrong}")
    return found.to(like.device, like.dtype)
