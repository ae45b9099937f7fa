"""Distribution of the microscope's optics over simulated particles."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cryoinv.errors import InputError
from cryoinv.operators import ctf_values


@dataclass(frozen=True)
class CtfDistribution:
    """One optics group, with a defocus drawn for every particle.

    The mean defocus is uniform between the two bounds, the astigmatism ``defocus_u - defocus_v`` uniform
    between 0 and its bound, and the angle of `defocus_u` uniform between 0 and 180 degrees.

    Parameters
    ----------
    defocus_min, defocus_max : float
        Bounds of the mean defocus in Å; positive is underfocus.
    astigmatism_max : float
        Largest astigmatism in Å.
    voltage : float
        In kV.
    spherical_aberration : float
        In mm.
    amplitude_contrast : float
        Fraction.

    Raises
    ------
    InputError
        If the bounds are not ordered, or the astigmatism is negative.

    Examples
    --------
    >>> CtfDistribution().draw(3, np.random.default_rng(0)).shape
    (3, 3)
    """

    defocus_min: float = 10_000.0
    defocus_max: float = 30_000.0
    astigmatism_max: float = 400.0
    voltage: float = 300.0
    spherical_aberration: float = 2.7
    amplitude_contrast: float = 0.1

    def __post_init__(self) -> None:
        """Check the bounds."""
        if not (self.defocus_min <= self.defocus_max and self.astigmatism_max >= 0):
            raise InputError(
                f"defocus from {self.defocus_min:g} to {self.defocus_max:g} Å with astigmatism up to "
                f"{self.astigmatism_max:g} Å: expected ordered bounds and no negative astigmatism"
            )

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Defocus of every particle; the first ones do not depend on `count`.

        Parameters
        ----------
        count : int
            Number of particles m.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        ndarray, shape (m, 3)
            ``defocus_u``, ``defocus_v`` in Å and the angle of ``defocus_u`` in degrees.
        """
        mean, astigmatism, angle = rng.random((count, 3)).T
        mean = self.defocus_min + (self.defocus_max - self.defocus_min) * mean
        half = self.astigmatism_max * astigmatism / 2
        return np.stack([mean + half, mean - half, 180 * angle], axis=1)

    def values(self, n: int, pixel_size: float, defocus: NDArray[np.float64]) -> torch.Tensor:
        """CTF of particles with the given defocus on the half-spectrum, as `cryoinv.operators.ctf_values`.

        Parameters
        ----------
        n : int
            Box size.
        pixel_size : float
            In Å.
        defocus : ndarray, shape (m, 3)
            As from `draw`.

        Returns
        -------
        torch.Tensor, shape (m, n, n//2 + 1)
        """
        u, v, angle = np.asarray(defocus).T
        microscope = (self.voltage, self.spherical_aberration, self.amplitude_contrast)
        return ctf_values(n, pixel_size, u, v, angle, *microscope)
