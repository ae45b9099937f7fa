"""Guard against denoisers that write the same features into both halves."""

from __future__ import annotations

import torch

from cryoinv.errors import InputError

__all__ = ["trust_factor"]


def trust_factor(
    fsc_denoised: torch.Tensor,
    fsc_unregularised: torch.Tensor,
    filled: float = 1.0,
    allowance: float = 0.05,
    window: int = 5,
) -> torch.Tensor:
    r"""Part of the confidence in a denoiser that the half-maps leave, :math:`\mathrm{clip}((3a - e)/2a, 0, 1)`.

    A filter that acts on all coefficients of a shell alike leaves the FSC of two halves as it is, and one that
    clears the box but for the part v that the particle fills leaves that part of the noise. With F the FSC of the
    unregularised halves the prediction is :math:`F / (F + v (1 - F))`. The excess e over it of the FSC of the two
    denoised halves, averaged over a few shells, is what the denoiser put into both. There is full trust up to the
    allowance a, none from 3a on.

    With v = 1, on simulated halves with known truth, the excess was about 0.01 for the Gaussian MAP estimate and
    0.13 to 0.15 for a small network where it inflated; but a sphere around the particle, which invents nothing, had
    0.1 as well. A denoiser that finds the solvent better than v says exceeds the prediction by right: the guard
    cannot tell, and may only lower λ.

    Parameters
    ----------
    fsc_denoised, fsc_unregularised : torch.Tensor, shape (n//2+1,)
        FSC of the two denoised half-maps, and of the unregularised, unmasked ones.
    filled : float
        v, above 0 and at most 1: the mean square of the mask that is known to hold the particle, such as its sphere.
    allowance : float
        a.
    window : int
        Shells to average over, an odd number; the zeroth shell, a single coefficient, is left out.

    Returns
    -------
    torch.Tensor, shape (n//2+1,)
        From 0 to 1, in double precision.

    Raises
    ------
    InputError
        If shapes differ, a value is not finite, `filled` is not within (0, 1], `allowance` is not positive or `window`
        is not odd.

    Examples
    --------
    >>> unregularised = torch.linspace(1, 0, 9)
    >>> trust_factor(unregularised + 0.1 * (torch.arange(9) > 4), unregularised).round(decimals=2)
    tensor([1.0000, 1.0000, 1.0000, 1.0000, 1.0000, 0.9000, 0.7000, 0.5000, 0.5000], dtype=torch.float64)
    """
    if fsc_denoised.shape != fsc_unregularised.shape or fsc_denoised.ndim != 1 or len(fsc_denoised) < 2:
        shapes = tuple(fsc_denoised.shape), tuple(fsc_unregularised.shape)
        raise InputError(f"FSC curves of shapes {shapes[0]} and {shapes[1]}, expected n//2+1 shells each")
    if not allowance > 0 or window < 1 or window % 2 == 0:
        raise InputError(f"allowance is {allowance} and window {window}, expected a positive and an odd number")
    if not 0 < filled <= 1:
        raise InputError(f"filled is {filled}, expected a number above 0, at most 1")
    before = fsc_unregularised.to(fsc_denoised.device).double()
    predicted = torch.where(before > 0, before / (before + filled * (1 - before)), before)
    excess = fsc_denoised.double() - predicted
    if not bool(torch.isfinite(excess).all()):
        raise InputError("FSC curves with values that are not finite")
    kernel = torch.ones(1, 1, window, dtype=excess.dtype, device=excess.device)
    sums, counts = (
        torch.nn.functional.conv1d(values[None, None, 1:], kernel, padding=window // 2)[0, 0]
        for values in (excess, torch.ones_like(excess))
    )
    smooth = sums / counts
    smooth = torch.cat([smooth[:1], smooth])
    return ((3 * allowance - smooth) / (2 * allowance)).clamp(0, 1)
