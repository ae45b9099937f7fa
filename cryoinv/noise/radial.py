"""Gaussian noise that is independent between Fourier coefficients, with one radial power per optics group."""

from __future__ import annotations

import torch

from cryoinv.errors import InputError

from .borrowing import borrowed_power
from .residuals import ResidualPower

__all__ = ["RadialGaussianNoise"]


class RadialGaussianNoise:
    r"""Noise :math:`e` with :math:`E|e_k|^2 = \sigma^2_g(|k|)`, complex circular where k is not its own mate.

    The log-density of an image's independent coefficients is
    :math:`-\tfrac12\sum_k w_k\,(|e_k|^2/\sigma^2_k + \log(2\pi\sigma^2_k/w_k))` over the half-spectrum with
    :math:`w = 2`, and :math:`w = 1` for the real coefficient at k = 0: every independent coefficient counts once.

    Parameters
    ----------
    sigma2 : torch.Tensor, shape (groups, shells)
        Full complex power of the orthonormal image transform; white noise of variance s^2 has sigma2 = s^2.

    Raises
    ------
    InputError
        If any power is not positive and finite.

    References
    ----------
    D. Kimanius et al. (2020), eq. 5.

    Examples
    --------
    >>> noise = RadialGaussianNoise.white(1.0, shells=5)
    >>> noise.at(0, torch.tensor([0, 3]))
    tensor([1., 1.], dtype=torch.float64)
    """

    def __init__(self, sigma2: torch.Tensor):
        sigma2 = torch.as_tensor(sigma2, dtype=torch.float64)
        if sigma2.ndim != 2:
            raise InputError(f"sigma2 has shape {tuple(sigma2.shape)}, expected (optics groups, shells)")
        bad = ~(torch.isfinite(sigma2) & (sigma2 > 0))
        if bad.any():
            group, shell = (int(i) for i in bad.nonzero()[0])
            raise InputError(
                f"noise power of optics group {group + 1}, shell {shell} is {float(sigma2[group, shell]):g}, "
                "expected a positive finite number (are the images blank or masked to zero there?)"
            )
        self.sigma2 = sigma2

    @classmethod
    def white(cls, variance: float, shells: int, groups: int = 1) -> RadialGaussianNoise:
        """White noise of the given variance per pixel."""
        return cls(torch.full((groups, shells), float(variance), dtype=torch.float64))

    @classmethod
    def from_residuals(cls, residuals: ResidualPower) -> RadialGaussianNoise:
        """Noise whose power is the mean power of residuals.

        Shells with few coefficients, the lowest ones of groups of few particles, borrow from all groups and from
        their neighbours (see `borrowed_power`); a group that no particle is in has the power of all others. No shell
        goes below 1e-4 of its group's mean over all coefficients: images without noise, or all shifted to mean zero,
        would else claim infinite precision.
        """
        power = borrowed_power(residuals)
        count = residuals.count.sum(0)
        overall = (power * count).sum(1, keepdim=True) / count.sum().clamp(min=1)
        return cls(torch.maximum(power, 1e-4 * overall))

    def relative(self) -> RadialGaussianNoise:
        """Return the same ratios between optics groups, with mean precision one in every shell."""
        return RadialGaussianNoise(self.sigma2 * (1 / self.sigma2).mean(0))

    def at(self, group: int, shells: torch.Tensor) -> torch.Tensor:
        """Power at pixels of the given shells, in double precision."""
        return self.sigma2[group].to(shells.device)[shells]

    def log_normalisation(self, group: int, shells: torch.Tensor, weights: torch.Tensor) -> float:
        r"""Constant of one image's log-density, :math:`-\tfrac12\sum_k w_k\log(2\pi\sigma^2_k/w_k)`."""
        weights = weights.double()
        return float(-0.5 * (weights * torch.log(2 * torch.pi * self.at(group, shells) / weights)).sum())
