"""What an E-step leaves behind: sums that add across batches, devices and machines."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from cryoinv.geometry import Poses
from cryoinv.noise import ResidualPower
from cryoinv.operators.interpolation import Interpolation
from cryoinv.spaces import HermitianSpace
from cryoinv.spaces.spectrum import frequencies, hermitian_weights, radial_expand, radial_mean

from .moments import PoseMoments

__all__ = ["CollectedSummaries", "PosteriorSummary", "SufficientStatistics"]

_PER_PARTICLE = ("indices", "max_probability", "entropy", "mean_probability", "log_likelihood")


@dataclass
class PosteriorSummary:
    r"""What the posterior over poses says of each particle.

    Parameters
    ----------
    indices : numpy.ndarray, shape (m,)
        Particles, by their place in the stack.
    poses : Poses
        Pose of largest posterior mass of each particle (shifts in Å).
    max_probability : numpy.ndarray, shape (m,)
        Mass :math:`\max_g p_g` of that pose.
    entropy : numpy.ndarray, shape (m,)
        Posterior entropy :math:`-\sum_g p_g\log p_g` in nats.
    mean_probability : numpy.ndarray, shape (m,)
        :math:`\sum_g p_g^2`, what the mass of the true pose is on average if the posterior is right.
    log_likelihood : numpy.ndarray, shape (m,)
        :math:`\log \sum_g P(y_i|x,g) P(g)`.
    moments : PoseMoments, optional
        Mean pose and spread around the pose of largest mass; searches of poses of each particle's own give them.
    """

    indices: np.ndarray
    poses: Poses
    max_probability: np.ndarray
    entropy: np.ndarray
    mean_probability: np.ndarray
    log_likelihood: np.ndarray
    moments: PoseMoments | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Arrays by name, for other processes."""
        own = {name: getattr(self, name) for name in _PER_PARTICLE}
        own |= {"rotations": self.poses.rotations, "shifts": self.poses.shifts}
        moments = {} if self.moments is None else self.moments.to_arrays()
        return own | {f"mean {name}": values for name, values in moments.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> PosteriorSummary:
        """Summary of what `to_arrays` gave."""
        moments = {name.removeprefix("mean "): a for name, a in arrays.items() if name.startswith("mean ")}
        return cls(
            poses=Poses(arrays["rotations"], arrays["shifts"]),
            moments=PoseMoments.from_arrays(moments) if moments else None,
            **{name: arrays[name] for name in _PER_PARTICLE},
        )

    @classmethod
    def concatenate(cls, parts: list[PosteriorSummary]) -> PosteriorSummary:
        """Join summaries of different particles, ordered by particle."""
        parts = [part for part in parts if len(part)] or parts[:1]
        order = np.argsort(np.concatenate([p.indices for p in parts]), kind="stable")
        join = lambda name: np.concatenate([getattr(p, name) for p in parts])[order]  # noqa: E731
        moments = [p.moments for p in parts if p.moments is not None]
        rotations = np.concatenate([p.poses.rotations for p in parts])[order]
        shifts = np.concatenate([p.poses.shifts for p in parts])[order]
        return cls(
            join("indices"),
            Poses(rotations, shifts),
            join("max_probability"),
            join("entropy"),
            join("mean_probability"),
            join("log_likelihood"),
            PoseMoments.concatenate(moments)[order] if len(moments) == len(parts) else None,
        )


class CollectedSummaries:
    """Summaries of blocks of particles, copied into arrays for all of them as they come.

    Kept as they are, they would lie between the large temporaries of the blocks and keep these from being used again:
    memory would grow with the number of blocks.

    Parameters
    ----------
    count : int
        Particles in all.
    """

    def __init__(self, count: int):
        self._count, self._end = count, 0
        self._arrays: dict[str, np.ndarray] = {}

    def add(self, summary: PosteriorSummary) -> None:
        """Take the summary of the next particles."""
        rows = slice(self._end, self._end + len(summary))
        for name, values in summary.to_arrays().items():
            if name not in self._arrays:
                self._arrays[name] = np.empty((self._count, *values.shape[1:]), values.dtype)
            self._arrays[name][rows] = values
        self._end = rows.stop

    def summary(self) -> PosteriorSummary:
        """All of them, ordered by particle."""
        return PosteriorSummary.concatenate([PosteriorSummary.from_arrays(self._arrays)])


@dataclass
class SufficientStatistics:
    r"""Data term :math:`B = \sum_i E[H_g^*\sigma^{-2}y_i]` and lumped weight :math:`K` of a set of particles.

    Both live in `space`, a half-spectrum that belongs to the way slices are interpolated; `to_volume` and
    `from_volume` lead from and to volumes. Statistics of disjoint batches add.

    Parameters
    ----------
    interpolation : Interpolation
        Owner of the space and its two maps.
    data : torch.Tensor, shape (N, N, N//2+1), complex
        B.
    weight : torch.Tensor, shape (N, N, N//2+1), real
        K.
    residuals : ResidualPower
        Expected power of the residual images.
    particles : PosteriorSummary
        What the posterior says of each particle.
    pixel_size : float
        Å per pixel of the images.

    References
    ----------
    D. Kimanius et al. (2020), eq. 9.
    """

    interpolation: Interpolation
    data: torch.Tensor
    weight: torch.Tensor
    residuals: ResidualPower
    particles: PosteriorSummary
    pixel_size: float
    _space: HermitianSpace | None = field(default=None, repr=False)

    @property
    def n(self) -> int:
        """Box size of images and volumes."""
        return self.interpolation.n

    @property
    def box(self) -> int:
        """Size N of the half-spectrum that B and K live on."""
        return self.interpolation.box

    @property
    def space(self) -> HermitianSpace:
        """Space of B."""
        if self._space is None:
            self._space = HermitianSpace(
                self.box,
                3,
                self.pixel_size,
                dtype=str(self.data.dtype).removeprefix("torch."),
                device=str(self.data.device),
            )
        return self._space

    @property
    def log_likelihood(self) -> float:
        """Sum of the particles' marginal log-likelihoods."""
        return float(self.particles.log_likelihood.sum())

    def __add__(self, other: SufficientStatistics) -> SufficientStatistics:
        if (self.box, self.n) != (other.box, other.n):
            raise ValueError(
                f"statistics of boxes {self.n} and {other.n} on grids of {self.box} and {other.box} do not add"
            )
        return SufficientStatistics(
            self.interpolation,
            self.data + other.data,
            self.weight + other.weight,
            self.residuals + other.residuals,
            PosteriorSummary.concatenate([self.particles, other.particles]),
            self.pixel_size,
        )

    def to_volume(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Volume (n, n, n) of an element of `space`."""
        return self.interpolation.to_volume(spectrum)

    def from_volume(self, volume: torch.Tensor) -> torch.Tensor:
        """Element of `space` whose volume is given."""
        return self.interpolation.from_volume(volume)

    def to_volume_adjoint(self, volume: torch.Tensor) -> torch.Tensor:
        """Adjoint of `to_volume`, applied to a volume: what takes gradients from volumes to `space`."""
        return self.interpolation.to_volume_adjoint(volume)

    def scaled(self, factor: float) -> SufficientStatistics:
        """B and K times a number, as of so many times the particles."""
        return replace(self, data=factor * self.data, weight=factor * self.weight)

    def shell_mean(self, values: torch.Tensor) -> torch.Tensor:
        """Mean of real values over each image shell, shape (n//2+1,), in double precision."""
        bins = self._image_shells().reshape(-1).clamp(max=self.n // 2 + 1)  # all beyond the last shell in one
        terms = (values.double() * hermitian_weights(self.box, device=values.device)).reshape(-1)
        total = torch.zeros(self.n // 2 + 2, dtype=torch.float64, device=values.device).index_add(0, bins, terms)
        return total[:-1] / _image_counts(self.n, self.box, str(values.device))

    def expand(self, profile: torch.Tensor) -> torch.Tensor:
        """Give every coefficient of `space` its image shell's entry of `profile`; beyond the last shell, the last."""
        profile = profile.to(self.data.device)
        beyond = profile[-1:].expand(self.n - self.n // 2)  # corners are in shell n at most
        return torch.cat((profile, beyond))[self._image_shells()]

    def _image_shells(self) -> torch.Tensor:
        return _image_shells(self.n, self.box, str(self.data.device))

    def curvature(self) -> torch.Tensor:
        r"""K as M-steps divide by it: of the quadratic :math:`\tfrac12\langle x, Kx\rangle_w - \langle B, x\rangle_w`.

        The weight itself, but where the scheme of interpolation spreads B further than K (`Interpolation.curvature`).
        """
        return self.interpolation.curvature(self.weight)

    def floored_weight(self, floor: float = 1e-3) -> torch.Tensor:
        """`curvature`, not below `floor` times its shell's mean (and positive everywhere)."""
        curvature = self.curvature()
        lowest = floor * radial_expand(radial_mean(curvature, self.box), self.box)
        return torch.maximum(curvature, lowest).clamp(min=torch.finfo(self.weight.dtype).tiny)

    def unregularised(self) -> torch.Tensor:
        r"""Unregularised estimate :math:`\tilde x = B/K` in `space`."""
        return self.data / self.floored_weight()


@functools.lru_cache(maxsize=4)
def _image_shells(n: int, box: int, device: str) -> torch.Tensor:
    """Image shell floor(|k| n / N + 1/2) of each coefficient of a half-spectrum of size N."""
    full, half = frequencies(box, device)
    squares = full[:, None, None] ** 2 + full[:, None] ** 2 + half**2
    return (squares.double().sqrt() * (n / box) + 0.5).long()


@functools.lru_cache(maxsize=4)
def _image_counts(n: int, box: int, device: str) -> torch.Tensor:
    """Sum of the weights of every image shell."""
    shells = _image_shells(n, box, device).reshape(-1)
    weights = hermitian_weights(box, device=device).expand(box, box, -1).reshape(-1)
    return torch.bincount(shells, weights, minlength=n // 2 + 1)[: n // 2 + 1]
