r"""Scores of poses: the log-density of images given poses, as matrix products.

For image i, translation t and orientation o, up to a constant of the image, the score is
:math:`\langle \sigma^{-2} C\,T_t^* y_i, S_o\rangle_w - \tfrac12 \langle \sigma^{-2} C^2, |S_o|^2\rangle_w`
with slices :math:`S_o`, CTF :math:`C` and shift :math:`T_t`; the first term is one real matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from cryoinv.noise import RadialGaussianNoise

from .images import FourierImages

__all__ = ["ImageTerms", "as_real", "image_terms", "shift_table"]


@dataclass
class ImageTerms:
    """What the scores of a block of images of one optics group are made of, at P pixels.

    Parameters
    ----------
    group : int
        Optics group.
    scored : torch.Tensor, shape (I, P), complex
        Weighted data term of the images that are scored.
    inserted : torch.Tensor, shape (I, P), complex
        Weighted data term of the images that enter the statistics (the same unless images are masked for scoring).
    weight : torch.Tensor, shape (I, P) or (1, P), real
        Weighted squared CTF.
    constant : torch.Tensor, shape (I,), float64
        Log-density at zero signal.
    power : torch.Tensor, shape (all pixels of the disc,), float64
        Squared scored transforms, summed over the block, beyond the scored pixels too.
    precision : torch.Tensor, shape (P,), real
        Weight over noise power.
    """

    group: int
    scored: torch.Tensor
    inserted: torch.Tensor
    weight: torch.Tensor
    constant: torch.Tensor
    power: torch.Tensor
    precision: torch.Tensor

    def __len__(self) -> int:
        return len(self.scored)

    def take(self, images: slice) -> ImageTerms:
        """Terms of some of the images; the power stays that of the whole block."""
        scored = self.scored[images]
        return replace(
            self,
            scored=scored,
            inserted=scored if self.inserted is self.scored else self.inserted[images],
            weight=self.weight[images] if len(self.weight) > 1 else self.weight,
            constant=self.constant[images],
        )


def image_terms(
    images: FourierImages, noise: RadialGaussianNoise, group: int, indices: np.ndarray, count: int
) -> ImageTerms:
    """Terms of the given particles, all of one optics group, at the first `count` pixels of the disc."""
    disc = images.disc
    weights, shells = disc.weights[:count], disc.shells[:count]
    sigma2 = noise.at(group, shells)
    precision = (weights / sigma2).to(images.dtype)
    transforms = images.transforms(indices, masked=True)
    square = transforms.real.double() ** 2 + transforms.imag.double() ** 2
    constant = -0.5 * square[:, :count] @ (weights / sigma2) + noise.log_normalisation(group, shells, weights)
    ctf = images.ctf(indices, count)
    factor = precision if ctf is None else precision * ctf
    weight = precision[None] if ctf is None else precision * ctf**2
    scored = transforms[:, :count] * factor
    inserted = scored
    if images.mask is not None:
        inserted = images.transforms(indices)[:, :count] * factor
    return ImageTerms(group, scored, inserted, weight, constant, square.sum(0), precision)


def shift_table(pixels: torch.Tensor, n: int, translations: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    r"""Factors :math:`e^{+2\pi i k\cdot t/n}` that undo translations (..., 2) in pixels: shape (..., P)."""
    shifts = torch.as_tensor(translations, dtype=torch.float64, device=pixels.device)
    # To look for the extremes on a GPU would be to wait for it.
    lowest, highest = map(int, pixels.aminmax()) if pixels.device.type == "cpu" else (-(n // 2), n // 2)
    frequencies = torch.arange(lowest, highest + 1, dtype=torch.float64, device=pixels.device)
    angle = (2 * torch.pi / n) * shifts[..., None] * frequencies
    # Products of one factor a column and one a row: many fewer sines than pixels.
    factors = torch.polar(torch.ones_like(angle), angle).to(
        torch.complex128 if dtype == torch.float64 else torch.complex64
    )
    column, row = (pixels - lowest).long().unbind(-1)
    return factors[..., 0, :][..., column] * factors[..., 1, :][..., row]


def as_real(values: torch.Tensor) -> torch.Tensor:
    """Complex (..., P) as real (..., 2P), so that a real product is the real part of the Hermitian one."""
    return torch.view_as_real(values.resolve_conj()).flatten(-2)
