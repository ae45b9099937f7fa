"""How strongly a denoised map enters the M-step of RED: amplitudes by FSC."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TypeAlias

import torch

from cryoinv.described import Described
from cryoinv.errors import InputError
from cryoinv.specs import nearest

__all__ = ["CALIBRATED_DATA", "CALIBRATED_DENOISER", "Amplitude", "FSCTable"]

FSCTable: TypeAlias = "float | str | Sequence[tuple[float, float]]"

# (end of the bin of FSC, value). Fitted once by least squares on pairs of half-maps and true maps that the denoiser, a
# small network whose target was FSC * truth, had not seen; below an FSC of 0.2 it is the Gaussian MAP estimate.
CALIBRATED_DATA: FSCTable = ((0.2, 1.0), (1.0, 0.0))
CALIBRATED_DENOISER: FSCTable = (
    (0.2, 0.0),
    (0.35, 4.0),
    (0.5, 2.6),
    (0.7, 1.85),
    (0.85, 1.4),
    (0.95, 1.14),
    (1.0, 1.0),
)
_KINDS = ("plain", "undamped", "mix")


class Amplitude(Described):
    r"""Gains a and b by shell of :math:`x = a\,x_{MAP} + b\,g f`, with g = 1 or :math:`\tau^{-2}/(K+\tau^{-2})`.

    Parameters
    ----------
    kind : {"plain", "undamped", "mix"}
        "plain": a = b = 1, with the damping g of eq. 17. "undamped": b = 1 / max(FSC, `floor`), with the same g. "mix":
        `a` and `b` as given, g = 1.
    floor : float
        Of "undamped".
    a, b : float, sequence of (float, float) or str, optional
        Of "mix": numbers, or values for bins of FSC with the ends of the bins in ascending order, in words
        ``"0.2:1;1:0"``; by default `CALIBRATED_DATA` and `CALIBRATED_DENOISER`.

    Raises
    ------
    InputError
        If the kind is unknown, a value does not suit, or an option belongs to another kind.

    Examples
    --------
    >>> Amplitude("mix").gains(torch.tensor([1.0, 0.9, 0.3, 0.1]))[1]
    tensor([1.1400, 1.1400, 4.0000, 0.0000], dtype=torch.float64)
    """

    def __init__(self, kind: str, floor: float = 0.2, a: FSCTable | None = None, b: FSCTable | None = None):
        if kind not in _KINDS:
            raise InputError(f"unknown amplitude {kind!r}, {nearest(str(kind), _KINDS)}")
        if not 0 < floor <= 1:
            raise InputError(f"floor is {floor}, expected a number above 0, at most 1")
        owned = (("floor", floor != 0.2, "undamped"), ("a", a is not None, "mix"), ("b", b is not None, "mix"))
        for option, is_given, owner in owned:
            if is_given and kind != owner:
                raise InputError(f"{option} belongs to the amplitude {owner!r}, {kind!r} does not take it")
        self.kind, self.floor = kind, float(floor)
        self.a = _checked_table("a", CALIBRATED_DATA if a is None else a)
        self.b = _checked_table("b", CALIBRATED_DENOISER if b is None else b)

    @property
    def is_damped(self) -> bool:
        r"""Whether the denoised map is damped by :math:`\tau^{-2}/(K+\tau^{-2})`, as eq. 17 has it."""
        return self.kind != "mix"

    def gains(self, fsc: torch.Tensor, resolution: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
        """Gains a and b of every shell, shapes (n//2+1,), in double precision; these do not go by the resolution."""
        # The zeroth shell is one coefficient, whose FSC is noise.
        fsc = torch.cat([fsc[1:2], fsc[1:]]).double().clamp(0, 1)
        if self.kind == "plain":
            return torch.ones_like(fsc), torch.ones_like(fsc)
        if self.kind == "undamped":
            return torch.ones_like(fsc), 1 / fsc.clamp(min=self.floor)
        return _looked_up(self.a, fsc), _looked_up(self.b, fsc)


def _checked_table(name: str, table: FSCTable) -> list[tuple[float, float]]:
    try:
        if isinstance(table, str):
            table = [(float(end), float(value)) for end, value in (pair.split(":") for pair in table.split(";"))]
        pairs = [(1.0, float(table))] if isinstance(table, (int, float)) else [(float(e), float(v)) for e, v in table]
    except (TypeError, ValueError):
        raise InputError(f"{name} is {table!r}, expected a number or pairs of an FSC and a value") from None
    ends = [end for end, _ in pairs]
    rising = all(first < second for first, second in itertools.pairwise(ends))
    if not (pairs and rising and ends[0] > 0 and all(abs(value) < float("inf") for _, value in pairs)):
        raise InputError(f"{name} is {table!r}, expected finite values for ascending FSC")
    return pairs


def _looked_up(table: list[tuple[float, float]], fsc: torch.Tensor) -> torch.Tensor:
    """Value of the first bin that ends above the FSC, or of the last."""
    ends, values = torch.tensor(table, dtype=fsc.dtype, device=fsc.device).T.contiguous()
    return values[torch.bucketize(fsc, ends, right=True).clamp(max=len(values) - 1)]
