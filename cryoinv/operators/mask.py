"""Soft masks in real space."""

from __future__ import annotations

import torch
from torch import Tensor

from cryoinv.errors import InputError
from cryoinv.spaces import ImageSpace, VolumeSpace

from .multiplier import Multiplier

__all__ = ["SoftMask", "soft_sphere"]


def soft_sphere(
    n: int,
    radius_pixels: float,
    edge_pixels: float = 5.0,
    ndim: int = 3,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    r"""Sphere with a raised-cosine edge, :math:`\frac12 + \frac12 \cos(\pi\,\mathrm{clip}((r - R)/e, 0, 1))`.

    Parameters
    ----------
    n : int
        Box size.
    radius_pixels, edge_pixels : float
        Radius R and width e of the edge, in pixels.
    ndim : {2, 3}
        Disc or sphere.
    dtype : torch.dtype
        Real type of the result.
    device : torch.device or str
        Where the result lives.

    Returns
    -------
    Tensor, shape (n, ..., n)
        Centred on voxel ``n//2``.

    Raises
    ------
    InputError
        If the radius or edge is negative.

    Examples
    --------
    >>> soft_sphere(5, 1.0, 0.0, ndim=2).sum()
    tensor(5.)
    """
    if radius_pixels < 0 or edge_pixels < 0:
        raise InputError(f"mask radius {radius_pixels} and edge {edge_pixels} must not be negative")
    squares = (torch.arange(n, dtype=torch.float64, device=device) - n // 2) ** 2
    radius = torch.stack(torch.meshgrid(*[squares] * ndim, indexing="ij")).sum(0).sqrt()
    # A hard edge (width 0) keeps the pixels at the radius itself.
    ramp = ((radius - radius_pixels) / max(edge_pixels, 1e-9)).clamp(0, 1)
    return (0.5 + 0.5 * torch.cos(torch.pi * ramp)).to(dtype)


class SoftMask(Multiplier):
    r"""Multiplication by a mask: :math:`(A x)_r = m_r x_r`, self-adjoint.

    Parameters
    ----------
    space : VolumeSpace or ImageSpace
        Domain and range.
    values : Tensor, shape of the space or of one of its arrays
        The mask, for example `soft_sphere`.

    Raises
    ------
    InputError
        If values are outside [0, 1].

    Examples
    --------
    >>> from cryoinv.spaces import VolumeSpace
    >>> space = VolumeSpace(8)
    >>> mask = SoftMask(space, soft_sphere(8, 2, 1))
    >>> mask(space.one()).inner(space.one()) < 8**3
    True
    """

    def __init__(self, space: VolumeSpace | ImageSpace, values: Tensor):
        values = torch.as_tensor(values)
        low, high = float(values.min()), float(values.max())
        if not 0 <= low <= high <= 1:
            raise InputError(f"mask has values from {low:g} to {high:g}, expected 0 to 1")
        super().__init__(space, values)
