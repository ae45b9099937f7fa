"""A denoiser of volumes as an operator on the space of a half's statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from cryoinv.denoisers import Denoiser, SolventFlattening
from cryoinv.errors import InputError
from cryoinv.operators import TorchOperator
from cryoinv.spaces import VolumeSpace

if TYPE_CHECKING:
    from cryoinv.denoisers import PriorContext
    from cryoinv.likelihood import SufficientStatistics

__all__ = ["SpectralDenoiser", "chosen_denoiser"]


def chosen_denoiser(denoiser: Denoiser | None, default: Callable[[], Denoiser] = SolventFlattening) -> Denoiser:
    """Return the denoiser given, or a default one, Wiener filter and automatic mask; anything else is refused."""
    if denoiser is None:
        return default()
    if not isinstance(denoiser, Denoiser):
        raise InputError(f"the denoiser is a {type(denoiser).__name__}, expected a Denoiser (see `denoiser_from`)")
    return denoiser


class SpectralDenoiser(TorchOperator):
    r"""Denoiser on a statistics' space, :math:`\hat f = V^{-1} f V`, with V the statistics' `to_volume`.

    Parameters
    ----------
    denoiser : Denoiser
        The map f of volumes.
    statistics : SufficientStatistics
        Whose space it acts on, and whose `to_volume` and `from_volume` it uses.
    context : PriorContext
        What the denoiser is told.
    """

    def __init__(self, denoiser: Denoiser, statistics: SufficientStatistics, context: PriorContext):
        super().__init__(statistics.space, statistics.space, linear=denoiser.is_linear)
        real = str(statistics.data.real.dtype).removeprefix("torch.")
        volumes = VolumeSpace(statistics.n, context.pixel_size, real, str(statistics.data.device))
        self.statistics, self.denoise = statistics, denoiser.bind(volumes, context).apply

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """Denoise a spectrum; a network's graph is built only where the spectrum asks for a gradient."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and x.requires_grad):
            return self.statistics.from_volume(self.denoise(self.statistics.to_volume(x)))
