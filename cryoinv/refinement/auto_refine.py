"""Gold-standard refinement: two halves, one loop, any prior."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from cryoinv.errors import CryoinvError
from cryoinv.geometry import PointGroup, Poses
from cryoinv.likelihood import (
    ExhaustiveSearch,
    FourierImages,
    LocalSearch,
    MarginalLikelihood,
    PoseMoments,
    PosteriorSummary,
    SufficientStatistics,
    initial_noise,
)
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators import low_pass
from cryoinv.operators.interpolation import interpolation_scheme
from cryoinv.operators.mask import soft_sphere
from cryoinv.priors import GaussianPrior, Prior, PriorContext
from cryoinv.solvers import ClosedForm, MStep
from cryoinv.spaces import resolve_device

from .checkpoint import resumed_state, run_fingerprint
from .gold_standard import HalfMaps, join_low_resolution, tau2_from_fsc
from .halves import split_particles
from .records import iteration_record, run_warnings
from .reference import fit_grey_scale
from .reference_checks import checked_diameter, checked_reference
from .result import RefinementObserver, RefinementResult
from .schedule import Schedule, pose_changes
from .settings import RefinementSettings
from .state import RefinementState

if TYPE_CHECKING:
    from cryoinv.io import ParticleStack

__all__ = ["Refinement", "refine"]

Halves = tuple[SufficientStatistics, SufficientStatistics]


def refine(
    particles: ParticleStack,
    reference: torch.Tensor | np.ndarray,
    prior: Prior | None = None,
    m_step: MStep | None = None,
    settings: RefinementSettings | None = None,
    device: str = "auto",
    checkpoint: Path | None = None,
    resume: bool = False,
    observer: RefinementObserver | None = None,
) -> RefinementResult:
    """Refine a map and its particles' poses from a reference, halves apart (gold standard).

    Parameters
    ----------
    particles : ParticleStack
        Images; poses they may carry are not used.
    reference : torch.Tensor or numpy.ndarray, shape (n, n, n)
        Any grey scale, either contrast; it is low-passed first.
    prior : Prior, optional
        `GaussianPrior` by default.
    m_step : MStep, optional
        `ClosedForm` by default.
    settings : RefinementSettings, optional
        Everything else.
    device : str
        "auto", "cpu", "cuda" or "cuda:N".
    checkpoint : Path, optional
        File the state is saved to after every iteration.
    resume : bool
        Go on from `checkpoint` where it exists.
    observer : RefinementObserver, optional
        Told how it goes.

    Returns
    -------
    RefinementResult

    Raises
    ------
    InputError
        If reference and images differ in box, the reference is blank or not finite, or prior and M-step do not fit.
    CryoinvError
        If the map is no longer finite.
    """
    run = Refinement(particles, reference, prior, m_step, settings, device, observer)
    return run.run(checkpoint, resume)


class Refinement:
    """A refinement, step by step: `start`, `iterate` until converged, `finish`; `run` does all of them.

    Parameters
    ----------
    particles, reference, prior, m_step, settings, device, observer
        As in `refine`.
    """

    def __init__(
        self,
        particles: ParticleStack,
        reference: torch.Tensor | np.ndarray,
        prior: Prior | None = None,
        m_step: MStep | None = None,
        settings: RefinementSettings | None = None,
        device: str = "auto",
        observer: RefinementObserver | None = None,
    ):
        self.particles = particles
        self.prior = GaussianPrior() if prior is None else prior
        self.m_step = ClosedForm() if m_step is None else m_step
        self.m_step.check(self.prior)
        self.settings = RefinementSettings() if settings is None else settings
        self.observer = RefinementObserver() if observer is None else observer
        self.device = torch.device(resolve_device(device))
        self.n, self.pixel_size = particles.n, particles.pixel_size
        self.reference = checked_reference(reference, self.n, self.device)
        self.symmetry = PointGroup(self.settings.symmetry)
        self.halves = split_particles(particles, self.settings.seed, self.settings.allow_duplicates)
        self.diameter = checked_diameter(self.reference, self.pixel_size, self.settings)
        self.mask = self._sphere(3)
        self.images = FourierImages(
            particles,
            self.device,
            use_ctf=self.settings.use_ctf,
            mask=self._sphere(2) if self.settings.noise_estimation == "masked" else None,
        )
        s = self.settings
        self.interpolation = interpolation_scheme(self.n, s.interpolation, s.padding, s.gridding)

    # --- the loop --------------------------------------------------------------------------------------------------

    def run(self, checkpoint: Path | None = None, resume: bool = False) -> RefinementResult:
        """Iterate until converged, then finish with all frequencies."""
        started = time.monotonic()
        state = None
        if resume and checkpoint is not None:
            state = resumed_state(checkpoint, self.fingerprint(), self.device)
        state = state or self.start()
        before = state.seconds
        while not state.schedule.converged and state.iteration < self.settings.max_iterations:
            state = self.iterate(state)
            state.seconds = before + time.monotonic() - started
            state.history[-1]["seconds"] = round(state.seconds, 3)
            if checkpoint is not None:
                state.save(checkpoint, self.fingerprint())
            self.observer.iteration(state.history[-1])
        return self.finish(state, lambda: before + time.monotonic() - started)

    def start(self) -> RefinementState:
        """First state: the reference, low-passed, masked and in the images' grey scale, and a first noise power."""
        noise = initial_noise(self.images)
        reference = low_pass(self.reference, self.pixel_size, self.settings.initial_lowpass) * self.mask
        window = self._window(self.n * self.pixel_size / self.settings.initial_lowpass)
        self.observer.stage("grey scale", 0)
        scale = fit_grey_scale(
            reference,
            self.images,
            noise,
            self.interpolation,
            window,
            self.symmetry,
            self.settings.max_shift / self.pixel_size,
            seed=self.settings.seed,
            memory_bytes=self.settings.memory_bytes,
        )
        reference = reference * scale.factor
        poses = Poses(np.tile(np.eye(3), (len(self.particles), 1, 1)))
        moments = PoseMoments.isotropic(poses, 180.0, self.settings.max_shift)
        return RefinementState(
            (reference, reference), noise, moments, Schedule(), window, diameter=self.diameter
        )

    def iterate(self, state: RefinementState) -> RefinementState:
        """One iteration: E-step of both halves, FSC and signal power of the unregularised maps, M-step."""
        iteration = state.iteration + 1
        halves, summary = self._expectation(state, state.window, f"iteration {iteration}")
        moments = summary.moments
        assert moments is not None
        maps = HalfMaps.of(halves, self.mask, state.window)
        resolution = maps.resolution(self.pixel_size)
        joined = join_low_resolution(halves, self.settings.join_below)
        first, second = (
            self._finite(
                half.to_volume(self._maximise(half, maps.fsc, resolution.angstrom, iteration)), iteration
            )
            * self.mask
            for half in joined
        )
        schedule = replace(state.schedule)
        changes = pose_changes(state.moments.poses, moments.poses, self.symmetry)
        record = iteration_record(state, maps, summary, self._search(state), changes, self.pixel_size)
        schedule.advance(self.settings, resolution.shell, changes, float(np.median(moments.degrees)))
        return RefinementState(
            (first, second),
            RadialGaussianNoise.from_residuals(halves[0].residuals + halves[1].residuals),
            moments,
            schedule,
            self._window(resolution.shell),
            iteration,
            [*state.history, record],
            self.diameter,
        )

    def finish(self, state: RefinementState, clock: Callable[[], float]) -> RefinementResult:
        """Last E-step with all frequencies, then one map of both halves' statistics."""
        halves, summary = self._expectation(state, (self.n - 1) / 2, "final iteration")
        moments = summary.moments
        assert moments is not None
        maps = HalfMaps.of(halves, self.mask)
        resolution = maps.resolution(self.pixel_size)
        joint_fsc = 2 * maps.fsc.clamp(min=0) / (1 + maps.fsc.clamp(min=0))
        joined = halves[0] + halves[1]
        volume = joined.to_volume(self._maximise(joined, joint_fsc, resolution.angstrom, state.iteration + 1))
        return RefinementResult(
            self._finite(volume, state.iteration + 1) * self.mask,
            maps.volumes,
            maps.fsc,
            maps.fsc_masked,
            resolution,
            maps.resolution(self.pixel_size, masked=True),
            moments.poses,
            self.halves,
            summary,
            RadialGaussianNoise.from_residuals(joined.residuals),
            self.pixel_size,
            self.diameter,
            state.history,
            state.schedule.converged,
            clock(),
            run_warnings(state, summary, self._search(state)),
        )

    def fingerprint(self) -> str:
        """Short hash of particles, half-sets, reference, prior and settings: what a checkpoint must agree with."""
        return run_fingerprint(
            self.particles,
            self.halves,
            self.reference,
            self.prior,
            self.m_step,
            self.settings,
            self.images.use_ctf,
        )

    # --- its steps -------------------------------------------------------------------------------------------------

    def _expectation(
        self, state: RefinementState, window: float, name: str
    ) -> tuple[Halves, PosteriorSummary]:
        search = self._search(state)
        self.observer.stage(name, len(self.particles))
        halves = []
        for half, reference in zip((1, 2), state.references, strict=True):
            likelihood = MarginalLikelihood(
                self.images,
                state.noise,
                search,
                self.interpolation,
                window,
                self.symmetry,
                self.settings.memory_bytes,
                self.observer.advance,
            )
            halves.append(likelihood.expectation(reference, np.flatnonzero(self.halves == half)))
        return (halves[0], halves[1]), PosteriorSummary.concatenate([h.particles for h in halves])

    def _search(self, state: RefinementState) -> ExhaustiveSearch | LocalSearch:
        return state.schedule.search(self.settings, state.moments, self.pixel_size)

    def _maximise(
        self, half: SufficientStatistics, fsc: torch.Tensor, resolution: float, iteration: int
    ) -> torch.Tensor:
        filled = float((self.mask**2).mean()) if self.settings.signal_extent == "sphere" else 1.0
        tau2 = tau2_from_fsc(fsc, half, filled)
        context = PriorContext(self.n, self.pixel_size, fsc, tau2, resolution, self.diameter / 2, iteration)
        return self.m_step(half, self.prior.bind(half, context))

    def _window(self, shell: float) -> float:
        return float(min(shell + self.settings.window_margin, (self.n - 1) / 2))

    def _finite(self, volume: torch.Tensor, iteration: int) -> torch.Tensor:
        if not torch.isfinite(volume).all():
            raise CryoinvError(f"the map is no longer finite after the M-step of iteration {iteration}")
        return volume

    def _sphere(self, ndim: int) -> torch.Tensor:
        radius = self.diameter / 2 / self.pixel_size
        return soft_sphere(self.n, radius, self.settings.mask_edge_pixels, ndim, torch.float32, self.device)
