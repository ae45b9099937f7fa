"""Pairs by reconstruction from projections at wrong poses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cryoinv.geometry import PointGroup, Poses, exp_rotation, random_rotations
from cryoinv.likelihood import SufficientStatistics
from cryoinv.likelihood.accumulator import SliceAccumulator
from cryoinv.likelihood.statistics import PosteriorSummary
from cryoinv.operators.interpolation import TrilinearInterpolation
from cryoinv.operators.pixels import FourierDisc
from cryoinv.operators.shift import shift_at_pixels
from cryoinv.spaces.spectrum import centred_rfft, radial_mean

from .corpus import Structure
from .pairs import Pairs, windowed
from .truth import TruthMaker, told_radius

__all__ = ["PosedPairs"]

_NONE = np.zeros(0)
_NOBODY = PosteriorSummary(_NONE, Poses(np.zeros((0, 3, 3)), np.zeros((0, 2))), _NONE, _NONE, _NONE, _NONE)


@dataclass
class PosedPairs:
    r"""Both halves of a data set of projections, inserted at poses that are a little wrong.

    .. math:: B = \sum_i\frac1J\sum_j P_{R_{ij}}^* T_{ij}(P_{R_i} x + e_i),\quad
              K = \sum_i\frac1J\sum_j P_{R_{ij}}^* 1,\quad \tilde x = B/K .

    The noise is as strong as lets the FSC fall to 1/7 at a resolution d whose inverse is uniform, were the poses right.
    Orientations are off by up to 1.1 d at the radius of gyration, at most 20°, shifts by 0.03 to 0.22 d, and in some
    data sets up to a quarter of the particles are nowhere near. Each image is inserted at J poses, draws of a posterior
    as wide as poses are wrong, as E-steps do: noise is averaged with them. The statistics are those of the refinement,
    made by the same code: a network learns the errors of what made its maps.

    Parameters
    ----------
    truth : TruthMaker
        What is projected.
    particles : tuple of int
        Fewest and most of a half.
    resolutions : tuple of float
        Finest and coarsest d in Å.
    copies : int
        Largest J; it is drawn anew for every data set.
    """

    truth: TruthMaker
    particles: tuple[int, int] = (250, 800)
    resolutions: tuple[float, float] = (5.0, 26.0)
    copies: int = 6

    def __post_init__(self) -> None:
        self._scheme = TrilinearInterpolation(self.truth.n)
        self._disc = FourierDisc(self.truth.n, device=self.truth.device)

    def __call__(self, rng: np.random.Generator) -> Pairs:
        """Both halves of one data set."""
        volume, structure = self.truth(rng)
        fine, coarse = self.resolutions
        resolution = 1 / rng.uniform(1 / coarse, 1 / fine)
        count = int(rng.integers(*self.particles, endpoint=True))
        errors = _Errors.drawn(rng, resolution, structure, self.copies)
        sigma = self._noise(volume, count, resolution)
        prepared = self._scheme.prepare(volume)
        halves = [self._half(prepared, count, errors, sigma, rng) for _ in range(2)]
        radius = told_radius(structure, rng)
        pairs = Pairs.of_halves(torch.stack(halves), volume, self.truth.pixel_size, structure.name, radius)
        return windowed(pairs, rng)

    def _noise(self, volume: torch.Tensor, count: int, resolution: float) -> float:
        """Standard deviation of an image coefficient's noise: a voxel of shell r is seen by count/(2r) images."""
        n, pixel_size = self.truth.n, self.truth.pixel_size
        # Slices are images' orthonormal transforms: sqrt(n) times the map's.
        power = n * radial_mean(centred_rfft(volume).abs() ** 2, n)
        shell = min(max(n * pixel_size / resolution, 1.0), n // 2 - 1.0)
        low = int(shell)
        signal = float(power[low : low + 2].mean())
        return float((6 * signal * count / (2 * shell)) ** 0.5)

    def _half(
        self, prepared: torch.Tensor, count: int, errors: _Errors, sigma: float, rng: np.random.Generator
    ) -> torch.Tensor:
        scheme, pixels, device = self._scheme, self._disc.pixels, prepared.device
        right = random_rotations(count, rng)
        images = scheme.slices(prepared, torch.from_numpy(right).to(device), pixels)
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
        images += sigma * torch.randn(images.shape, generator=generator, dtype=images.dtype, device=device)
        poses = errors.poses(right, rng)
        weights = (self._disc.weights / len(poses)).to(prepared.real).expand(count, -1)
        sums = SliceAccumulator(scheme, self._disc, PointGroup("C1"), 1)
        nothing, one = torch.zeros_like(images), torch.ones_like(weights[0], dtype=torch.float64)
        for rotations, shifts in poses:
            moved = torch.from_numpy(shifts / self.truth.pixel_size).to(device)
            undone = images * shift_at_pixels(pixels, self.truth.n, moved).to(images.dtype)
            sums.add_slices(0, rotations, nothing, undone * weights, weights, one)
        data, weight = sums.statistics_terms()
        statistics = SufficientStatistics(scheme, data, weight, sums.residuals, _NOBODY, self.truth.pixel_size)
        return statistics.to_volume(statistics.unregularised())


@dataclass
class _Errors:
    """How wrong poses are: degrees, Å, the share of particles that are nowhere near, and the poses of each image."""

    degrees: float
    shift: float
    outliers: float
    copies: int

    @classmethod
    def drawn(cls, rng: np.random.Generator, resolution: float, structure: Structure, copies: int) -> _Errors:
        most = np.rad2deg(1.1 * resolution / (2 * 1.29 * structure.gyration))
        outliers = rng.uniform(0, 0.25) if rng.random() < 0.4 else 0.0
        degrees, shift = min(rng.uniform(0, most), 20.0), resolution * rng.uniform(0.03, 0.22)
        return cls(degrees, shift, outliers, int(rng.integers(1, copies, endpoint=True)))

    def poses(self, right: np.ndarray, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
        """Poses of every image as its posterior would have them: draws about a mean that is off by as much.

        The truth and every draw are draws of one posterior, so that both are off its mean by half the square each.
        """
        count = len(right)
        # The root-mean-square angle from the truth is `degrees`; particles differ in how well they are known.
        spread = np.deg2rad(self.degrees) / np.sqrt(6) * np.sqrt(rng.gamma(2.0, 0.5, (count, 1)))
        reach = self.shift / 2
        middle = exp_rotation(spread * rng.standard_normal((count, 3))) @ right
        lost = rng.random(count) < self.outliers
        middle[lost] = random_rotations(count, rng)[lost]
        place = reach * rng.standard_normal((count, 2))
        return [
            (
                exp_rotation(spread * rng.standard_normal((count, 3))) @ middle,
                place + reach * rng.standard_normal((count, 2)),
            )
            for _ in range(self.copies)
        ]
