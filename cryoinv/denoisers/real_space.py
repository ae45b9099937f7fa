"""Denoisers of image processing between two halves of a Wiener filter: total variation, wavelets, non-local means."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import torch

from cryoinv.errors import InputError

from .base import Denoiser
from .filters import Wiener, radial_filter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .context import PriorContext

__all__ = ["NonLocalMeans", "TotalVariation", "Wavelet", "noise_level"]

_LEAST_PART = 0.01  # of the box: with fewer voxels between particle and box, the corners tell the noise
_CUT = 4.0  # standard deviations; the variance of a normal variable is hardly less for it, by 1e-4


def noise_level(volume: torch.Tensor, context: PriorContext) -> float:
    r"""Standard deviation of the noise: that outside the particle, with what is beyond 4 deviations cut off there.

    .. math:: \sigma^2 = \mathrm{mean}\,\min\bigl((x - m)^2, (4\,s)^2\bigr), \qquad
              m = \mathrm{median}\,x, \quad s = 1.4826\,\mathrm{median}|x - m|,

    over the voxels between the particle's sphere and the sphere that the box holds, whatever else is in the corners;
    over the corners where the particle fills the box. The median absolute deviation s would do as well, but for its
    derivative: it hangs on one voxel alone, which makes the Jacobian of a denoiser that goes by it far from symmetric.
    A map that was masked tells nothing of its noise.

    Parameters
    ----------
    volume : torch.Tensor, shape (n, n, n)
        Unmasked.
    context : PriorContext
        Whose ``particle_radius`` counts.

    Returns
    -------
    float

    References
    ----------
    P. J. Huber, Robust Statistics, Wiley 1981, chapter 5.

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
    apart = (values - values.median()).square()
    cut = (_CUT * 1.4826) ** 2 * apart.median()
    return float(apart.clamp(max=float(cut)).mean().sqrt())


class _RealSpace(Denoiser):
    r"""What the three share: :math:`f(x) = W^{1/2} g(W^{1/2} x)` with the Wiener filter W and a step g on the CPU.

    The filter comes first, as the noise of a map is strongest where its signal is weakest, and g takes noise for white.
    What the filter leaves is correlated between neighbours: no g is the optimum that it is for white noise. Half of the
    filter comes afterwards, so that f has a symmetric Jacobian where g has.
    """

    needs_whole_box = True

    def __init__(self, strength: float, cutoff: float):
        if not 0 <= strength < np.inf:
            raise InputError(f"strength is {strength}, expected a number of at least 0")
        self.strength, self.filter = strength, Wiener(cutoff)

    def denoise(self, volume: torch.Tensor, context: PriorContext) -> torch.Tensor:
        """Smooth between the halves of the filter by `strength` times the noise level; there is no derivative."""
        half = self.filter.transfer(context).sqrt()
        filtered = radial_filter(volume.detach(), half)
        scale = float(filtered.double().std())
        sigma = self.strength * noise_level(filtered, context) / scale if scale > 0 else 0.0
        if sigma > 0:
            smoothed = self.smooth((filtered / scale).cpu().numpy(), sigma)
            filtered = scale * torch.from_numpy(np.ascontiguousarray(smoothed)).to(volume)
        return radial_filter(filtered, half)

    def smooth(self, volume: NDArray[np.floating], sigma: float) -> NDArray[np.floating]:
        """Smooth a volume of unit variance, given the standard deviation of what is to go."""
        raise NotImplementedError


class TotalVariation(_RealSpace):
    r"""Total variation, :math:`f(x) = W^{1/2} \arg\min_v \tfrac12\|v - u\|^2 + w \sum_r |\nabla v|_r`.

    Here :math:`u = W^{1/2} x` with the `Wiener` filter W, and :math:`w = \text{strength}\cdot\sigma` with the
    `noise_level` σ of u. Chambolle's algorithm of scikit-image runs a fixed number of iterations. The denoiser is
    equivariant to scale and, but for the filter, to offset; its Jacobian is nearly symmetric.

    Parameters
    ----------
    strength : float
        Weight in units of the noise level; 0 leaves the Wiener filter alone.
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

    def __init__(self, strength: float = 0.7, cutoff: float = 0.05, iterations: int = 50):
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
    r"""Wavelet coefficients thresholded softly by BayesShrink, :math:`f(x) = W^{1/2} g(W^{1/2} x)`.

    W is the `Wiener` filter. A band of coefficients of standard deviation :math:`\sigma_y` is thresholded at
    :math:`\sigma^2 / \sqrt{\sigma_y^2 - \sigma^2}`, with σ the `noise_level` times `strength`; the coarsest band is
    left as it is. The result is the mean over shifted grids, as one grid would leave its marks. The denoiser is
    equivariant to scale and, but for the filter, to offset; its Jacobian is nearly symmetric.

    Parameters
    ----------
    strength : float
        Factor of the noise level; 0 leaves the Wiener filter alone.
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
    r"""Non-local means: voxels averaged with those in like surroundings, :math:`f(x) = W^{1/2} g(W^{1/2} x)`.

    W is the `Wiener` filter and

    .. math:: g(u)_r = \frac{\sum_s w_{rs} u_s}{\sum_s w_{rs}}, \qquad w_{rs} = \exp(-\max(D_{rs}, 0) / h^2),

    .. math:: D_{rs} = \frac{1}{p^3} \sum_t \bigl((u_{r+t} - u_{s+t})^2 - 2\sigma^2\bigr),

    with p the `patch`, :math:`h = 0.8\,\sigma` and σ the `noise_level` of u times `strength`. In scikit-image's fast
    mode, which is used, t runs over :math:`(p - 1)^3` voxels, half a voxel off the centre, and weights below
    :math:`e^{-5}` are dropped. The denoiser is equivariant to scale and, but for the filter, to offset. Its Jacobian is
    not symmetric, as every voxel has a sum of weights of its own.

    Parameters
    ----------
    strength : float
        Factor of the noise level; 0 leaves the Wiener filter alone.
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
