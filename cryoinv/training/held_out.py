"""How much better than Wiener filters a denoiser is, on maps whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from cryoinv.denoisers import PriorContext, solvent_mask
from cryoinv.errors import InputError
from cryoinv.metrics import fourier_shell_correlation, resolution_at

from .losses import relative_errors
from .pairs import Pairs

__all__ = ["HeldOut", "Measured", "context_of"]

Denoise = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass
class Measured:
    """Figures of one method on all maps of a held-out set.

    Parameters
    ----------
    l1, l2 : torch.Tensor, shape (m,)
        Relative errors against the filtered truth.
    fsc : torch.Tensor, shape (m, n//2+1)
        FSC against the truth.
    mean_fsc : torch.Tensor, shape (m,)
        Its mean over the shells below the Nyquist frequency.
    """

    l1: torch.Tensor
    l2: torch.Tensor
    fsc: torch.Tensor
    mean_fsc: torch.Tensor


class HeldOut:
    """Held-out maps, and what the Wiener filter and the Wiener filter in an automatic solvent mask make of them.

    Parameters
    ----------
    pairs : Pairs
        Maps with their truth; they stay on the CPU. Those of which the Wiener filter leaves nothing are left out.

    Raises
    ------
    InputError
        If none is left.
    """

    def __init__(self, pairs: Pairs):
        heard = (pairs.transfer > 0).any(1)
        if not bool(heard.any()):
            raise InputError(f"none of {len(pairs)} held-out maps has any signal")
        self.pairs = pairs = pairs.to(torch.device("cpu")).taken(heard)
        self.target = pairs.target
        self.contexts = [context_of(pairs, i) for i in range(len(pairs))]
        smooth = pairs.wiener
        masks = torch.stack([solvent_mask(x, c) for x, c in zip(pairs.noisy, self.contexts, strict=True)])
        self.wiener, self.masked_wiener = self.measure_maps(smooth), self.measure_maps(masks * smooth)

    def measure_maps(self, maps: torch.Tensor) -> Measured:
        """Figures of denoised maps (m, n, n, n)."""
        l1, l2 = relative_errors(maps, self.target)
        curves = [fourier_shell_correlation(a, b) for a, b in zip(maps, self.pairs.truth, strict=True)]
        fsc = torch.stack([torch.as_tensor(curve) for curve in curves])
        return Measured(l1, l2, fsc, fsc[:, 1 : (self.pairs.n - 1) // 2 + 1].mean(1))

    def measure(self, denoise: Denoise, device: torch.device, batch: int = 4) -> Measured:
        """Figures of a function from maps (m, n, n, n) and Wiener filters (m, n//2+1) to denoised maps."""
        with torch.no_grad():
            parts = [
                denoise(x.to(device), w.to(device)).cpu()
                for x, w in zip(self.pairs.noisy.split(batch), self.pairs.transfer.split(batch), strict=True)
            ]
        return self.measure_maps(torch.cat(parts))

    def summary(self, found: Measured) -> dict[str, float]:
        """Figures against both filters: ratios of errors, and shares of the maps that got better."""
        figures = {}
        for name, base in (("wiener", self.wiener), ("masked_wiener", self.masked_wiener)):
            figures[f"l1_ratio_to_{name}"] = float((found.l1 / base.l1).mean())
            figures[f"l2_ratio_to_{name}"] = float((found.l2 / base.l2).mean())
            figures[f"fraction_better_than_{name}"] = float((found.l2 < base.l2).double().mean())
            figures[f"mean_fsc_gain_over_{name}"] = float((found.mean_fsc - base.mean_fsc).mean())
        return figures


def context_of(pairs: Pairs, index: int) -> PriorContext:
    """What is known of one map of a set of pairs beside itself."""
    n, fsc = pairs.n, pairs.fsc[index].double().cpu()
    resolution = resolution_at(fsc, 0.143, n, pairs.pixel_size).angstrom
    inside, radius = pairs.fsc_masked[index].double().cpu(), pairs.radii[index]
    return PriorContext(n, pairs.pixel_size, fsc, torch.ones_like(fsc), resolution, radius, fsc_masked=inside)

