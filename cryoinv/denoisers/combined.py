"""Denoisers made of denoisers: one after another, and averaged over rotations."""

from __future__ import annotations

import torch

from cryoinv.errors import InputError
from cryoinv.spaces import cube_rotations, rotate_by_cube

from .base import Denoiser
from .context import PriorContext

__all__ = ["Composition", "RotationAverage", "checked_denoiser"]


def checked_denoiser(found: object, name: str) -> Denoiser:
    """`found` if it is a denoiser; an `InputError` names what takes it."""
    if not isinstance(found, Denoiser):
        raise InputError(f"{name} takes a denoiser, found a {type(found).__name__}")
    return found


class Composition(Denoiser):
    r"""One denoiser after another, :math:`f(x) = \text{then}(\text{first}(x))`.

    On the command line ``compose,first=NAME,then=NAME``, with brackets around names that have options.

    Parameters
    ----------
    first : Denoiser
        What the map meets first.
    then : Denoiser
        What is done to its result.

    Raises
    ------
    InputError
        If one of them is not a denoiser.

    Examples
    --------
    >>> from cryoinv.denoisers import LowPass, Wiener, denoiser_from
    >>> Composition(Wiener(), LowPass(resolution=12.0))
    Composition(first=Wiener(), then=LowPass(resolution=12))
    >>> denoiser_from("compose,first=(wiener,cutoff=0.2),then=tv")
    Composition(first=Wiener(cutoff=0.2), then=TotalVariation())
    """

    name = "compose"

    def __init__(self, first: Denoiser, then: Denoiser):
        self.first = checked_denoiser(first, "the first of a composition")
        self.then = checked_denoiser(then, "the second of a composition")
        self.is_linear = first.is_linear and then.is_linear
        self.needs_whole_box = first.needs_whole_box or then.needs_whole_box

    def denoise(self, volume: torch.Tensor, context: PriorContext) -> torch.Tensor:
        """Denoise twice."""
        return self.then.denoise(self.first.denoise(volume, context), context)

    def target_fsc(self, context: PriorContext) -> torch.Tensor:
        """That of the first."""
        return self.first.target_fsc(context)


class RotationAverage(Denoiser):
    r"""Average over rotations of the cube, :math:`f(x) = \frac{1}{|G|}\sum_{R \in G} R^{-1} g(R x)`.

    It commutes with every rotation of the group G, exactly, whatever the denoiser g does. The rotations are about voxel
    n//2 and take voxels to voxels; see `spaces.rotate_by_cube` for the edge of even boxes.

    On the command line ``rotations,denoiser=NAME``, with brackets around a name that has options.

    Parameters
    ----------
    denoiser : Denoiser
        g.
    count : {24, 12, 4}
        Number of rotations: all, those of the tetrahedron, the half turns about the axes.

    Raises
    ------
    InputError
        If it is not a denoiser or there is no such group.

    Examples
    --------
    >>> from cryoinv.denoisers import Wavelet
    >>> RotationAverage(Wavelet(), count=4)
    RotationAverage(denoiser=Wavelet(), count=4)
    """

    name = "rotations"

    def __init__(self, denoiser: Denoiser, count: int = 24):
        self.denoiser, self.rotations = checked_denoiser(denoiser, "an average over rotations"), cube_rotations(count)
        self.is_linear, self.needs_whole_box = denoiser.is_linear, denoiser.needs_whole_box

    def denoise(self, volume: torch.Tensor, context: PriorContext) -> torch.Tensor:
        """Denoise in every orientation."""
        total = torch.zeros_like(volume)
        for rotation in self.rotations:
            turned = self.denoiser.denoise(rotate_by_cube(volume, rotation), context)
            total = total + rotate_by_cube(turned, rotation.T)
        return total / len(self.rotations)

    def target_fsc(self, context: PriorContext) -> torch.Tensor:
        """That of the denoiser."""
        return self.denoiser.target_fsc(context)
