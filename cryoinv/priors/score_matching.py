"""The score of a smoothed prior, from the MMSE denoiser of its noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cryoinv.errors import InputError

from .base import Prior
from .red import BoundRED
from .spectral_denoiser import SpectralDenoiser, chosen_denoiser

if TYPE_CHECKING:
    from cryoinv.denoisers import Denoiser, PriorContext
    from cryoinv.likelihood import SufficientStatistics

__all__ = ["ScoreMatchingPrior"]


class ScoreMatchingPrior(Prior):
    r"""Score matching by denoising, :math:`\nabla\log P_\nu(x) = \nu^{-1}(f(x) - x)` (eq. 36).

    That is exact for the prior smoothed by Gaussian noise of power ν, if f is the MMSE denoiser for that noise. RED
    has :math:`\tau^{-2}` in the place of :math:`\nu^{-1}`, which is the same only where the FSC is 1/2. The
    smoothed prior knows the signal through noise alone: with ν that of the data, an M-step under it keeps at least
    half of B/K, noise and all, in every shell. A smaller ν, with a denoiser for it, is closer to the prior itself.

    Parameters
    ----------
    denoiser : Denoiser, optional
        f; `SolventFlattening` by default, a Wiener filter and an automatic soft mask.
    nu : float, torch.Tensor of shape (n//2+1,), or "data"
        Noise power, of all coefficients or by shell, in the units of the statistics' space; "data" is that of B/K, one
        over the shell means of K.

    Raises
    ------
    InputError
        If `nu` is not positive, or has another shape than the shells.

    References
    ----------
    D. Kimanius et al. (2020), appendix A. P. Vincent, Neural Comput. 23 (2011) 1661-1674.

    Examples
    --------
    >>> ScoreMatchingPrior(nu=0.1).offers()
    ['gradient', 'correction']
    """

    name = "score-matching"
    has_gradient = has_correction = True

    def __init__(self, denoiser: Denoiser | None = None, nu: float | torch.Tensor | str = "data"):
        self.denoiser = chosen_denoiser(denoiser)
        self.nu: torch.Tensor | None = None
        if isinstance(nu, str):
            if nu != "data":
                raise InputError(f"nu is {nu!r}, expected positive numbers or 'data'")
        else:
            self.nu = torch.as_tensor(nu, dtype=torch.float64)
            if not bool(((self.nu > 0) & torch.isfinite(self.nu)).all()) or self.nu.ndim > 1:
                raise InputError(f"nu is {nu}, expected a positive number or one a shell")

    def bind(self, statistics: SufficientStatistics, context: PriorContext) -> BoundRED:
        """Return the functional: RED's with the precision of the noise in the place of that of the signal."""
        precision = statistics.shell_mean(statistics.weight)
        if self.nu is not None:
            if self.nu.ndim and self.nu.shape != precision.shape:
                raise InputError(f"nu has {len(self.nu)} shells, expected {len(precision)} for box {context.n}")
            precision = (1 / self.nu.to(precision.device)).expand(precision.shape)
        damping = statistics.expand(precision).to(statistics.weight.dtype)
        return BoundRED(SpectralDenoiser(self.denoiser, statistics, context), damping, damping)
