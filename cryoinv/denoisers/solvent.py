"""Flattening of the solvent: what people do, as a denoiser."""

from __future__ import annotations

import torch

from .base import Denoiser
from .context import PriorContext
from .filters import Wiener
from .solvent_mask import check_mask_options, solvent_mask

__all__ = ["SolventFlattening"]


class SolventFlattening(Denoiser):
    r"""Wiener filter, then multiplication by an automatic soft mask of the particle, :math:`f(x) = m(x) \cdot W x`.

    The mask m comes from the unfiltered map and depends neither on its grey scale nor on an offset, see
    `solvent_mask`; the solvent is taken for zero. The derivative takes the mask for constant, which it is but where a
    voxel crosses the threshold.

    Parameters
    ----------
    filtered : bool
        Whether to filter first.
    cutoff : float
        Of the `Wiener` filter.
    lowpass : float
        Å to which the map is low-passed to find the mask.
    sigmas : float
        Standard deviations of the solvent by which the particle exceeds it.
    extend, edge : float
        Å by which the plateau of the mask reaches beyond the particle, and width of its edge.

    Raises
    ------
    InputError
        If the cutoff is not within [0, 1) or an option of the mask is out of range.

    Examples
    --------
    >>> from cryoinv.operators import soft_sphere
    >>> body, noise = soft_sphere(32, 5.0, 2.0), torch.randn(32, 32, 32, generator=torch.manual_seed(0))
    >>> y = SolventFlattening().denoise(body + 0.5 * noise, PriorContext.nominal(32, 3.0, 10.0))
    >>> bool(y[0, 0, 0] == 0), bool(y[16, 16, 16] > 0.5)
    (True, True)
    """

    name = "solvent"
    needs_whole_box = True

    def __init__(
        self,
        filtered: bool = True,
        cutoff: float = 0.05,
        lowpass: float = 15.0,
        sigmas: float = 3.0,
        extend: float = 4.0,
        edge: float = 9.0,
    ):
        check_mask_options(lowpass, extend, edge, sigmas)
        self.filter = Wiener(cutoff) if filtered else None
        self.lowpass, self.sigmas, self.extend, self.edge = lowpass, sigmas, extend, edge

    def denoise(self, volume: torch.Tensor, context: PriorContext) -> torch.Tensor:
        """Filter and mask."""
        mask = solvent_mask(volume, context, self.lowpass, self.sigmas, self.extend, self.edge)
        return mask * (volume if self.filter is None else self.filter.denoise(volume, context))
