"""Gold-standard refinement: two halves, one loop, any prior."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from cryoinv.errors import InputError
from cryoinv.geometry import PointGroup, Poses
from cryoinv.likelihood import (
    ExhaustiveSearch,
    FourierImages,
    LocalSearch,
    PoseMoments,
    PosteriorSummary,
    initial_noise,
)
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators import low_pass
from cryoinv.operators.interpolation import interpolation_scheme
from cryoinv.operators.mask import soft_sphere
from cryoinv.parallel import Processes, joined
from cryoinv.priors import GaussianPrior, Prior
from cryoinv.solvers import EM, MStep, OuterSolver
from cryoinv.spaces import resolve_device

from .checkpoint import resumed_state
from .estimate import MapEstimator
from .fingerprint import run_fingerprint
from .gold_standard import HalfMaps
from .halves import split_particles
from .map_updates import MapUpdates
from .passes import Halves, Passes
from .records import iteration_record, run_warnings
from .reference import fit_grey_scale, scale_particles
from .reference_checks import checked_diameter, checked_reference
from .result import RefinementObserver, RefinementResult
from .retention import probe_particles
from .schedule import Schedule, pose_changes
from .settings import RefinementSettings
from .shares import share_of
from .state import RefinementState
from .together import agreed_state, check_same_run, particle_counter, quiet

if TYPE_CHECKING:
    from cryoinv.io import ParticleStack

__all__ = ["Refinement", "refine"]

log = logging.getLogger(__name__)


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
    processes: Processes | None = None,
    solver: OuterSolver | None = None,
    output_prior: Prior | None = None,
    output_m_step: MStep | None = None,
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
        By default the simplest one that suits the prior.
    settings : RefinementSettings, optional
        Everything else.
    device : str
        "auto", "cpu", "cuda" or "cuda:N".
    checkpoint : Path, optional
        File the state is saved to after every iteration.
    resume : bool
        Go on from `checkpoint` where it exists.
    observer : RefinementObserver, optional
        Told how it goes, in the first process.
    processes : Processes, optional
        Those that share the particles, every one of which makes the same call. By default all that ``torchrun``
        started or that an initialised ``torch.distributed`` has; `Processes()` is this one alone.
    solver : OuterSolver, optional
        `EM` by default; mini-batch solvers need a first iteration of EM, whose FSC they go by.
    output_prior : Prior, optional
        For the map that is reported; the one that E-steps align to is always that of `prior`, by default both are.
    output_m_step : MStep, optional
        By default the simplest one that suits `output_prior`.

    Returns
    -------
    RefinementResult

    Raises
    ------
    InputError
        If reference and images differ in box, the reference is blank or not finite, or prior and M-step do not fit.
    CryoinvError
        If the map is no longer finite, or another process has ended.
    """
    with nullcontext(processes) if processes is not None else joined() as together:
        run = Refinement(
            particles,
            reference,
            prior,
            m_step,
            settings,
            device,
            observer,
            together,
            solver,
            output_prior,
            output_m_step,
        )
        with quiet(not together.first):
            return run.run(checkpoint, run.saved(checkpoint) if resume and checkpoint is not None else None)


class Refinement:
    """A refinement, step by step: `start`, `iterate` until converged, `finish`; `run` does all of them.

    Parameters
    ----------
    particles, reference, prior, m_step, settings, device, observer
        As in `refine`.
    processes : Processes, optional
        Those that share the particles; this one alone by default.
    solver, output_prior, output_m_step
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
        processes: Processes | None = None,
        solver: OuterSolver | None = None,
        output_prior: Prior | None = None,
        output_m_step: MStep | None = None,
    ):
        self.particles = particles
        self.processes = Processes() if processes is None else processes
        self.estimator = MapEstimator(GaussianPrior() if prior is None else prior, m_step)
        if output_prior is None and output_m_step is not None:
            raise InputError(f"an output M-step, {output_m_step!r}, goes with an output prior, found none")
        self.output = self.estimator.for_output() if output_prior is None else MapEstimator(output_prior, output_m_step)
        self.solver = EM() if solver is None else solver
        self.solver.check(self.estimator.prior)
        self.settings = RefinementSettings() if settings is None else settings
        self.observer = RefinementObserver() if observer is None else observer
        place = self.processes.place
        self.device = torch.device(resolve_device(device, place.local_rank, place.local_size))
        self.n, self.pixel_size = particles.n, particles.pixel_size
        self._given = torch.as_tensor(reference).to("cpu", torch.float32)
        self.reference = checked_reference(reference, self.n, self.device)
        self.symmetry = PointGroup(self.settings.symmetry)
        self.halves = split_particles(particles, self.settings.seed, self.settings.allow_duplicates)
        self.share = share_of(self.halves, place.rank, place.size)
        self.diameter = checked_diameter(self.reference, self.pixel_size, self.settings)
        self.mask = self._sphere(3)
        self.images = FourierImages(
            particles,
            self.device,
            use_ctf=self.settings.use_ctf,
            mask=self._sphere(2) if self.settings.noise_estimation == "masked" else None,
            cache_bytes=self.settings.memory_bytes,
            own=np.union1d(np.concatenate(self.share), scale_particles(len(particles), seed=self.settings.seed)),
        )
        s = self.settings
        self.interpolation = interpolation_scheme(self.n, s.interpolation, s.padding, s.gridding)
        self.passes = Passes(
            self.images,
            self.share,
            self.interpolation,
            self.symmetry,
            self.mask,
            s,
            self.processes,
            probe_particles(self.halves, seed=s.seed),
        )
        self.updates = MapUpdates(
            self.estimator,
            self.output,
            self.mask,
            float((self.mask**2).mean()) if s.signal_extent == "sphere" else 1.0,
            s.join_below,
            self.diameter,
            self.pixel_size,
            self.processes,
        )

    # --- the loop --------------------------------------------------------------------------------------------------

    def saved(self, checkpoint: Path) -> RefinementState | None:
        """State that an earlier leg of this run has saved, in every process; None, and a warning, where none has."""
        return resumed_state(checkpoint, self.fingerprint, self.processes)

    def run(self, checkpoint: Path | None = None, state: RefinementState | None = None) -> RefinementResult:
        """Iterate until converged, from the start or a `saved` state, then finish with all frequencies."""
        started = time.monotonic()
        # They must also end together; between the legs of a run the number may change.
        fingerprint = {**self.fingerprint, "max_iterations": str(self.settings.max_iterations)}
        check_same_run(fingerprint, self.device, self.processes)
        if state is None:
            state = self.start()
        else:
            log.info("resuming after iteration %d", state.iteration)
            state = state.to(self.device)
        before = state.seconds
        while not state.done(self.settings):
            state = self.iterate(state)
            state.seconds = before + time.monotonic() - started
            state.history[-1]["seconds"] = round(state.seconds, 3)
            if self.processes.first:
                if checkpoint is not None:
                    state.save(checkpoint, self.fingerprint)
                self.observer.iteration(state.history[-1])
        return self.finish(state, lambda: before + time.monotonic() - started)

    def start(self) -> RefinementState:
        """First state: the reference, low-passed, masked and in the images' grey scale, and a first noise power."""
        noise = initial_noise(self.images, np.concatenate(self.share), self.processes)
        reference = low_pass(self.reference, self.pixel_size, self.settings.initial_lowpass) * self.mask
        window = self._window(self.n * self.pixel_size / self.settings.initial_lowpass)
        if self.processes.first:
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
            processes=self.processes,
        )
        reference = reference * scale.factor
        poses = Poses(np.tile(np.eye(3), (len(self.particles), 1, 1)))
        moments = PoseMoments.isotropic(poses, 180.0, self.settings.max_shift)
        state = RefinementState((reference, reference), noise, moments, Schedule(), window, diameter=self.diameter)
        return self._agreed(state)

    def iterate(self, state: RefinementState) -> RefinementState:
        """One iteration: E-steps of both halves, FSC and signal power of the unregularised maps, the next maps."""
        iteration = state.iteration + 1
        retention = self._retention(state)
        halves, solutions, summary = self._pass(state, state.window, f"iteration {iteration}")
        moments = summary.moments
        assert moments is not None
        maps = HalfMaps.of(halves, self.mask, state.window, self.processes)
        resolution = maps.resolution(self.pixel_size)
        if self.processes.first:
            self.observer.half_maps(iteration, maps)
        (first, second), contexts = self.updates.of_halves(halves, maps, state.references, solutions, iteration)
        schedule = replace(state.schedule)
        changes = pose_changes(state.moments.poses, moments.poses, self.symmetry)
        record = iteration_record(state, maps, summary, self._search(state), changes, self.pixel_size, retention)
        schedule.advance(self.settings, resolution.shell, changes, float(np.median(moments.degrees)))
        after = RefinementState(
            (first * self.mask, second * self.mask),
            RadialGaussianNoise.from_residuals(halves[0].residuals + halves[1].residuals),
            moments,
            schedule,
            self._window(resolution.shell),
            iteration,
            [*state.history, record],
            self.diameter,
            contexts=contexts,
        )
        return self._agreed(after)

    def finish(self, state: RefinementState, clock: Callable[[], float]) -> RefinementResult:
        """Last E-step with all frequencies, then one map of both halves' statistics."""
        window, name = (self.n - 1) / 2, "final iteration"
        halves = self.passes.expectation(state, self._search(state), window, self._counter(name))
        summary = PosteriorSummary.concatenate([half.particles for half in halves])
        moments = summary.moments
        assert moments is not None
        maps = HalfMaps.of(halves, self.mask, processes=self.processes)
        resolution = maps.resolution(self.pixel_size)
        volume = self.updates.of_all(halves, maps, state.references, state.iteration + 1)
        return RefinementResult(
            volume * self.mask,
            maps.volumes,
            maps.fsc,
            maps.fsc_masked,
            resolution,
            maps.resolution(self.pixel_size, masked=True),
            moments.poses,
            self.halves,
            summary,
            RadialGaussianNoise.from_residuals(halves[0].residuals + halves[1].residuals),
            self.pixel_size,
            self.diameter,
            state.history,
            state.schedule.converged,
            clock(),
            run_warnings(state, summary, self._search(state)),
        )

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """Short hashes of particles, half-sets, reference, prior and settings: what a checkpoint must agree with."""
        return run_fingerprint(
            self.particles,
            self.halves,
            self._given,
            {
                "prior": (self.estimator.prior, self.estimator.m_step),
                "solver": (self.solver,),
                "prior of the output": (self.output.prior, self.output.m_step),
            },
            self.settings,
            self.images.use_ctf,
        )

    # --- its steps -------------------------------------------------------------------------------------------------

    def _pass(
        self, state: RefinementState, window: float, name: str
    ) -> tuple[Halves, list[torch.Tensor] | None, PosteriorSummary]:
        """Statistics of both halves, and the solutions a mini-batch solver has found beside them."""
        search, advance, solutions = self._search(state), self._counter(name), None
        if not isinstance(self.solver, EM) and state.contexts is not None:
            halves, solutions = self.passes.epoch(self.solver, self.estimator, state, search, window, advance)
        else:
            halves = self.passes.expectation(state, search, window, advance)
        return halves, solutions, PosteriorSummary.concatenate([half.particles for half in halves])

    def _retention(self, state: RefinementState) -> torch.Tensor | None:
        """Part of the references that comes back as data, when poses are first oversampled, if the prior is guarded.

        Denoised features grow from there on; later it would tell of what they have grown into.
        """
        begins = state.schedule.stage == 1 and state.schedule.iterations_in_stage == 0
        if not (begins and (self.estimator.prior.guarded or self.output.prior.guarded)):
            return None
        total, own = (2 * sum(map(len, each)) for each in (self.passes.asked, self.passes.own_asked()))
        advance = particle_counter(self.observer, "response to references", total, own, self.processes.first)
        return self.passes.retention(state, self._search(state), advance)

    def _counter(self, name: str) -> Callable[[int], None] | None:
        own = sum(map(len, self.share))
        return particle_counter(self.observer, name, len(self.particles), own, self.processes.first)

    def _search(self, state: RefinementState) -> ExhaustiveSearch | LocalSearch:
        return state.schedule.search(self.settings, state.moments, self.pixel_size)

    def _agreed(self, state: RefinementState) -> RefinementState:
        agreed = agreed_state(state, self.processes, self.device)
        assert agreed is not None
        return agreed

    def _window(self, shell: float) -> float:
        return float(min(shell + self.settings.window_margin, (self.n - 1) / 2))

    def _sphere(self, ndim: int) -> torch.Tensor:
        radius = self.diameter / 2 / self.pixel_size
        return soft_sphere(self.n, radius, self.settings.mask_edge_pixels, ndim, torch.float32, self.device)
