"""The MMSE denoiser of a mixture of Gaussians: a denoiser whose prior is known."""

from __future__ import annotations

import math

import torch

from cryoinv.errors import InputError
from cryoinv.spaces import centred_irfft, centred_rfft, hermitian_weights, radial_expand

from .base import Denoiser
from .context import PriorContext

__all__ = ["GaussianMixture"]


class GaussianMixture(Denoiser):
    r"""MMSE denoiser :math:`f(y) = E[x \mid y] = \sum_j r_j(y)\,E_j[x \mid y]` of a mixture of Gaussians, exact.

    The clean volume x has the prior :math:`\sum_j p_j\,N(m_j, S_j)`, and y = x + noise of power ν; S and ν are radial
    powers of Fourier coefficients. Then :math:`E_j[x \mid y] = m_j + S_j (S_j + \nu)^{-1} (y - m_j)`, and
    :math:`r_j(y) \propto p_j\,N(y; m_j, S_j + \nu)` are the responsibilities. The gradient of the log-density of y is
    :math:`\nu^{-1}(f(y) - y)` to rounding, which makes it the standard that score matching is tested by. With S = 0
    that density is the kernel density estimate of the volumes m.

    Parameters
    ----------
    means : torch.Tensor, shape (J, n, n, n)
        Volumes m.
    noise : torch.Tensor, shape (n//2+1,), or float
        ν by shell, as the power :math:`E|e_k|^2` of an orthonormal transform.
    signal : torch.Tensor, shape (J, n//2+1) or (n//2+1,), or float
        S of every component, or of all.
    weights : torch.Tensor, shape (J,), optional
        p, normalised here; equal by default.

    Raises
    ------
    InputError
        If shapes do not fit, ν is not positive, S is negative, or a weight is negative or all are zero.

    References
    ----------
    D. Kimanius et al. (2020), eqs. 20-36.

    Examples
    --------
    >>> means = torch.stack([torch.zeros(4, 4, 4), torch.ones(4, 4, 4)])
    >>> mixture = GaussianMixture(means, noise=0.01)
    >>> mixture.denoise(means[1] + 0.1, PriorContext.nominal(4, 3.0, 12.0)).mean()
    tensor(1.)
    """

    name = "mixture"

    def __init__(
        self,
        means: torch.Tensor,
        noise: torch.Tensor | float,
        signal: torch.Tensor | float = 0.0,
        weights: torch.Tensor | None = None,
    ):
        means = torch.as_tensor(means, dtype=torch.float64)
        count, n = len(means), means.shape[-1]
        if means.shape != (count, n, n, n) or not count:
            raise InputError(f"the means have shape {tuple(means.shape)}, expected (J, n, n, n)")
        weights = torch.ones(count) if weights is None else torch.as_tensor(weights)
        if weights.shape != (count,) or not bool((weights >= 0).all()) or not float(weights.sum()) > 0:
            raise InputError(f"the weights are {weights.tolist()}, expected {count} numbers not below 0")
        self.n, self.means = n, centred_rfft(means)
        self.noise = _profiles(noise, (n // 2 + 1,), "noise").to(means.device)
        self.signal = _profiles(signal, (count, n // 2 + 1), "signal").to(means.device)
        if not bool((self.noise > 0).all()) or not bool((self.signal >= 0).all()):
            raise InputError("the noise power must be positive and the signal power must not be negative")
        self.log_weights = torch.log(weights.double() / weights.double().sum()).to(means.device)

    def denoise(self, volume: torch.Tensor, context: PriorContext) -> torch.Tensor:
        """Return E[x | y]; the context is not looked at."""
        observed = self._observed(volume)
        responsibilities = torch.softmax(self._log_joint(observed), 0).to(volume.device)
        gain = radial_expand(self.signal / (self.signal + self.noise), self.n).to(volume.device)
        means = self.means.to(volume.device)
        # E_j = m_j + gain_j (y - m_j), summed over j without holding all of them.
        expected = torch.zeros_like(observed)
        for share, mean, filtered in zip(responsibilities, means, gain, strict=True):
            expected = expected + share * (mean + filtered * (observed - mean))
        return centred_irfft(expected, self.n).to(volume.dtype)

    def log_density(self, volume: torch.Tensor) -> torch.Tensor:
        r"""Log-density :math:`\log\sum_j p_j\,N(y; m_j, S_j + \nu)` of a noisy volume y, which torch can differentiate.

        Parameters
        ----------
        volume : torch.Tensor, shape (n, n, n)
            y.

        Returns
        -------
        torch.Tensor, shape (), in double precision
        """
        return torch.logsumexp(self._log_joint(self._observed(volume)), 0)

    def responsibilities(self, volume: torch.Tensor) -> torch.Tensor:
        """Probability of each component given a noisy volume, shape (J,)."""
        return torch.softmax(self._log_joint(self._observed(volume)), 0)

    def _observed(self, volume: torch.Tensor) -> torch.Tensor:
        if volume.shape != (self.n,) * 3:
            raise InputError(f"the volume has shape {tuple(volume.shape)}, the mixture's have {(self.n,) * 3}")
        return centred_rfft(volume.double())

    def _log_joint(self, observed: torch.Tensor) -> torch.Tensor:
        """Log p_j N(y; m_j, S_j + ν), shape (J,); the Hermitian weights count every independent coefficient once."""
        weights = hermitian_weights(self.n, device=observed.device)
        found = []
        for log_weight, mean, power in zip(self.log_weights, self.means, self.signal + self.noise, strict=True):
            spread = radial_expand(power.to(observed.device), self.n)
            error = (observed - mean.to(observed.device)).abs() ** 2
            terms = weights * (error / spread + torch.log(2 * math.pi * spread))
            found.append(log_weight.to(observed.device) - 0.5 * terms.sum())
        return torch.stack(found)


def _profiles(power: torch.Tensor | float, shape: tuple[int, ...], name: str) -> torch.Tensor:
    given = torch.as_tensor(power, dtype=torch.float64)
    try:
        return given.expand(shape)
    except RuntimeError:
        raise InputError(f"the {name} power has shape {tuple(given.shape)}, expected {shape} or one number") from None
