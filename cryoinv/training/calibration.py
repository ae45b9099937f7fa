r"""How much a denoiser is to be believed, shell by shell, as held-out maps tell.

Of half-maps with known truth the coefficients a and b are found that make :math:`a\,x_{MAP} + b\,f` come closest to
the truth in shells of like FSC and maps of like resolution; where few shells speak they stay near the Gaussian MAP
estimate, a = 1, b = 0.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch

from cryoinv.denoisers import solvent_mask
from cryoinv.metrics import fourier_shell_correlation
from cryoinv.networks import apply_denoising, read_network, write_network
from cryoinv.networks.apply import filtered
from cryoinv.operators import soft_sphere
from cryoinv.spaces.spectrum import centred_rfft, radial_mean

from .held_out import context_of
from .pairs import Pairs

__all__ = ["FSC_ENDS", "RESOLUTION_ENDS", "Calibration", "recalibrate"]

FSC_ENDS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 0.95, 0.99, 1.0)
"""Ends of the bins of the filter W that the network is given."""

RESOLUTION_ENDS = (8.0, 10.0, 13.0, 17.0, 1e9)
"""Ends of the bins of half-map resolution in Å, finest first."""

_EDGE = 5.0  # voxels of the particle's sphere
_PRIOR_SHELLS = 2.0  # so many shells' worth of belief in the Gaussian MAP estimate


@dataclass
class Calibration:
    """Sums over shells of held-out maps, and the coefficients that follow from them.

    Parameters
    ----------
    denoise : callable
        From maps (m, n, n, n) and Wiener filters (m, n//2+1) to denoised maps.
    """

    denoise: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    _sums: torch.Tensor = field(init=False)
    _excess: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        # <M,M>, <M,f>, <f,f>, <M,t>, <f,t>, <t,t> and the number of shells, by resolution and FSC.
        self._sums = torch.zeros(len(RESOLUTION_ENDS), len(FSC_ENDS), 7, dtype=torch.float64)
        # FSC of two denoised halves less that of the halves, and the number of shells.
        self._excess = torch.zeros(len(RESOLUTION_ENDS), len(FSC_ENDS), 2, dtype=torch.float64)

    def add(self, pairs: Pairs) -> None:
        """Take both halves of data sets, one after the other, with their truth.

        All are compared inside the automatic solvent mask, as the learned prior reports them, so that nothing is put
        down to the network that a mask does. Every shell counts alike: it is divided by the truth's power in it. Shells
        that hold no truth say nothing.
        """
        found = self.denoise(pairs.noisy, pairs.transfer).cpu()
        pairs = pairs.to(torch.device("cpu"))
        ends, transfer = torch.tensor(RESOLUTION_ENDS, dtype=torch.float64), pairs.transfer
        for i in range(len(pairs)):
            context = context_of(pairs, i)
            mapped = gaussian_map(pairs.noisy[i], context.fsc, pairs.radii[i] / pairs.pixel_size)
            row = int(torch.bucketize(context.resolution, ends).clamp(max=len(ends) - 1))
            sphere = soft_sphere(pairs.n, pairs.radii[i] / pairs.pixel_size, _EDGE)
            mask = solvent_mask(pairs.noisy[i], context)
            self._add_map(row, transfer[i], mask * mapped, mask * found[i], sphere * pairs.truth[i])
            if i % 2:
                plain, denoised = (
                    _fsc(sphere * each[i - 1 : i + 1]) for each in (pairs.noisy, found)
                )
                self._add_agreement(row, transfer[i], denoised - plain, found[i])

    def _add_map(
        self, row: int, fsc: torch.Tensor, mapped: torch.Tensor, found: torch.Tensor, truth: torch.Tensor
    ) -> None:
        n = len(truth)
        m, f, t = (centred_rfft(each.double()) for each in (mapped, found, truth))
        products = (m * m.conj(), m * f.conj(), f * f.conj(), m * t.conj(), f * t.conj(), t * t.conj())
        sums = torch.stack([radial_mean(each.real, n) for each in products], 1)
        power = sums[:, 5]
        shells = torch.arange(1, (n - 1) // 2 + 1)
        shells = shells[power[shells] > 1e-9 * power.max()]
        columns = _columns(fsc[shells])
        terms = torch.cat([sums[shells] / power[shells, None], torch.ones(len(shells), 1, dtype=torch.float64)], 1)
        self._sums[row].index_add_(0, columns, terms)

    def _add_agreement(self, row: int, fsc: torch.Tensor, excess: torch.Tensor, found: torch.Tensor) -> None:
        power = radial_mean(centred_rfft(found).abs() ** 2, len(found))
        shells = torch.arange(1, (len(found) - 1) // 2 + 1)
        shells = shells[power[shells] > 1e-9 * power.max()]  # beyond them it was filtered away
        terms = torch.stack([excess[shells], torch.ones(len(shells))], 1).double()
        self._excess[row].index_add_(0, _columns(fsc[shells]), terms)

    def solved(self) -> dict[str, Any]:
        """Coefficients by resolution and FSC, what JSON can hold: as a network's file keeps them.

        Returns
        -------
        dict
            ``resolution_ends``, ``fsc_ends``; ``a``, ``b`` and ``gain``, the part by which the mix brings the error of
            the Gaussian MAP estimate down, of every bin; ``excess``, by how much the FSC of two denoised halves exceeds
            that of the halves, inside the sphere; ``shells``, how many spoke.
        """
        mm, mf, ff, mt, ft, tt, count = self._sums.unbind(-1)
        before = (mm - 2 * mt + tt).clamp(min=0)
        # Least squares with a belief of variance one about a = 1, b = 0: in units of the errors of a few shells.
        belief = _PRIOR_SHELLS * before / count.clamp(min=1) + 1e-12
        determinant = (mm + belief) * (ff + belief) - mf**2
        right_a, right_b = mt + belief, ft
        a = ((ff + belief) * right_a - mf * right_b) / determinant
        b = ((mm + belief) * right_b - mf * right_a) / determinant
        error = a**2 * mm + b**2 * ff + 2 * a * b * mf - 2 * a * mt - 2 * b * ft + tt
        gain = torch.where(before > 0, 1 - error / before.clamp(min=1e-300), 0.0)
        excess = self._excess[..., 0] / self._excess[..., 1].clamp(min=1)
        tables = {"a": a, "b": b, "gain": gain, "excess": excess}
        return {
            "resolution_ends": list(RESOLUTION_ENDS),
            "fsc_ends": list(FSC_ENDS),
            **{name: [[round(float(v), 4) for v in row] for row in table] for name, table in tables.items()},
            "shells": [[int(v) for v in row] for row in count],
        }


def _fsc(halves: torch.Tensor) -> torch.Tensor:
    return fourier_shell_correlation(halves[0], halves[1])


def _columns(fsc: torch.Tensor) -> torch.Tensor:
    """Bins of FSCs."""
    return torch.bucketize(fsc.clamp(0, 1), torch.tensor(FSC_ENDS, dtype=fsc.dtype)).clamp(max=len(FSC_ENDS) - 1)


def recalibrate(
    path: str | os.PathLike[str], output: str | os.PathLike[str], pairs: Iterable[Pairs], about: str
) -> dict[str, Any]:
    """Write a network's file again with the calibration that other maps give.

    Parameters
    ----------
    path : str or path-like
        What `networks.write_network` wrote.
    output : str or path-like
        The new file.
    pairs : iterable of Pairs
        Maps that the network has not learned from, of the kind it is to be applied to.
    about : str
        What maps these are, for the card.

    Returns
    -------
    dict
        The calibration.

    Raises
    ------
    InputError
        If the file cannot be read or written.
    """
    network, metadata = read_network(path, "denoiser")

    def denoise(maps: torch.Tensor, transfer: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return apply_denoising(network.to(maps.device), maps, transfer)

    calibration = Calibration(denoise)
    for each in pairs:
        calibration.add(each)
    found = calibration.solved()
    network = network.cpu()
    notes = {**metadata["notes"], "calibration": found, "calibrated_on": about}
    write_network(output, network, metadata["pixel_sizes"], notes)
    return found


def gaussian_map(noisy: torch.Tensor, fsc: torch.Tensor, radius: float) -> torch.Tensor:
    r"""Gaussian MAP estimate of a half-map, as eq. 11 gives it: every shell times :math:`F / (F + v(1 - F))`.

    It is :math:`\tau^2K/(1+\tau^2K)` with the volume-normalised :math:`\tau^2K = F/((1-F)v)`, v the mean square of the
    particle's sphere.

    Parameters
    ----------
    noisy : torch.Tensor, shape (n, n, n)
        Unregularised half-map.
    fsc : torch.Tensor, shape (n//2+1,)
        F.
    radius : float
        Of the sphere, in voxels.
    """
    n = len(noisy)
    share = float((soft_sphere(n, radius, _EDGE) ** 2).mean())
    clipped = fsc.clamp(1e-3, 0.999)
    return filtered((clipped / (clipped + share * (1 - clipped))).to(noisy), noisy)
