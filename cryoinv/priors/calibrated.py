"""Amplitudes that held-out maps told: by resolution of the map and FSC of the shell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from cryoinv.errors import InputError

from .amplitude import Amplitude

__all__ = ["CalibratedAmplitude"]

_TABLES = ("a", "b")


class CalibratedAmplitude(Amplitude):
    r"""Gains a and b of :math:`x = a\,x_{MAP} + b\,f` from a network's calibration, between its bins by interpolation.

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
        self._resolution_ends, self._fsc_ends, self._tables = _checked(calibration)

    def gains(self, fsc: torch.Tensor, resolution: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
        """Gains a and b of every shell, shapes (n//2+1,), in double precision.

        Parameters
        ----------
        fsc : torch.Tensor, shape (n//2+1,)
            Half-map FSC.
        resolution : float
            Of the half-maps, in Å: which row of the tables counts.
        """
        row = int(torch.bucketize(resolution, self._resolution_ends).clamp(max=len(self._resolution_ends) - 1))
        fsc = torch.cat([fsc[1:2], fsc[1:]]).double().clamp(0, 1)
        starts = torch.cat([torch.zeros(1, dtype=torch.float64), self._fsc_ends[:-1]])
        centres = ((starts + self._fsc_ends) / 2).to(fsc.device)
        a, b = (_interpolated(centres, table[row].to(fsc.device), fsc) for table in self._tables)
        return a, b


def _interpolated(places: torch.Tensor, values: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """Piecewise linear through (places, values), constant beyond the first and the last."""
    if len(places) == 1:
        return values.expand_as(at)
    high = torch.bucketize(at, places).clamp(1, len(places) - 1)
    share = ((at - places[high - 1]) / (places[high] - places[high - 1])).clamp(0, 1)
    return torch.lerp(values[high - 1], values[high], share)


def _checked(calibration: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    try:
        resolutions, fscs, *tables = (
            torch.tensor(calibration[key], dtype=torch.float64) for key in ("resolution_ends", "fsc_ends", *_TABLES)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the calibration lacks or mistakes {error}, expected tables by resolution and FSC"
        ) from None
    shape = (len(resolutions), len(fscs)) if resolutions.ndim == fscs.ndim == 1 else ()
    fits = bool(shape) and all(tuple(table.shape) == shape and bool(table.isfinite().all()) for table in tables)
    rising = fits and all(bool((ends[1:] > ends[:-1]).all()) for ends in (resolutions, fscs))
    if not rising:
        raise InputError(
            "the calibration's tables do not fit its bins, expected finite numbers for ascending ends"
        )
    return resolutions, fscs, tables
