"""From an FSC curve to a resolution."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cryoinv.errors import InputError


@dataclass(frozen=True)
class Resolution:
    """Where an FSC curve falls below a threshold.

    Parameters
    ----------
    angstrom : float
        Resolution in Å, ``n * pixel_size / shell``.
    shell : float
        The (interpolated) shell.
    reached_nyquist : bool
        True if the curve never falls below the threshold: the resolution is the Nyquist's or better.
    """

    angstrom: float
    shell: float
    reached_nyquist: bool

    def __str__(self) -> str:
        return f"{self.angstrom:.2f} Å" + (" (Nyquist)" if self.reached_nyquist else "")


def resolution_at(
    fsc: Tensor | NDArray[np.floating], threshold: float, n: int, pixel_size: float
) -> Resolution:
    """Return where the FSC first crosses a threshold downwards, linearly interpolated between shells.

    The rule, in full:

    - Shell 0 is ignored.
    - Shells 1 to 3 hold so few coefficients (and, under a CTF, so little signal) that a curve may begin below
      the threshold by chance: it is followed from the first of them that reaches the threshold. If none does,
      nothing is resolved and the resolution is the largest scale, shell 1: ``n * pixel_size``.
    - From there the first shell below the threshold ends it; the crossing is interpolated between that shell
      and the one before. Whatever rises again beyond is not counted.
    - A curve that never falls below has ``reached_nyquist``: shell ``n / 2``, ``2 * pixel_size``.

    Parameters
    ----------
    fsc : array_like, shape (n//2 + 1,)
        FSC of shells 0 to ``n//2``.
    threshold : float
        For example 0.143 between half-maps, 0.5 against the truth.
    n : int
        Box size.
    pixel_size : float
        Å.

    Returns
    -------
    Resolution

    Raises
    ------
    InputError
        If the curve has another length, holds a value that is not finite, or the pixel size is not positive.

    References
    ----------
    Rosenthal, Henderson (2003), J. Mol. Biol. 333, 721 (0.143 and 0.5).

    Examples
    --------
    >>> resolution_at(np.array([1.0, 1.0, 0.8, 0.2, 0.1]), 0.5, n=8, pixel_size=2.0)
    Resolution(angstrom=6.4, shell=2.5, reached_nyquist=False)
    >>> str(resolution_at(np.ones(5), 0.143, n=8, pixel_size=2.0))
    '4.00 Å (Nyquist)'
    """
    curve = np.asarray(fsc.detach().cpu() if isinstance(fsc, Tensor) else fsc, dtype=np.float64)
    if curve.shape != (n // 2 + 1,) or n < 2:
        raise InputError(f"an FSC curve of box {n} has {n // 2 + 1} shells, found shape {curve.shape}")
    if not np.isfinite(curve).all():
        raise InputError(f"the FSC curve is not finite at shell {int(np.argmin(np.isfinite(curve)))}")
    if not 0 < pixel_size < np.inf:
        raise InputError(f"a pixel size in Å must be positive, found {pixel_size}")
    above = curve >= threshold
    begun = np.flatnonzero(above[1:4]) + 1
    if not len(begun):
        return Resolution(float(n * pixel_size), 1.0, False)
    below = np.flatnonzero(~above[begun[0] :]) + begun[0]
    if not len(below):
        return Resolution(float(2 * pixel_size), n / 2, True)
    last = below[0] - 1
    shell = float(last + (curve[last] - threshold) / (curve[last] - curve[last + 1]))
    return Resolution(float(n * pixel_size / shell), shell, False)
