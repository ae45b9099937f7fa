"""Gaussian atoms, their maps and projections in closed form: what the simulator is tested against."""

import numpy as np

from cryoinv.io import AtomicModel
from cryoinv.simulation.scattering import VOLT_SQUARE_ANGSTROM, gaussian_coefficients


def tiny_model(b_factor=1200.0, atoms=10, seed=0, spread=7.0):
    """A lopsided handful of atoms, so broad that the grid resolves them fully."""
    rng = np.random.default_rng(seed)
    positions = rng.normal(size=(atoms, 3)) * [spread, spread / 2, spread / 3] + 40.0
    numbers = rng.choice([6, 7, 8, 16], atoms)
    b_factors = b_factor * rng.uniform(1.0, 1.1, atoms)
    return AtomicModel(positions, numbers, b_factors, rng.uniform(0.5, 1.0, atoms), "tiny")


def gaussian_sum(centres, model, grid, b_factor=0.0):
    """Potential, integrated over the axes that are not in `grid`; grid (..., d), centres (N, d)."""
    total = 0.0
    rows = zip(centres, model.atomic_numbers, model.b_factors + b_factor, model.occupancies, strict=True)
    for centre, number, b, occupancy in rows:
        squares = ((grid - centre) ** 2).sum(axis=-1)
        for amplitude, width in zip(*gaussian_coefficients(int(number)), strict=True):
            w = width + b
            height = amplitude * (4 * np.pi / w) ** (grid.shape[-1] / 2)
            total = total + occupancy * height * np.exp(-4 * np.pi**2 * squares / w)
    return VOLT_SQUARE_ANGSTROM * total


def grid(n, pixel_size, ndim):
    """Coordinates (x, y[, z]) in Å of the points of a centred grid with axes ([z,] y, x)."""
    axis = (np.arange(n) - n // 2) * pixel_size
    return np.stack(np.meshgrid(*[axis] * ndim, indexing="ij")[::-1], axis=-1)
