"""Guard against denoisers that write the same features into both halves."""

from __future__ import annotations

import torch

from cryoinv.errors import InputError

__all__ = ["trust_factor"]


def trust_factor(
    fsc_denoised: torch.Tensor, fsc_unregularised: torch.Tensor, allowance: float = 0.05, window: int = 5
) -> torch.Tensor:
    r"""Part of the confidence in a denoiser that the half-maps leave, :math:`\mathrm{clip}((3a - e)/2a, 0, 1)`.

    A filter that acts on all coefficients of a shell alike leaves the FSC of two halves as it is: that is what the
    FSC of the unregularised halves predicts. The excess e over it of the FSC of the two denoised halves, averaged over
    a few shells, is what the denoiser put into both. There is full trust up to the allowance a, none from 3a on.

    Both curves are to be taken under the same mask, such as the particle's sphere: a sphere that only the denoised
    halves have raises their FSC by about 0.1 and invents nothing. On simulated halves with known truth the excess was
    about 0.01 for the Gaussian MAP estimate and 0.13 to 0.15 for a small network where it inflated. A denoiser that
    finds the solvent within the mask exceeds the prediction by right, and so does one that is right otherwise: the
    guard cannot tell, and may only lower λ. Of a denoiser with a calibration the prediction is what held-out maps of
    like resolution came to (`Prior.expected_excess`).

    Parameters
    ----------
    fsc_denoised, fsc_unregularised : torch.Tensor, shape (n//2+1,)
        FSC of the two denoised half-maps and of the two unregularised ones, under the same mask or none.
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
        If shapes differ, a value is not finite, `allowance` is not positive or `window` is not odd.

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
    excess = fsc_denoised.double() - fsc_unregularised.to(fsc_denoised.device).double()
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
