"""Denoisers that are radial filters."""

from __future__ import annotations

import torch

from cryoinv.errors import InputError
from cryoinv.networks.apply import filtered
from cryoinv.operators import low_pass

from .base import Denoiser
from .context import PriorContext

__all__ = ["HEARD", "LowPass", "Wiener", "sphere_transfer", "wiener_transfer"]


HEARD = 0.02
"""FSC inside the particle's sphere down to which networks are given a map, in training and afterwards."""


class LowPass(Denoiser):
    r"""Low-pass filter with a raised-cosine edge, see `operators.low_pass`.

    Parameters
    ----------
    resolution : float, optional
        Å; by default that of the half-maps.
    edge : float
        Width of the edge in shells.

    Raises
    ------
    InputError
        If the resolution or the edge is not positive.

    Examples
    --------
    >>> x = torch.randn(16, 16, 16, generator=torch.manual_seed(0))
    >>> y = LowPass(resolution=12.0).denoise(x, PriorContext.nominal(16, 3.0, 8.0))
    >>> bool(y.std() < 0.5 * x.std())
    True
    """

    name = "lowpass"
    is_linear = True

    def __init__(self, resolution: float | None = None, edge: float = 2.0):
        if resolution is not None and not resolution > 0:
            raise InputError(f"the resolution is {resolution} Å, expected a positive number")
        if not edge > 0:
            raise InputError(f"the edge is {edge} shells, expected a positive number")
        self.resolution, self.edge = resolution, edge

    def denoise(self, volume: torch.Tensor, context: PriorContext) -> torch.Tensor:
        """Filter to the resolution, held between the Nyquist frequency and the box."""
        wanted = context.resolution if self.resolution is None else self.resolution
        finest, coarsest = 2 * context.pixel_size, context.n * context.pixel_size
        return low_pass(volume, context.pixel_size, min(max(wanted, finest), coarsest), self.edge)


class Wiener(Denoiser):
    r"""Wiener filter :math:`\hat y_k = \mathrm{FSC}(|k|)\,\hat x_k`, the MMSE estimate of a Gaussian signal in noise.

    The half-map FSC is the ratio of signal power to all power of a half-map. It is clipped to [0, 1] and zero from the
    first shell on where it falls below `cutoff`.

    Parameters
    ----------
    cutoff : float
        FSC below which a shell is taken to hold noise alone.

    Raises
    ------
    InputError
        If `cutoff` is not within [0, 1).

    References
    ----------
    P. B. Rosenthal, R. Henderson, J. Mol. Biol. 333 (2003) 721-745.

    Examples
    --------
    >>> x = torch.randn(16, 16, 16, generator=torch.manual_seed(0))
    >>> y = Wiener().denoise(x, PriorContext.nominal(16, 3.0, 8.0))
    >>> bool(y.std() < x.std())
    True
    """

    name = "wiener"
    is_linear = True

    def __init__(self, cutoff: float = 0.05):
        if not 0 <= cutoff < 1:
            raise InputError(f"cutoff is {cutoff}, expected a number from 0 to below 1")
        self.cutoff = cutoff

    def denoise(self, volume: torch.Tensor, context: PriorContext) -> torch.Tensor:
        """Multiply every shell by its FSC."""
        return radial_filter(volume, self.transfer(context))

    def transfer(self, context: PriorContext) -> torch.Tensor:
        """Factor of every shell, shape (n//2+1,)."""
        return wiener_transfer(context.fsc, self.cutoff)


def wiener_transfer(fsc: torch.Tensor, cutoff: float = 0.05) -> torch.Tensor:
    """Factors of a `Wiener` filter.

    Parameters
    ----------
    fsc : torch.Tensor, shape (..., n//2+1)
        Half-map FSC, or several.
    cutoff : float
        As of `Wiener`.

    Returns
    -------
    torch.Tensor, shape (..., n//2+1)

    Examples
    --------
    >>> wiener_transfer(torch.tensor([0.3, 1.0, 0.5, 0.01, 0.2])).tolist()
    [1.0, 1.0, 0.5, 0.0, 0.0]
    """
    fsc = fsc.clamp(0, 1)
    # The zeroth shell is one coefficient, whose FSC is noise.
    fsc = torch.cat([fsc[..., 1:2], fsc[..., 1:]], -1)
    return fsc * ((fsc < cutoff).cumsum(-1) == 0)


def sphere_transfer(fsc: torch.Tensor, cutoff: float = HEARD) -> torch.Tensor:
    """Factors of the Wiener filter that networks are given, of FSCs inside the particle's sphere.

    A small particle's FSC falls to nothing in a large box where, inside its sphere, half of the power is still signal:
    a network would not hear of it. Inside a sphere few coefficients speak for a shell, so that neighbours are averaged
    with weights 1, 2, 1.

    Parameters
    ----------
    fsc : torch.Tensor, shape (..., n//2+1)
        Half-map FSC inside the sphere, or several; zero beyond the frequencies used.
    cutoff : float
        As of `Wiener`.

    Returns
    -------
    torch.Tensor, shape (..., n//2+1)

    References
    ----------
    C. V. Sindelar, N. Grigorieff, J. Struct. Biol. 180 (2012) 26-38, on signal that fills a part of the box.

    Examples
    --------
    >>> sphere_transfer(torch.tensor([0.3, 1.0, 0.6, 0.2, 0.0])).tolist()
    [0.8999999761581421, 0.8999999761581421, 0.6000000238418579, 0.25, 0.0]
    """
    used = fsc != 0
    # The zeroth shell is one coefficient, whose FSC is noise.
    below = torch.cat([fsc[..., 1:2], fsc[..., 1:2], fsc[..., 1:-1]], -1)
    above = torch.cat([fsc[..., 1:], fsc[..., -1:]], -1)
    return wiener_transfer((below + 2 * fsc + above) / 4 * used, cutoff)


def radial_filter(volume: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Volume (n, n, n) whose shells are multiplied by `factors` (n//2+1,), and zero beyond the last of them."""
    return filtered(factors.to(volume.device, volume.dtype), volume)
