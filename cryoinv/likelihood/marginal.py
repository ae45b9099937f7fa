"""The marginal likelihood of a volume: value, exact gradient, diagonal surrogate and sufficient statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from cryoinv.errors import InputError
from cryoinv.geometry import PointGroup
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators.interpolation import Interpolation, TrilinearInterpolation
from cryoinv.spaces import VolumeSpace
from cryoinv.spaces.backend import odl
from cryoinv.spaces.base import BoxElement

from .accumulator import SliceAccumulator
from .expectation import Expectation
from .images import FourierImages
from .scores import image_terms
from .search import ExhaustiveSearch, LocalSearch
from .statistics import PosteriorSummary, SufficientStatistics

__all__ = ["MarginalLikelihood"]


class MarginalLikelihood(odl.functionals.Functional):
    r"""Logarithm of the marginal likelihood, :math:`L(x) = \sum_i \log \sum_g P(y_i|x,g) P(g)`.

    A functional on volumes. Its exact gradient (Fisher's identity) is

    .. math:: \nabla L(x) = B - N x,\quad B = \sum_i E[H_g^*\sigma_i^{-2}y_i],\quad
              N = \sum_i E[H_g^*\sigma_i^{-2}H_g],

    with expectations over the posterior of the poses at x; the diagonal surrogate puts the lumped K in N's place.

    The prior over poses is one over all of SO(3), whatever the search looks at. Under a point group the search need
    hold one of each set of symmetry mates only, and its mass is that of them all: an `SO3Grid` of the group has masses
    that sum to one, those of a `LocalSearch` are multiplied by the group's order (its balls must not overlap).

    Parameters
    ----------
    images : FourierImages
        Transformed particles.
    noise : RadialGaussianNoise
        Noise powers.
    search : ExhaustiveSearch or LocalSearch
        Poses that are summed over, with their prior.
    interpolation : Interpolation, optional
        How slices are read; trilinear with padding 2 by default.
    r_max : float, optional
        Largest image frequency used, in shells, that is, in units of 1 / (n * pixel_size); by default all below the
        Nyquist frequency.
    symmetry : PointGroup, optional
        Of the map; C1 by default.
    memory_bytes : int
        Bound on the temporaries of one block of images.
    callback : callable, optional
        Called with the number of particles finished since the last call.
    negligible : float
        Orientations of a local search that hold less of a particle's posterior are not inserted.

    Raises
    ------
    InputError
        If the noise model does not fit the images' optics groups and shells.

    References
    ----------
    D. Kimanius et al. (2020), eqs. 2, 7-9.
    """

    def __init__(
        self,
        images: FourierImages,
        noise: RadialGaussianNoise,
        search: ExhaustiveSearch | LocalSearch,
        interpolation: Interpolation | None = None,
        r_max: float | None = None,
        symmetry: PointGroup | None = None,
        memory_bytes: int = 1 << 29,
        callback: Callable[[int], None] | None = None,
        negligible: float = 1e-6,
    ):
        if noise.sigma2.shape[0] < images.groups:
            raise InputError(
                f"the noise model has {noise.sigma2.shape[0]} optics groups, the particles have {images.groups}"
            )
        shells = images.n // 2 + 1
        if noise.sigma2.shape[1] != shells:
            raise InputError(
                f"the noise model has {noise.sigma2.shape[1]} shells, the particles' box of {images.n} has {shells}"
            )
        self.images, self.noise = images, noise
        self.interpolation = TrilinearInterpolation(images.n) if interpolation is None else interpolation
        self.count = len(images.disc) if r_max is None else images.disc.within(r_max)
        self.symmetry = PointGroup("C1") if symmetry is None else symmetry
        mates = self.symmetry.order
        self.search = search.of_symmetric_map(mates) if isinstance(search, LocalSearch) else search
        self.memory_bytes, self.callback, self.negligible = memory_bytes, callback, negligible
        space = VolumeSpace(
            images.n,
            images.pixel_size,
            dtype=str(images.dtype).removeprefix("torch."),
            device=str(images.device),
        )
        super().__init__(space, linear=False, grad_lipschitz=np.nan)

    def _call(self, x: BoxElement) -> float:
        return self.value(x.data)

    @property
    def gradient(self) -> odl.Operator:
        """Operator x -> exact gradient."""
        return _Gradient(self)

    def value(self, volume: torch.Tensor, batch: np.ndarray | None = None) -> float:
        """Log-likelihood of a volume (n, n, n) given the particles of `batch` (all by default)."""
        return float(self.log_likelihoods(volume, batch).sum())

    def log_likelihoods(
        self, volume: torch.Tensor, batch: np.ndarray | None = None, factors: Sequence[float] = (1.0,)
    ) -> np.ndarray:
        """Log-likelihoods of multiples of a volume given each particle, in the order of their numbers.

        Parameters
        ----------
        volume : torch.Tensor, shape (n, n, n)
            The map.
        batch : numpy.ndarray, shape (m,), optional
            Particles; all by default.
        factors : sequence of float, length f
            What the map is multiplied by.

        Returns
        -------
        numpy.ndarray, shape (f, m)
        """
        prepared, indices = self._prepared(volume), self._indices(batch)
        passes = (self._step(factor * prepared, sums=False).run(self.search, indices) for factor in factors)
        return np.stack([summary.log_likelihood for _, summary in passes])

    def exact_gradient(
        self, volume: torch.Tensor, batch: np.ndarray | None = None, curvature: str = "exact"
    ) -> torch.Tensor:
        """Gradient of `value` at a volume, shape (n, n, n).

        Parameters
        ----------
        volume : torch.Tensor, shape (n, n, n)
            Where.
        batch : numpy.ndarray, optional
            Particles; all by default.
        curvature : {"exact", "diagonal"}
            B - N x, or the surrogate B - K x whose fixed point EM has.

        Notes
        -----
        Under a point group, `value` sums over the poses of the search, one of each set of symmetry mates. Of a
        symmetric map it is the log-likelihood; of any other map it depends on which of the mates the search holds. The
        exact gradient is that of this very sum, in all directions; its mean over the turns of the group is the gradient
        among symmetric maps. Statistics and surrogate count every image once a mate and so belong to that mean times
        the group's order: they fit priors on whole maps, which count every copy of a coefficient.
        """
        if curvature not in ("exact", "diagonal"):
            raise InputError(f"curvature is {curvature!r}, expected 'exact' or 'diagonal'")
        volume = self._volume(volume)
        scheme = self.interpolation
        if curvature == "exact":
            accumulator, _ = self._run(volume, batch, gradient=True)
            assert accumulator.residual is not None
            return scheme.prepare_adjoint(accumulator.residual)
        statistics = self.expectation(volume, batch)
        x = scheme.spectrum(scheme.prepare(volume))
        return scheme.spectrum_adjoint(statistics.data - statistics.curvature() * x)

    def expectation(self, volume: torch.Tensor, batch: np.ndarray | None = None) -> SufficientStatistics:
        """E-step at a volume (n, n, n): sufficient statistics of the particles of `batch` (all by default)."""
        accumulator, summary = self._run(volume, batch)
        data, weight = accumulator.statistics_terms()
        return SufficientStatistics(
            self.interpolation,
            data,
            weight,
            accumulator.residuals,
            summary,
            self.images.pixel_size,
        )

    def posterior(self, volume: torch.Tensor, batch: np.ndarray) -> torch.Tensor:
        """Posterior mass of every pose of an exhaustive search without oversampling, shape (I, T, O).

        A whole table: ask for a few particles at a time.
        """
        if not isinstance(self.search, ExhaustiveSearch) or self.search.oversampling is not None:
            raise InputError("the table of a posterior needs an ExhaustiveSearch without oversampling")
        step = self._step(self._prepared(volume))
        grid = step.shared_grid(self.search)
        batch, place = np.asarray(batch), np.argsort(grid.order)
        table = None
        for group, block in self.images.group_blocks(batch, len(batch)):
            with step.products(tf32=False):
                found = grid.posterior(image_terms(self.images, self.noise, group, block, self.count))
            weights = torch.stack([grid.masses(found, image, place) for image in range(len(block))])
            table = weights.new_empty(len(batch), *weights.shape[1:]) if table is None else table
            table[torch.as_tensor(np.isin(batch, block), device=table.device)] = weights
        if table is None:
            raise InputError("the table of a posterior needs at least one particle, found none")
        return table

    def _run(
        self, volume: torch.Tensor, batch: np.ndarray | None, gradient: bool = False
    ) -> tuple[SliceAccumulator, PosteriorSummary]:
        return self._step(self._prepared(volume), gradient).run(self.search, self._indices(batch))

    def _indices(self, batch: np.ndarray | None) -> np.ndarray:
        indices = np.arange(len(self.images)) if batch is None else np.asarray(batch)
        if len(indices) == 0:
            raise InputError("an E-step needs at least one particle, found none")
        return indices

    def _prepared(self, volume: torch.Tensor) -> torch.Tensor:
        return self.interpolation.prepare(self._volume(volume))

    def _step(self, prepared: torch.Tensor, gradient: bool = False, sums: bool = True) -> Expectation:
        return Expectation(
            self.images,
            self.noise,
            self.interpolation,
            prepared,
            self.count,
            self.symmetry,
            gradient,
            sums,
            self.memory_bytes,
            self.callback,
            self.negligible,
        )

    def _volume(self, volume: torch.Tensor | BoxElement) -> torch.Tensor:
        data = volume if isinstance(volume, torch.Tensor) else volume.data
        n = self.images.n
        if tuple(data.shape) != (n, n, n):
            raise InputError(f"volume has shape {tuple(data.shape)}, expected {(n, n, n)}, the images' box")
        return data.to(self.images.device, self.images.dtype)


class _Gradient(odl.Operator):
    """The exact gradient as an operator."""

    def __init__(self, likelihood: MarginalLikelihood):
        self.likelihood = likelihood
        super().__init__(likelihood.domain, likelihood.domain, linear=False)

    def _call(self, x: BoxElement) -> BoxElement:
        return self.range.element(self.likelihood.exact_gradient(x.data))
