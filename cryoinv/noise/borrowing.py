"""Power of shells that hold too few coefficients to tell it by themselves."""

from __future__ import annotations

import torch

from .residuals import ResidualPower

__all__ = ["borrowed_power"]

_ENOUGH = 50.0  # real coefficients: the power is then known to sqrt(2 / 50), a fifth


def borrowed_power(residuals: ResidualPower, enough: float = _ENOUGH) -> torch.Tensor:
    r"""Mean power per optics group and shell, completed from elsewhere where a shell has too few coefficients.

    A shell with :math:`c` real coefficients of total power :math:`P` gets :math:`(P + (e - c)_+\,\pi)/\max(c, e)`: what
    it lacks of e coefficients has the expected power :math:`\pi`, that of all groups' particles together at the same
    shell (and its neighbours, where these are few as well) times the group's own level. Shells with enough
    coefficients are left as they are.

    Parameters
    ----------
    residuals : ResidualPower
        Sums and counts, (groups, shells).
    enough : float
        e, a number of real coefficients.

    Returns
    -------
    torch.Tensor, shape (groups, shells), float64

    Examples
    --------
    >>> one = ResidualPower(torch.tensor([[0.0, 80.0, 160.0]]), torch.tensor([[1.0, 40.0, 80.0]]))
    >>> [round(power, 2) for power in borrowed_power(one)[0].tolist()]
    [1.95, 2.0, 2.0]
    """
    total, count = residuals.total, residuals.count
    everyone = _widened(total.sum(0), count.sum(0), enough)
    expected = _level(total, count, everyone)[:, None] * everyone
    lacking = (enough - count).clamp(min=0)
    completed = (total + lacking * expected) / (count + lacking)
    return torch.where(lacking > 0, completed, residuals.mean())


def _level(total: torch.Tensor, count: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
    """Each group's factor on a common power spectrum; 1 without particles.

    Every coefficient counts alike, but for that at zero frequency, which the normalisation of images sets at will.
    """
    inside = (power > 0) & (torch.arange(len(power)) > 0)
    seen = count[:, inside].sum(1)
    ratio = (total[:, inside] / power[inside]).sum(1) / seen.clamp(min=1e-300)
    return torch.where(seen > 0, ratio, 1.0)


def _widened(total: torch.Tensor, count: torch.Tensor, enough: float) -> torch.Tensor:
    """Mean power per shell, over as many neighbours on either side as it takes to have enough coefficients."""
    power = torch.zeros_like(total)
    for shell in range(len(total)):
        reach, around = 0, slice(shell, shell + 1)
        while count[around].sum() < enough and reach < len(total):
            reach += 1
            around = slice(max(0, shell - reach), shell + reach + 1)
        power[shell] = total[around].sum() / count[around].sum().clamp(min=1e-300)
    return power
