"""A soft mask around what stands out of the noise, found in an unregularised map alone."""

from __future__ import annotations

import numpy as np
import torch

from cryoinv.errors import InputError
from cryoinv.operators import low_pass, soft_sphere

from .context import PriorContext

__all__ = ["check_mask_options", "solvent_mask"]

_SPHERE_EDGE = 5.0  # pixels
_LEAST_NOISE = 0.05  # of the box: fewer voxels outside the sphere tell too little of the noise
_LEAST_ISLAND = 0.1  # of the largest island's volume: what is smaller is noise
_CREDIBLE = (0.01, 0.9)  # of the sphere's volume: a particle fills no less and no more


def solvent_mask(
    volume: torch.Tensor,
    context: PriorContext,
    lowpass: float = 15.0,
    sigmas: float = 3.0,
    extend: float = 4.0,
    edge: float = 9.0,
) -> torch.Tensor:
    r"""Soft mask of the particle, :math:`m_r = \tfrac12 + \tfrac12\cos(\pi\,\mathrm{clip}((d_r - a)/e, 0, 1))`.

    The map is low-passed to `lowpass`, or to the half-maps' resolution where that is coarser. The particle is what
    exceeds the solvent's median by `sigmas` of its standard deviations (from the median absolute deviation outside
    the particle's sphere) and by half of what Otsu's threshold inside the sphere does; islands below a tenth of the
    largest are left out. d is the distance to it, a `extend` and e `edge`. The mask never exceeds the soft sphere,
    and is the sphere where nothing stands out: where the particle would fill less than 1 % or more than 90 % of it.

    The mask depends neither on the grey scale nor on an offset of the map. It is found on the CPU.

    Parameters
    ----------
    volume : torch.Tensor, shape (n, n, n), real
        Unregularised and unmasked map B/K, protein positive.
    context : PriorContext
        Radial quantities of the iteration.
    lowpass : float
        Å.
    sigmas : float
        Standard deviations of the low-passed solvent.
    extend : float
        Å by which the mask's plateau reaches beyond the thresholded particle.
    edge : float
        Width of the raised-cosine edge in Å.

    Returns
    -------
    torch.Tensor, shape (n, n, n)
        From 0 to 1, of the type and device of `volume`.

    Raises
    ------
    InputError
        If an option is negative, or `lowpass` or `edge` is zero.

    References
    ----------
    N. Otsu, IEEE Trans. Syst. Man Cybern. 9 (1979) 62-66. S. H. W. Scheres, J. Struct. Biol. 180 (2012) 519-530 (soft
    solvent masks).

    Examples
    --------
    >>> body = soft_sphere(32, 5.0, 2.0)
    >>> noise = torch.randn(32, 32, 32, generator=torch.manual_seed(0))
    >>> mask = solvent_mask(body + 0.5 * noise, PriorContext.nominal(32, 3.0, 10.0))
    >>> bool((mask * body).sum() > 0.99 * body.sum()), round(float(mask.mean()), 2)
    (True, 0.1)
    """
    from scipy import ndimage

    check_mask_options(lowpass, extend, edge, sigmas)
    smooth = low_pass(volume.detach(), context.pixel_size, _cut_off(context, lowpass)).cpu().numpy()
    sphere = soft_sphere(context.n, context.particle_radius / context.pixel_size, _SPHERE_EDGE, dtype=torch.float64)
    inside = (sphere >= 0.5).numpy()
    particle = _largest_islands(inside & (smooth > _threshold(smooth, inside, (sphere == 0).numpy(), sigmas)))
    fewest, most = (share * inside.sum() for share in _CREDIBLE)
    if fewest <= particle.sum() <= most:
        distance = torch.from_numpy(ndimage.distance_transform_edt(~particle)) * context.pixel_size
        ramp = ((distance - extend) / edge).clamp(0, 1)
        sphere = torch.minimum(sphere, 0.5 + 0.5 * torch.cos(torch.pi * ramp))
    return sphere.to(volume.device, volume.dtype)


def check_mask_options(lowpass: float, extend: float, edge: float, sigmas: float = 3.0) -> None:
    """Refuse what `solvent_mask` cannot take, with an `InputError`; those who keep its options call this early."""
    if not (lowpass > 0 and edge > 0 and extend >= 0 and sigmas >= 0):
        raise InputError(
            f"the solvent mask has lowpass {lowpass:g} Å, edge {edge:g} Å, extend {extend:g} Å and sigmas {sigmas:g}, "
            "expected positive lowpass and edge, and no negative extend or sigmas"
        )


def _cut_off(context: PriorContext, lowpass: float) -> float:
    """Å to filter to: a filter coarser than half the particle's radius would leave no shape."""
    wanted = max(lowpass, min(context.resolution, context.particle_radius / 2))
    return min(max(wanted, 2 * context.pixel_size), context.n * context.pixel_size)


def _threshold(smooth: np.ndarray, inside: np.ndarray, outside: np.ndarray, sigmas: float) -> float:
    """Level above which density is no solvent. Half of Otsu's, as a mask must not cut where the particle is weak."""
    from skimage.filters import threshold_otsu

    noise = smooth[outside] if outside.mean() >= _LEAST_NOISE else smooth
    solvent = float(np.median(noise))
    deviation = 1.4826 * float(np.median(np.abs(noise - solvent)))
    between = float(threshold_otsu(smooth[inside])) - solvent
    return solvent + max(sigmas * deviation, 0.5 * between)


def _largest_islands(mask: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    labels, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= max(1, _LEAST_ISLAND * sizes.max()))[labels]
