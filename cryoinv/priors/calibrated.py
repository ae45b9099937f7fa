"""What held-out maps told of a denoiser: tables by resolution of the map and FSC of the shell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from cryoinv.errors import InputError

from .amplitude import Amplitude

__all__ = ["CalibratedAmplitude", "calibrated_curve"]


class CalibratedAmplitude(Amplitude):
    r"""Gains a and b of :math:`x = a\,x_{MAP} + b\,f` from a network's calibration, see `calibrated_curve`.

    Parameters
    ----------
    calibration : mapping
        ``resolution_ends`` in Å and ``fsc_ends``, ascending, and ``a`` and ``b``, a row a bin of resolution and a
        number a bin of FSC; see `training.Calibration`.

    Raises
    ------
    InputError
        If the tables are not of this kind.

    Examples
    --------
    >>> tables = {"a": [[1, 0.5], [1, 1]], "b": [[0, 1], [0, 0]]}
    >>> amplitude = CalibratedAmplitude({"resolution_ends": [10, 1e9], "fsc_ends": [0.5, 1], **tables})
    >>> a, b = amplitude.gains(torch.tensor([1.0, 0.9, 0.1]), resolution=8.0)
    >>> a.tolist(), b.tolist()
    ([0.5, 0.5, 1.0], [1.0, 1.0, 0.0])
    """

    def __init__(self, calibration: Mapping[str, Any]):
        super().__init__("mix")
        self._calibration = calibration
        for name in ("a", "b"):
            _checked(calibration, name)

    def gains(self, fsc: torch.Tensor, resolution: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
        """Gains a and b of every shell, shapes (n//2+1,), in double precision.

        Parameters
        ----------
        fsc : torch.Tensor, shape (n//2+1,)
            Half-map FSC.
        resolution : float
            Of the half-maps, in Å: which row of the tables counts.
        """
        a, b = (calibrated_curve(self._calibration, name, fsc, resolution) for name in ("a", "b"))
        return a, b


def calibrated_curve(
    calibration: Mapping[str, Any], name: str, fsc: torch.Tensor, resolution: float
) -> torch.Tensor:
    """Value of a calibration's table for every shell, linear between the middles of its bins of FSC.

    Parameters
    ----------
    calibration : mapping
        See `training.Calibration`.
    name : str
        Of the table.
    fsc : torch.Tensor, shape (n//2+1,)
        Half-map FSC; the zeroth shell, a single coefficient, is taken to be as the first.
    resolution : float
        Å.

    Returns
    -------
    torch.Tensor, shape (n//2+1,), float64

    Raises
    ------
    InputError
        If there is no such table, or it does not fit its bins.
    """
    resolutions, ends, table = _checked(calibration, name)
    row = int(torch.bucketize(resolution, resolutions).clamp(max=len(resolutions) - 1))
    fsc = torch.cat([fsc[1:2], fsc[1:]]).double().clamp(0, 1)
    starts = torch.cat([torch.zeros(1, dtype=torch.float64), ends[:-1]])
    places, values = ((starts + ends) / 2).to(fsc.device), table[row].to(fsc.device)
    if len(places) == 1:
        return values.expand_as(fsc)
    high = torch.bucketize(fsc, places).clamp(1, len(places) - 1)
    share = ((fsc - places[high - 1]) / (places[high] - places[high - 1])).clamp(0, 1)
    return torch.lerp(values[high - 1], values[high], share)


def _checked(calibration: Mapping[str, Any], name: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ends of both bins and the table."""
    try:
        resolutions, fscs, table = (
            torch.tensor(calibration[key], dtype=torch.float64) for key in ("resolution_ends", "fsc_ends", name)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the calibration lacks or mistakes {error}, expected tables by resolution and FSC") from None
    fits = resolutions.ndim == fscs.ndim == 1 and table.shape == (len(resolutions), len(fscs))
    if not (fits and bool(table.isfinite().all()) and all(bool((e[1:] > e[:-1]).all()) for e in (resolutions, fscs))):
        raise InputError(f"the calibration's table {name!r} does not fit its bins, expected finite numbers")
    return resolutions, fscs, table
