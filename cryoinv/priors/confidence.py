r"""Confidence in a denoiser: rules that give :math:`\lambda` from the radial quantities of an iteration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch

from cryoinv.denoisers import PriorContext
from cryoinv.errors import InputError
from cryoinv.specs import nearest

__all__ = ["Confidence", "checked_confidence", "confidence_rule", "paper_confidence", "script_confidence"]

Confidence: TypeAlias = Callable[[PriorContext], "float | torch.Tensor"]
Table: TypeAlias = "torch.Tensor | Mapping[float, float] | Sequence[float] | Sequence[tuple[float, float]]"


def paper_confidence(resolution: float, coarse: float = 10.0, fine: float = 4.5) -> float:
    r"""Paper's rule, :math:`\lambda = \mathrm{clip}((c - d)/(c - f), 0, 1)` at a half-map resolution d.

    Parameters
    ----------
    resolution : float
        d, in Å.
    coarse, fine : float
        c and f, in Å: resolutions from which on there is no confidence, and full confidence.

    Returns
    -------
    float

    References
    ----------
    D. Kimanius et al. (2020), section 4.3.

    Examples
    --------
    >>> round(paper_confidence(9.8), 3), paper_confidence(12.0), paper_confidence(4.0)
    (0.036, 0.0, 1.0)
    """
    return min(max((coarse - resolution) / (coarse - fine), 0.0), 1.0)


def script_confidence(context: PriorContext) -> float:
    r"""Rule of the script that was released with the paper, which is not the paper's; for comparison only.

    A comparison in it is inverted, so that the resolution it looks at is the finest of the box and not that of the
    half-maps: :math:`\lambda = \mathrm{clip}(1.8 - 0.18\,d, 0, 1)` at :math:`d = 2p\,(1 + 2/n)` Å, with p the pixel
    size. That is 1 for pixels up to 2.2 Å whatever the half-maps say, unless their FSC is below 1/7 at the first
    shell already.

    Parameters
    ----------
    context : PriorContext
        Of the iteration.

    Returns
    -------
    float

    References
    ----------
    https://github.com/3dem/externprior (``exrecon_cwred.py``).

    Examples
    --------
    >>> script_confidence(PriorContext.nominal(96, 1.5, resolution=9.8))
    1.0
    """
    below = context.fsc < 1 / 7
    if not bool(below[0]) and bool(below[1]):
        return 0.0
    return min(max(1.8 - 0.18 * 2 * context.pixel_size * (1 + 2 / context.n), 0.0), 1.0)


def confidence_rule(rule: str | Confidence | Table, coarse: float = 10.0, fine: float = 4.5) -> Confidence:
    r"""Rule for :math:`\lambda` of what a user gives for one.

    Parameters
    ----------
    rule : str, callable, tensor, mapping or sequence
        ``"paper"`` (`paper_confidence`), ``"script"`` (`script_confidence`); any function of the `PriorContext` that
        returns a number or a tensor of n//2+1; a table of λ by shell, n//2+1 numbers; or a table of λ by the
        resolution in Å of the shell, as pairs or as text ``"20:1;8:0"``, linear in Å between its entries and constant
        beyond them.
    coarse, fine : float
        Of the paper's rule, in Å.

    Returns
    -------
    callable
        Function of a `PriorContext`; what it returns is to be checked by `checked_confidence`.

    Raises
    ------
    InputError
        If the rule is none of these, or a table's λ are not within [0, 1].

    Examples
    --------
    >>> confidence_rule("20:1;8:0")(PriorContext.nominal(8, 7.0, 12.0))
    tensor([1.0000, 1.0000, 1.0000, 0.8889, 0.5000], dtype=torch.float64)
    """
    if not coarse > fine > 0:
        raise InputError(f"coarse is {coarse} Å and fine {fine} Å, expected coarse to be the larger and both positive")
    if not (isinstance(rule, str) and rule == "paper") and (coarse, fine) != (10.0, 4.5):
        raise InputError("coarse and fine belong to the rule 'paper', another rule takes neither")
    if callable(rule):
        return rule
    if isinstance(rule, str):
        if rule == "paper":
            return lambda context: paper_confidence(context.resolution, coarse, fine)
        if rule == "script":
            return script_confidence
        if ":" not in rule:
            raise InputError(f"unknown rule {rule!r} for λ, {nearest(rule, ['paper', 'script'])}, or Å:λ;Å:λ...")
        rule = _pairs(rule)
    return _tabulated(rule)


def checked_confidence(found: float | torch.Tensor, context: PriorContext, name: str) -> torch.Tensor:
    r"""Turn a :math:`\lambda` into one number a shell.

    Parameters
    ----------
    found : float or torch.Tensor, shape () or (n//2+1,)
        λ.
    context : PriorContext
        Of the iteration.
    name : str
        What gave it, for messages.

    Returns
    -------
    torch.Tensor, shape (n//2+1,)
        In double precision, on the device of the context.

    Raises
    ------
    InputError
        If the shape is another or a value is not within [0, 1].
    """
    try:
        profile = torch.as_tensor(found, dtype=torch.float64, device=context.tau2.device)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"{name} gives a λ of type {type(found).__name__}, expected a number or a tensor") from None
    shells = context.n // 2 + 1
    if profile.shape not in ((), (shells,)):
        raise InputError(f"{name} gives λ of shape {tuple(profile.shape)}, expected a number or {shells} shells")
    _refuse_outside(profile, name)
    return profile.expand(shells)


def _refuse_outside(values: torch.Tensor, name: str) -> None:
    wrong = values[~((values >= 0) & (values <= 1))]  # NaN is neither
    if len(wrong):
        raise InputError(f"{name} gives λ = {float(wrong[0]):g}, expected a number within [0, 1]")


def _pairs(text: str) -> list[tuple[float, float]]:
    """Read ``"20:1;8:0"``."""
    try:
        return [(float(angstrom), float(value)) for angstrom, value in (p.split(":") for p in text.split(";"))]
    except ValueError:
        raise InputError(f"the table of λ is {text!r}, expected Å:λ;Å:λ...") from None


def _tabulated(table: Table) -> Confidence:
    try:
        entries = list(table.items()) if isinstance(table, Mapping) else table
        values = torch.as_tensor(entries, dtype=torch.float64).cpu()
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"the rule for λ is a {type(table).__name__}, expected a name, function or table") from None
    if values.ndim == 1 and len(values):
        _refuse_outside(values, "the table")
        return lambda context: values
    if values.ndim != 2 or values.shape[1] != 2 or not len(values):
        raise InputError(f"the table of λ has shape {tuple(values.shape)}, expected n//2+1 numbers or pairs of Å and λ")
    angstrom, found = values[values[:, 0].argsort()].T.numpy()
    if not (angstrom > 0).all() or len(set(angstrom)) < len(angstrom):
        raise InputError(f"the table of λ is for {angstrom.tolist()} Å, expected positive numbers, each once")
    _refuse_outside(torch.as_tensor(found), "the table")

    def by_resolution(context: PriorContext) -> torch.Tensor:
        shells = np.maximum(np.arange(context.n // 2 + 1), 1e-9)
        return torch.as_tensor(np.interp(context.n * context.pixel_size / shells, angstrom, found))

    return by_resolution
