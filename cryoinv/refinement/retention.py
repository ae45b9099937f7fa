"""How much of what images are aligned to comes back as data: the response of an E-step to noise in its reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from cryoinv.likelihood import MarginalLikelihood, SufficientStatistics, own_statistics, statistics_of_all
from cryoinv.parallel import Processes
from cryoinv.spaces import centred_irfft, centred_rfft, radial_expand, radial_mean, shell_counts

__all__ = ["measured_retention", "probe_noise", "probe_particles", "response"]

_WINDOW = 9  # shells to average over
_POWER = 0.003  # of the reference's, as images see it: responses to a tenth are a fifth too small


def probe_particles(halves: np.ndarray, most: int = 48, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Particles of each half that are asked: so many at most, the same whoever holds them.

    Parameters
    ----------
    halves : numpy.ndarray of int, shape (m,)
        Half-set, 1 or 2, of every particle.
    most : int
        Of a half.
    seed : int
        Which.

    Returns
    -------
    tuple of numpy.ndarray, ascending
    """
    rng = np.random.default_rng(seed)
    members = (np.flatnonzero(halves == half) for half in (1, 2))
    first, second = (np.sort(rng.choice(each, min(most, len(each)), replace=False)) for each in members)
    return first, second


def probe_noise(
    reference: torch.Tensor,
    mask: torch.Tensor,
    sigma2: torch.Tensor,
    window: float,
    rng: np.random.Generator,
    power: float = _POWER,
) -> torch.Tensor:
    r"""Gaussian noise as strong as the error of a map from projections, :math:`P_k \propto k\,\sigma_k^2`.

    K falls as :math:`1/(k\,\sigma_k^2)` but for the CTF, which is left out. Such noise is white in the metric of K, in
    which the response of an E-step is symmetric, so that chance has least to do with what it tells.

    Parameters
    ----------
    reference : torch.Tensor, shape (n, n, n)
        What it is for.
    mask : torch.Tensor, shape (n, n, n)
        The particle's sphere; noise is where it is.
    sigma2 : torch.Tensor, shape (n//2+1,)
        Noise power of the images.
    window : float
        Last shell that images are aligned by.
    rng : numpy.random.Generator
        Which noise: the same on every machine and device.
    power : float
        Signal-to-noise ratio of its projections over that of the reference's.

    Returns
    -------
    torch.Tensor, shape (n, n, n)
    """
    n = len(reference)
    noise = torch.as_tensor(rng.standard_normal((n, n, n), dtype=np.float32)).to(reference) * mask
    spectra = centred_rfft(reference), centred_rfft(noise)
    signal, drawn = (radial_mean(spectrum.abs() ** 2, n).double() for spectrum in spectra)
    shells = torch.arange(n // 2 + 1, dtype=torch.float64, device=reference.device)
    wanted = shells * sigma2.to(shells) * (shells <= window + 0.5)
    visible = shells / sigma2.to(shells) * (shells <= window + 0.5)  # an image has k times as many coefficients there
    wanted *= power * (visible * signal).sum() / (visible * wanted).sum().clamp(min=torch.finfo(shells.dtype).tiny)
    scale = (wanted / drawn.clamp(min=torch.finfo(torch.float64).tiny)).sqrt().to(reference)
    return centred_irfft(spectra[1] * radial_expand(scale, n, outside=0.0), n)


def measured_retention(
    likelihood: MarginalLikelihood,
    references: Sequence[torch.Tensor],
    particles: Sequence[np.ndarray],
    noise: Sequence[torch.Tensor],
    window: float,
    processes: Processes | None = None,
) -> torch.Tensor:
    r"""Part of a change of the reference that an E-step gives back, per shell.

    The E-step is a map of the reference, :math:`r \mapsto \tilde x(r) = B(r)/K(r)`. Noise t that is added to r and
    subtracted from it tells the diagonal of its derivative, averaged over shells, as Hutchinson's estimator does:

    .. math:: c_k = \frac{\langle \Delta B - \tilde x\,\Delta K, t \rangle_k}{\langle K t, t \rangle_k},\qquad
              \Delta B = \tfrac12 (B(r+t) - B(r-t)),

    summed over both halves. The same images are asked twice, so that their noise cancels. At a fixed point this c is
    the fraction of missing information, at which EM converges: 0 where every pose is known, near 1 where images say so
    little that their average, each being put where it fits the reference, is the reference again. It is that of the
    search as it is: one that keeps only the poses that fit best, as oversampling does, gives back more.

    Parameters
    ----------
    likelihood : MarginalLikelihood
        Of all particles.
    references : sequence of torch.Tensor, shape (n, n, n)
        r of every half.
    particles : sequence of numpy.ndarray
        Those of this process that are asked, of every half.
    noise : sequence of torch.Tensor, shape (n, n, n)
        t of every half, see `probe_noise`.
    window : float
        Last shell that images are aligned by; those beyond are taken to be like it.
    processes : Processes, optional
        Those that share the particles.

    Returns
    -------
    torch.Tensor, shape (n//2+1,), float64
        c, averaged over nine shells.

    Raises
    ------
    InputError
        If a reference has another box than the images.

    References
    ----------
    A. P. Dempster, N. M. Laird, D. B. Rubin, J. R. Stat. Soc. B 39 (1977) 1-38, section 3; M. F. Hutchinson, Commun.
    Stat. Simul. Comput. 19 (1990) 433-450.

    Examples
    --------
    Images of noise alone give back what they are aligned to, if it is faint:

    >>> from cryoinv.geometry import SO3Grid
    >>> from cryoinv.io import ParticleStack
    >>> from cryoinv.likelihood import ExhaustiveSearch, FourierImages
    >>> from cryoinv.noise import RadialGaussianNoise
    >>> rng = np.random.default_rng(0)
    >>> images = FourierImages(ParticleStack.from_arrays(rng.standard_normal((300, 8, 8)), 3.0), torch.device("cpu"))
    >>> noise = RadialGaussianNoise.white(1.0, shells=5)
    >>> likelihood = MarginalLikelihood(images, noise, ExhaustiveSearch(SO3Grid(1)), r_max=3.0)
    >>> faint = 0.01 * torch.as_tensor(rng.standard_normal((8, 8, 8)))
    >>> probe = probe_noise(faint, torch.ones(8, 8, 8), noise.sigma2[0], 3.0, rng)
    >>> c = measured_retention(likelihood, [faint], [np.arange(300)], [probe], 3.0)
    >>> bool((c[1:] - 1).abs().max() < 0.2)
    True
    """
    processes = Processes() if processes is None else processes
    n = len(references[0])
    # All work first, then the exchange: no process waits for another twice.
    own = [
        [own_statistics(likelihood, reference + sign * t, asked) for sign in (1, -1)]
        for reference, t, asked in zip(references, noise, particles, strict=True)
    ]
    given, back = torch.zeros(2, n // 2 + 1, dtype=torch.float64, device=references[0].device)
    for t in noise:
        plus, minus = (statistics_of_all(each, processes) for each in own.pop(0))
        of_half = response(plus, minus, t)
        given, back = given + of_half[0], back + of_half[1]
    # The search holds one of each set of symmetry mates, so that what each of their copies of t gets is alone in it.
    found = likelihood.symmetry.order * back / given.clamp(min=torch.finfo(given.dtype).tiny)
    counts = shell_counts(n, device=given.device) * (given > 0)
    retained = _over_shells(found * counts, window) / _over_shells(counts, window).clamp(min=1.0)
    last = int(min(window, n // 2))
    retained[last + 1 :] = retained[last]
    return retained


def response(
    plus: SufficientStatistics, minus: SufficientStatistics, t: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""What was given and comes back, :math:`\langle Kt,t\rangle`, :math:`\langle\Delta B-\tilde x\,\Delta K,t\rangle`.

    Parameters
    ----------
    plus, minus : SufficientStatistics
        Of the same particles, aligned to r + t and to r - t.
    t : torch.Tensor, shape (n, n, n)
        The noise.

    Returns
    -------
    tuple of torch.Tensor, shape (n//2+1,), float64
        Means over the shells.
    """
    noise, weight = plus.from_volume(t), (plus.curvature() + minus.curvature()) / 2
    x = (plus.unregularised() + minus.unregularised()) / 2
    came = (plus.data - minus.data) / 2 - x * (plus.curvature() - minus.curvature()) / 2
    given, back = weight * noise.abs() ** 2, (came * noise.conj()).real
    return plus.shell_mean(given).double(), plus.shell_mean(back).double()


def _over_shells(values: torch.Tensor, window: float) -> torch.Tensor:
    """Sums over a few shells, without the zeroth, a single coefficient, and those beyond the window."""
    used = values.clone()
    used[0] = 0
    used[int(window) + 1 :] = 0
    kernel = torch.ones(1, 1, _WINDOW, dtype=values.dtype, device=values.device)
    return torch.nn.functional.conv1d(used[None, None], kernel, padding=_WINDOW // 2)[0, 0]
