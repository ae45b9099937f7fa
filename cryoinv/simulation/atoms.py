"""Atoms on torch tensors, by element, and their potential on a Fourier grid: on any device, in either precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from cryoinv.spaces.spectrum import frequencies

if TYPE_CHECKING:
    from cryoinv.io import AtomicModel

__all__ = ["ElementAtoms", "elements_of", "potential_of"]

_BLOCK_BYTES = 1 << 26


@dataclass(frozen=True)
class ElementAtoms:
    r"""Atoms of one element, whose scattering factor is :math:`f(q) = \sum_i a_i e^{-b_i q^2/4}`.

    Parameters
    ----------
    positions : torch.Tensor, shape (N, 3)
        (x, y, z) in Å about the point that is put at the centre of the box.
    b_factors, occupancies : torch.Tensor, shape (N,)
        In Å²; share of the molecules that have the atom.
    coefficients : torch.Tensor, shape (2, 5)
        a, times what makes volts of it, and b.
    """

    positions: torch.Tensor
    b_factors: torch.Tensor
    occupancies: torch.Tensor
    coefficients: torch.Tensor

    def to(self, device: torch.device | str, dtype: torch.dtype) -> ElementAtoms:
        """Return the same atoms elsewhere, or in another precision."""
        return ElementAtoms(
            *(each.to(device, dtype) for each in (self.positions, self.b_factors, self.occupancies, self.coefficients))
        )

    def turned(self, rotation: torch.Tensor) -> ElementAtoms:
        """Atoms at R r, for a rotation R (3, 3)."""
        return replace(self, positions=self.positions @ rotation.to(self.positions).T)


def elements_of(model: AtomicModel, centre: np.ndarray, default_b_factor: float) -> list[ElementAtoms]:
    """Atoms of a model by element, in double precision.

    Parameters
    ----------
    model : AtomicModel
        All atoms.
    centre : numpy.ndarray, shape (3,)
        Point that becomes the origin, in Å.
    default_b_factor : float
        Of atoms whose own is not positive, which means not known.

    Raises
    ------
    InputError
        If an element has no scattering factor.
    """
    from .scattering import VOLT_SQUARE_ANGSTROM, gaussian_coefficients

    b_factors = np.where(model.b_factors > 0, model.b_factors, default_b_factor)
    found = []
    for element in np.unique(model.atomic_numbers):
        of = model.atomic_numbers == element
        a, b = gaussian_coefficients(int(element))
        arrays = (
            model.positions[of] - centre,
            b_factors[of],
            model.occupancies[of],
            np.stack([VOLT_SQUARE_ANGSTROM * a, b]),
        )
        found.append(ElementAtoms(*(torch.from_numpy(np.ascontiguousarray(each)) for each in arrays)))
    return found


def potential_of(elements: Sequence[ElementAtoms], n: int, pixel_size: float, b_factor: float = 0.0) -> torch.Tensor:
    r"""Potential in volts, band-limited to :math:`|k| \le (n-1)/2`; see `potential_map`.

    Parameters
    ----------
    elements : sequence of ElementAtoms
        All of one type and device.
    n : int
        Box size.
    pixel_size : float
        Å.
    b_factor : float
        Å², added to that of every atom.

    Returns
    -------
    torch.Tensor, shape (n, n, n)
        Axes (z, y, x).
    """
    box, like = n * pixel_size, elements[0].positions
    full, half = frequencies(n, like.device)
    squares = (full[:, None, None] ** 2 + full[:, None] ** 2 + half**2).to(like.dtype)
    spectrum = torch.zeros(squares.shape, dtype=like.dtype.to_complex(), device=like.device)
    for atoms in elements:
        a, b = (each.tolist() for each in atoms.coefficients)
        factor = sum(ai * torch.exp(squares * (-bi / (4 * box**2))) for ai, bi in zip(a, b, strict=True))
        spectrum += torch.fft.rfftn(_smeared_points(atoms, n, box, b_factor)) * factor
    spectrum[squares > ((n - 1) / 2) ** 2] = 0
    return torch.fft.irfftn(spectrum, s=(n, n, n)) / pixel_size**3


def _smeared_points(atoms: ElementAtoms, n: int, box: float, b_factor: float) -> torch.Tensor:
    r"""Points smeared by :math:`e^{-B |f|^2/4}`, band-limited to a cube: three axes' product each."""
    positions, like = atoms.positions, atoms.positions
    k = torch.arange((n - 1) // 2 + 1, device=like.device, dtype=like.dtype)
    voxels = torch.arange(n, device=like.device, dtype=like.dtype) - n // 2
    share = torch.where(k == 0, 1.0, 2.0).to(like.dtype) / n
    angle = 2 * torch.pi * torch.outer(k, voxels) / n
    waves = torch.cat([angle.cos(), angle.sin()])

    def axis(part: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        damping = torch.exp(-(b[:, None] + b_factor) * (k / box) ** 2 / 4) * share
        phase = 2 * torch.pi * part[:, None] * k / box
        return torch.cat([damping * phase.cos(), damping * phase.sin()], 1) @ waves

    volume = like.new_zeros(n, n * n)
    step = max(1, _BLOCK_BYTES // (like.element_size() * n * n))
    for start in range(0, len(positions), step):
        chosen = slice(start, start + step)
        x, y, z = (axis(positions[chosen, j], atoms.b_factors[chosen]) for j in range(3))
        planes = (y[:, :, None] * x[:, None, :]).reshape(-1, n * n)
        volume += (atoms.occupancies[chosen, None] * z).T @ planes
    return volume.reshape(n, n, n)
