"""What a refinement refuses to start from: a reference or a particle diameter that does not fit the images."""

from __future__ import annotations

import logging

import numpy as np
import torch

from cryoinv.errors import InputError
from cryoinv.operators import low_pass
from cryoinv.operators.mask import soft_sphere

from .reference import estimate_diameter
from .settings import RefinementSettings

__all__ = ["checked_diameter", "checked_reference"]

log = logging.getLogger(__name__)


def checked_reference(
    reference: torch.Tensor | np.ndarray, n: int, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Reference of the images' box, its background (the mean outside of the inscribed sphere) made zero.

    Parameters
    ----------
    reference : torch.Tensor or numpy.ndarray, shape (n, n, n)
        As the user gave it.
    n : int
        Box size of the images.
    device : torch.device or str
        Where it is wanted.

    Returns
    -------
    torch.Tensor, shape (n, n, n), float32

    Raises
    ------
    InputError
        If it has another shape, is not finite, or is constant.
    """
    volume = torch.as_tensor(reference).to(device, torch.float32)
    if tuple(volume.shape) != (n,) * 3:
        raise InputError(f"the reference has shape {tuple(volume.shape)}, expected {(n,) * 3}, the particles' box")
    if not torch.isfinite(volume).all():
        raise InputError("the reference holds NaN or infinite values")
    if float(volume.std()) == 0:
        raise InputError("the reference is constant: there is nothing to align to")
    outside = 1 - soft_sphere(n, n / 2 - 1, 1.0).to(volume)
    return volume - (volume * outside).sum() / outside.sum()


def checked_diameter(reference: torch.Tensor, pixel_size: float, settings: RefinementSettings) -> float:
    """Diameter in Å of the particle's sphere: as set, or estimated from the reference, whatever its contrast.

    Parameters
    ----------
    reference : torch.Tensor, shape (n, n, n)
        With its background at zero.
    pixel_size : float
        Å per pixel.
    settings : RefinementSettings
        Of the refinement.

    Returns
    -------
    float

    Raises
    ------
    InputError
        If the sphere is larger than the box.
    """
    box, diameter = reference.shape[0] * pixel_size, settings.particle_diameter
    if diameter is None:
        blur = settings.initial_lowpass
        blurred = low_pass(reference, pixel_size, blur)
        inverted = float(-blurred.min()) > float(blurred.max())
        diameter = estimate_diameter(-blurred if inverted else blurred, pixel_size, blur)
        log.info("particle diameter estimated from the reference: %.0f Å", diameter)
    if diameter > box:
        raise InputError(f"particle_diameter is {diameter:g} Å, larger than the box of {box:g} Å")
    return diameter
