"""An adversarial regulariser: a critic that was trained to tell noisy maps from clean ones is the prior."""

from __future__ import annotations

import os
from importlib import resources
from typing import TYPE_CHECKING

import torch

from cryoinv.denoisers import LowPass
from cryoinv.errors import InputError
from cryoinv.networks import Placement, read_network
from cryoinv.spaces import centred_irfft, centred_rfft, fourier_crop, fourier_pad, hermitian_weights, radial_expand
from cryoinv.spaces.backend import odl

from .gaussian import QuadraticFunctional
from .volume import BoundVolumePrior, VolumePrior

if TYPE_CHECKING:
    from cryoinv.denoisers import PriorContext
    from cryoinv.likelihood import SufficientStatistics
    from cryoinv.spaces.base import BoxElement

__all__ = ["AdversarialRegulariser", "BoundAdversarial", "critic_input"]

_LARGEST_PRECISION = 1e4  # times the largest mean of K in a shell; without data 1/tau^2 is beyond single precision


class AdversarialRegulariser(VolumePrior):
    r"""A critic on top of the Gaussian prior, :math:`-\log P(x) = \alpha\Psi(Pu/s) + \tfrac12\|\tau^{-1}x\|^2_w`.

    The critic :math:`\Psi` of the map :math:`u = Vx` is low on clean maps and high on noisy ones, with a slope of
    about 1 in the root-mean-square norm (`critic_step`). It sees the map in the band P of the half-maps' resolution,
    sampled as finely as it was trained, and divided by :math:`s = \mathrm{std}(Pu)`: it judges shape, not grey scale.

    By the rule of Lunz et al. the truth is a critical point, where the data term's gradient is the noise:
    :math:`\alpha\|\nabla(\Psi \circ P/s)\| = E\|B - Kx\|` in the band. With :math:`n^3` voxels and :math:`N_k`
    coefficients in a shell of mean weight :math:`K_k` that is

    .. math:: \alpha = \mathrm{strength} \cdot s \cdot n^{3/2} \Bigl(\sum_k N_k K_k\Bigr)^{1/2},

    in nats as the data term is, whatever the grey scale. Gradients of a critic go with little of the noise, so the
    factor is well below 1 by default. Far from the maps that it was trained on a critic bounds nothing: the Gaussian
    part keeps the minimiser finite. Its precision is stiff where the FSC is low, and is told to solvers as `damping`,
    for their metric. Without it :math:`-\log P = \alpha\Psi` as in the paper.

    Parameters
    ----------
    critic : torch.nn.Module, str or path-like, optional
        From (batch, n, n, n) to (batch,), or a file of its weights (`networks.write_network`); by default the one that
        ships with the package, trained on public structures at 3 Å a pixel.
    strength : float
        Factor on :math:`\alpha`.
    gaussian : bool
        Whether there is a Gaussian part.
    pixel_size : float, optional
        Å per pixel that the critic is shown; by default the one that it was trained with, or the map's.

    Raises
    ------
    InputError
        If the file does not suit (`networks.read_network`), or a number is negative or not finite.

    References
    ----------
    S. Lunz, O. Öktem, C.-B. Schönlieb, "Adversarial regularizers in inverse problems", NeurIPS 31 (2018) 8507-8516.

    Examples
    --------
    >>> AdversarialRegulariser(strength=0.1).offers()
    ['value', 'gradient']
    """

    name = "adversarial"
    has_value = has_gradient = True

    def __init__(
        self,
        critic: torch.nn.Module | str | os.PathLike[str] | None = None,
        strength: float = 0.3,
        gaussian: bool = True,
        pixel_size: float | None = None,
    ):
        for what, value in (("strength", strength), ("pixel_size", 1.0 if pixel_size is None else pixel_size)):
            if not 0 <= value < float("inf") or (what == "pixel_size" and not value):
                raise InputError(f"{what} is {value}, expected a finite number that is not negative")
        if not isinstance(critic, torch.nn.Module):
            critic, metadata = _critic_of_file(critic)
            pixel_size = sum(metadata["pixel_sizes"]) / 2 if pixel_size is None else pixel_size
        self.strength, self.gaussian, self.pixel_size = strength, gaussian, pixel_size
        self._critic = Placement(critic)
        # Runs are told apart by the weights, not by the name of a file.
        self.made_with["critic"] = self._critic.module

    def value(self, volume: torch.Tensor, context: PriorContext) -> torch.Tensor:
        r"""What the critic says of a volume (n, n, n), :math:`\Psi(Pu/s)`, without the factor."""
        found = self._critic(volume)(critic_input(volume, context, self.pixel_size)[None])
        if found.shape != (1,):
            raise InputError(f"the critic of {self!r} gives shape {tuple(found.shape)} for one map, expected (1,)")
        return found[0]

    def bind(self, statistics: SufficientStatistics, context: PriorContext) -> BoundAdversarial:
        """Return the functional with the factor of this half and iteration."""
        return BoundAdversarial(self, statistics, context)


class BoundAdversarial(BoundVolumePrior):
    """The functional of an `AdversarialRegulariser` for one half and iteration.

    Parameters
    ----------
    prior : AdversarialRegulariser
        What is bound.
    statistics : SufficientStatistics
        Of one half.
    context : PriorContext
        Of the iteration.

    Attributes
    ----------
    factor : float
        What the critic's value is multiplied by, in nats.
    damping : torch.Tensor, shape of the space, real, or None
        Precision of the Gaussian part, which tells solvers their metric.
    """

    def __init__(self, prior: AdversarialRegulariser, statistics: SufficientStatistics, context: PriorContext):
        super().__init__(prior, statistics, context)
        weight = statistics.shell_mean(statistics.curvature())
        precision = statistics.expand((1 / context.tau2.to(weight)).clamp(max=_LARGEST_PRECISION * float(weight.max())))
        total = (statistics.curvature() + precision).clamp(min=torch.finfo(weight.dtype).tiny)
        expected = statistics.to_volume((statistics.data / total).to(statistics.data.dtype))
        scale, n = float(LowPass().denoise(expected, context).std()), context.n
        band = torch.arange(len(weight), device=weight.device) <= n * context.pixel_size / context.resolution + 0.5
        noise = radial_expand(weight * band, n, outside=0.0) * hermitian_weights(n, device=weight.device)
        self.factor = prior.strength * scale * float(n**3 * noise.sum()) ** 0.5
        self._gaussian = QuadraticFunctional(self.domain, precision if prior.gaussian else 0 * precision)
        self.damping = self._gaussian.precision if prior.gaussian else None

    def _value(self, volume: torch.Tensor) -> torch.Tensor:
        return self.factor * super()._value(volume)

    def _call(self, x: BoxElement) -> float:
        return super()._call(x) + self._gaussian(x)

    @property
    def gradient(self) -> odl.Operator:
        """Operator x -> V* grad R(V x) + D x."""
        return super().gradient + self._gaussian.gradient


def critic_input(volume: torch.Tensor, context: PriorContext, pixel_size: float | None = None) -> torch.Tensor:
    """Map as a critic sees it: in the half-maps' band, at its pixel size, divided by the standard deviation.

    Parameters
    ----------
    volume : torch.Tensor, shape (n, n, n)
        Map in any grey scale.
    context : PriorContext
        Whose resolution bounds the band.
    pixel_size : float, optional
        Å; the map's own by default. The box becomes the nearest whole number of such pixels.

    Returns
    -------
    torch.Tensor, shape (m, m, m)

    Examples
    --------
    >>> from cryoinv.priors import PriorContext
    >>> context = PriorContext.nominal(16, 3.0, 12.0)
    >>> seen = critic_input(torch.randn(16, 16, 16), context, pixel_size=4.0)
    >>> seen.shape, bool((seen.std() - 1).abs() < 1e-5)
    (torch.Size([12, 12, 12]), True)
    """
    band, n = LowPass().denoise(volume, context), len(volume)
    size = n if pixel_size is None else round(n * context.pixel_size / pixel_size)
    if size != n:
        change = fourier_crop if size < n else fourier_pad
        band = centred_irfft(change(centred_rfft(band), n, size), size)
    return band / band.std().clamp(min=torch.finfo(band.dtype).tiny)


def _critic_of_file(path: str | os.PathLike[str] | None) -> tuple[torch.nn.Module, dict]:
    if path is not None:
        return read_network(path, "critic")
    with resources.as_file(resources.files("cryoinv").joinpath("data", "critic_tiny.safetensors")) as shipped:
        return read_network(shipped, "critic")
