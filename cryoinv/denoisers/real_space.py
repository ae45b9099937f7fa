"""Denoisers of image processing on the Wiener-filtered map: total variation, wavelets, non-local means."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import torch

from cryoinv.errors import InputError

from .base import Denoiser
from .filters import Wiener

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .context import PriorContext

__all__ = ["NonLocalMeans", "TotalVariation", "Wavelet", "noise_level"]

_LEAST_PART = 0.01  # of the box: with fewer voxels between particle and box, the corners tell the noise


def noise_level(volume: torch.Tensor, context: PriorContext) -> float:
    r"""Standard deviation of the noise, :math:`1.4826\,\mathrm{median}|x - \mathrm{median}\,x|` outside the particle.

    It is taken over the voxels between the particle's sphere and the sphere that the box holds, whatever else is in
    the corners; over the corners where the particle fills the box. It is zero in a map that is masked there.

    Parameters
    ----------
    volume : torch.Tensor, shape (n, n, n)
        Unmasked.
    context : PriorContext
        Whose ``particle_radius`` counts.

    Returns
    -------
    float

    Examples
    --------
    >>> from cryoinv.denoisers import PriorContext
    >>> noise = torch.randn(32, 32, 32, generator=torch.manual_seed(0))
    >>> round(noise_level(3 * noise, PriorContext.nominal(32, 3.0, 8.0)), 1)
    3.0
    """
    n = context.n
    squares = (torch.arange(n, dtype=torch.float64, device=volume.device) - n // 2) ** 2
    radius = (squares[:, None, None] + squares[:, None] + squares).sqrt()
    outside = (radius > context.particle_radius / context.pixel_size) & (radius <= n / 2)
    if outside.sum() < _LEAST_PART * n**3:
        outside = radius > n / 2
    values = volume.detach()[outside].double()
    return 1.4826 * float((values - values.median()).abs().median())


class _RealSpace(Denoiser):
    """What the three share: Wiener filter, one global scale, noise level, a step in real space on the CPU.

    The filter comes first, as the noise of a map is strongest where its signal is weakest, and the methods take
    noise for white. What it leaves is correlated between neighbours: none of them is the optimum it is for white noise.
    """

    needs_whole_box = True

    def __init__(self, strength: float, cutoff: float):
        if not 0 <= strength < np.inf:
            raise InputError(f"strength is {strength}, expected a number of at least 0")
        self.strength, self.filter = strength, Wiener(cutoff)

    def denoise(self, volume: torch.Tensor, context: PriorContext) -> torch.Tensor:
        """Smooth the Wiener-filtered map by `strength` times its noise level; a result without derivative."""
        filtered = self.filter.denoise(volume, context).detach()
        scale = float(filtered.double().std())
        if scale == 0:
            return filtered
        unit = filtered / scale
        sigma = self.strength * noise_level(unit, context)
        if sigma == 0:
            return filtered
        smoothed = self.smooth(unit.cpu().numpy(), sigma)
        return scale * torch.from_numpy(np.ascontiguousarray(smoothed)).to(volume)

    def smooth(self, volume: NDArray[np.floating], sigma: float) -> NDArray[np.floating]:
        """Smooth a volume of unit variance, given the standard deviation of what is to go."""
        raise NotImplementedError


class TotalVariation(_RealSpace):
    r"""Total variation of the Wiener-filtered map u, :math:`\arg\min_x \tfrac12\|x - u\|^2 + w \sum_r |\nabla x|_r`.

    The weight is :math:`w = \text{strength}\cdot\sigma`, with the `noise_level` σ of u. Chambolle's algorithm of
    scikit-image runs a fixed number of iterations. The denoiser is equivariant to scale and, but for the filter, to
    offset.

    Parameters
    ----------
    strength : float
        Weight in units of the noise level; 0 leaves u as it is.
    cutoff : float
        Of the `Wiener` filter.
    iterations : int
        Number of iterations.

    Raises
    ------
    InputError
        If the strength is negative, the cutoff not within [0, 1) or there is no iteration.

    References
    ----------
    L. I. Rudin, S. Osher, E. Fatemi, Physica D 60 (1992) 259-268. A. Chambolle, J. Math. Imaging Vis. 20 (2004) 89-97.

    Examples
    --------
    >>> from cryoinv.denoisers import PriorContext
    >>> x = torch.randn(16, 16, 16, generator=torch.manual_seed(0))
    >>> context = PriorContext.nominal(16, 3.0, 8.0)
    >>> bool(TotalVariation().denoise(x, context).std() < Wiener().denoise(x, context).std())
    True
    """

    name = "tv"

    def __init__(self, strength: float = 1.0, cutoff: float = 0.05, iterations: int = 50):
        super().__init__(strength, cutoff)
        if iterations < 1:
            raise InputError(f"found {iterations} iterations, expected at least 1")
        self.iterations = iterations

    def smooth(self, volume: NDArray[np.floating], sigma: float) -> NDArray[np.floating]:
        """Minimiser with weight `sigma`."""
        from skimage.restoration import denoise_tv_chambolle

        # No stopping rule (eps=0): where it stops would jump with the input. The first iteration only sets up.
        return denoise_tv_chambolle(volume, weight=sigma, eps=0, max_num_iter=self.iterations + 1)


class Wavelet(_RealSpace):
    r"""Soft thresholds on the wavelet coefficients of the Wiener-filtered map, by BayesShrink.

    A band of coefficients of standard deviation :math:`\sigma_y` is thresholded at
    :math:`\sigma^2 / \sqrt{\sigma_y^2 - \sigma^2}`, with σ the `noise_level` times `strength`; the coarsest band is
    left as it is. The result is the mean over shifted grids, as one grid would leave its marks. The denoiser is
    equivariant to scale and, but for the filter, to offset.

    Parameters
    ----------
    strength : float
        Factor of the noise level; 0 leaves the filtered map as it is.
    cutoff : float
        Of the `Wiener` filter.
    wavelet : str
        Orthogonal wavelet, by its name in PyWavelets.
    shifts : int
        Furthest shift s of the grid along an axis, in voxels: the mean is over :math:`(s + 1)^3` grids.

    Raises
    ------
    InputError
        If the strength or the shift is negative, the cutoff not within [0, 1) or there is no such orthogonal wavelet.

    References
    ----------
    S. G. Chang, B. Yu, M. Vetterli, IEEE Trans. Image Process. 9 (2000) 1532-1546. R. R. Coifman, D. L. Donoho, in
    Wavelets and Statistics, Springer 1995, 125-150 (shifts).

    Examples
    --------
    >>> from cryoinv.denoisers import PriorContext
    >>> x = torch.randn(16, 16, 16, generator=torch.manual_seed(0))
    >>> context = PriorContext.nominal(16, 3.0, 8.0)
    >>> bool(Wavelet().denoise(x, context).std() < Wiener().denoise(x, context).std())
    True
    """

    name = "wavelet"

    def __init__(self, strength: float = 1.0, cutoff: float = 0.05, wavelet: str = "haar", shifts: int = 1):
        super().__init__(strength, cutoff)
        import pywt

        if wavelet not in pywt.wavelist(kind="discrete") or not pywt.Wavelet(wavelet).orthogonal:
            raise InputError(f"wavelet is {wavelet!r}, expected the name of an orthogonal one: haar, db2, sym4, coif1")
        if shifts < 0:
            raise InputError(f"shifts is {shifts} voxels, expected at least 0")
        self.wavelet, self.shifts = wavelet, shifts

    def smooth(self, volume: NDArray[np.floating], sigma: float) -> NDArray[np.floating]:
        """Threshold the coefficients for noise of standard deviation `sigma`."""
        from skimage.restoration import denoise_wavelet

        total = np.zeros_like(volume)
        for shift in itertools.product(range(self.shifts + 1), repeat=3):
            shifted = np.roll(volume, shift, (0, 1, 2))
            denoised = denoise_wavelet(shifted, sigma, self.wavelet, "soft", method="BayesShrink", rescale_sigma=False)
            total += np.roll(denoised, tuple(-each for each in shift), (0, 1, 2))
        return total / (self.shifts + 1) ** 3


class NonLocalMeans(_RealSpace):
    r"""Non-local means of the Wiener-filtered map: voxels averaged with those whose neighbourhoods look alike.

    .. math:: f(u)_r = \frac{\sum_s w_{rs} u_s}{\sum_s w_{rs}}, \qquad w_{rs} = \exp(-\max(D_{rs}, 0) / h^2), \qquad
              D_{rs} = \frac{1}{p^3} \sum_t \bigl((u_{r+t} - u_{s+t})^2 - 2\sigma^2\bigr),

    with p the `patch`, :math:`h = 0.8\,\sigma` and σ the `noise_level` times `strength`. In scikit-image's fast mode,
    which is used, t runs over :math:`(p - 1)^3` voxels, half a voxel off the centre, and weights below :math:`e^{-5}`
    are dropped. The denoiser is equivariant to scale and, but for the filter, to offset.

    Parameters
    ----------
    strength : float
        Factor of the noise level; 0 leaves the filtered map as it is.
    cutoff : float
        Of the `Wiener` filter.
    patch : int
        Width of a patch in voxels, odd.
    distance : int
        Furthest shift between two patches along an axis, in voxels; the time goes with its cube.

    Raises
    ------
    InputError
        If the strength is negative, the cutoff not within [0, 1), the patch not odd or the distance not positive.

    References
    ----------
    A. Buades, B. Coll, J.-M. Morel, CVPR 2005, vol. 2, 60-65. J. Darbon et al., ISBI 2008, 1331-1334 (fast, and for
    electron cryomicroscopy).

    Examples
    --------
    >>> from cryoinv.denoisers import PriorContext
    >>> x = torch.randn(16, 16, 16, generator=torch.manual_seed(0))
    >>> context = PriorContext.nominal(16, 3.0, 8.0)
    >>> bool(NonLocalMeans().denoise(x, context).std() < Wiener().denoise(x, context).std())
    True
    """

    name = "nlm"

    def __init__(self, strength: float = 1.0, cutoff: float = 0.05, patch: int = 5, distance: int = 2):
        super().__init__(strength, cutoff)
        if patch < 1 or patch % 2 == 0:
            raise InputError(f"patch is {patch} voxels, expected an odd number")
        if distance < 1:
            raise InputError(f"distance is {distance} voxels, expected at least 1")
        self.patch, self.distance = patch, distance

    def smooth(self, volume: NDArray[np.floating], sigma: float) -> NDArray[np.floating]:
        """Average with weights for noise of standard deviation `sigma`."""
        from skimage.restoration import denoise_nl_means

        return denoise_nl_means(
            volume,
            patch_size=self.patch,
            patch_distance=self.distance,
            h=0.8 * sigma,
            sigma=sigma,
            fast_mode=True,
            preserve_range=True,
        )
