"""All checks of a denoiser at once."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from cryoinv.errors import InputError

from .denoiser_checks import (
    MmseConsistency,
    applied,
    derivative_error,
    homogeneity_error,
    jacobian_asymmetry,
    lipschitz_estimate,
    mmse_consistency,
    offset_error,
    relative_norm,
    rotation_error,
    scale_error,
)

__all__ = ["DenoiserReport", "check_denoiser"]

_MEANINGS = {
    "error": "|f(y) - x| / |x|",
    "noisy_error": "|y - x| / |x|",
    "jacobian_asymmetry": "0: gradient of a function; 1.41: far from it",
    "derivative_error": "0: automatic derivative right; -: there is none",
    "homogeneity_error": "0: J x = f(x)",
    "lipschitz": "up to 1: nonexpansive, as far as found",
    "scale_error": "0: any grey scale",
    "offset_error": "0: any grey level",
    "rotation_error": "0: any frame",
}


@dataclass(frozen=True)
class DenoiserReport:
    """What `check_denoiser` finds.

    Parameters
    ----------
    error : float
        Relative distance ``|f(y) - x| / |x|`` of the denoised map from the clean one.
    noisy_error : float
        That of the noisy map.
    jacobian_asymmetry : float
        See `jacobian_asymmetry`.
    derivative_error : float
        See `derivative_error`; NaN where torch cannot differentiate the denoiser.
    homogeneity_error : float
        See `homogeneity_error`.
    lipschitz : float
        See `lipschitz_estimate`.
    scale_error : float
        See `scale_error`.
    offset_error : float
        See `offset_error`.
    rotation_error : float
        See `rotation_error`.
    mmse : MmseConsistency
        See `mmse_consistency`.
    """

    error: float
    noisy_error: float
    jacobian_asymmetry: float
    derivative_error: float
    homogeneity_error: float
    lipschitz: float
    scale_error: float
    offset_error: float
    rotation_error: float
    mmse: MmseConsistency

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and dictionaries for JSON; None stands for what there is not."""
        return _plain(asdict(self))

    def __str__(self) -> str:
        rows = [(key.replace("_", " "), getattr(self, key), meaning) for key, meaning in _MEANINGS.items()]
        rows.append(("orthogonality", self.mmse.orthogonality, "0: conditional mean; above: damped too much"))
        for (first, last), slope in zip(self.mmse.shells, self.mmse.slopes, strict=True):
            rows.append((f"slope, shells {first}-{last}", slope, "1: conditional mean"))
        return "\n".join(f"{name:<22}{_number(value):>10}   {meaning}" for name, value, meaning in rows)


def check_denoiser(
    f: Any, clean: Tensor, noisy: Tensor, probes: int = 8, bands: int = 4, seed: int = 0
) -> DenoiserReport:
    """Measure what is assumed of a denoiser, at a noisy map of known truth.

    Parameters
    ----------
    f : callable or object with ``apply``
        The denoiser on tensors, for example one of `cryoinv.denoisers` bound to a space and a context.
    clean : Tensor, shape (n, n, n)
        Truth x, in the grey scale of `noisy`.
    noisy : Tensor, shape (n, n, n)
        Noisy map y, at which everything is measured; in double precision if f can take it.
    probes : int
        Random directions for the Jacobian's asymmetry.
    bands : int
        Bands of shells for the MMSE consistency.
    seed : int
        Of the random directions.

    Returns
    -------
    DenoiserReport
        ``print`` shows it as a table. The Jacobian is measured by finite differences where the automatic derivative
        is not that of f.

    Raises
    ------
    InputError
        If the shapes differ.

    Examples
    --------
    >>> generator = torch.manual_seed(0)
    >>> x = torch.randn(8, 8, 8, generator=generator, dtype=torch.float64)
    >>> y = x + torch.randn(8, 8, 8, generator=generator, dtype=torch.float64)
    >>> report = check_denoiser(lambda y: 0.5 * y, x, y)
    >>> report.jacobian_asymmetry, round(report.lipschitz, 6), round(report.offset_error, 6)
    (0.0, 0.5, 0.5)
    """
    if clean.shape != noisy.shape:
        raise InputError(f"the clean map has shape {tuple(clean.shape)}, the noisy one {tuple(noisy.shape)}")
    with torch.no_grad():
        estimate = applied(f)(noisy)
    off = derivative_error(f, noisy, seed=seed)
    return DenoiserReport(
        error=relative_norm(estimate - clean, clean),
        noisy_error=relative_norm(noisy - clean, clean),
        jacobian_asymmetry=jacobian_asymmetry(f, noisy, probes, seed, automatic=off < 0.01),
        derivative_error=off,
        homogeneity_error=homogeneity_error(f, noisy),
        lipschitz=lipschitz_estimate(f, noisy, seed=seed),
        scale_error=scale_error(f, noisy),
        offset_error=offset_error(f, noisy),
        rotation_error=rotation_error(f, noisy),
        mmse=mmse_consistency(estimate, clean, bands),
    )


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1e}" if 0 < abs(value) < 5e-4 else f"{value:.3f}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
