"""From coarse to fine: which poses each iteration searches, when to go finer, when to stop."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from cryoinv.geometry import PointGroup, Poses, SO3Grid, symmetric_rotation_distance
from cryoinv.likelihood import ExhaustiveSearch, LocalSearch, Oversampling, PoseMoments

from .settings import RefinementSettings

__all__ = ["STAGES", "Schedule"]

STAGES = ("global", "oversampled", "local")

_SETTLED = 0.05  # share of particles still turning by more than a step of the global grid
_NARROW = 0.6  # of the global grid's step: a posterior of less spread falls between its points
_QUIET = 0.35  # of the posterior's spread: poses that move less have come to rest


@dataclass
class Schedule:
    """Sampling of one refinement.

    Stages 0 and 1 search all orientations, stage 1 with the significant ones oversampled; stage 2 searches a lattice
    around each particle's mean pose, scaled to its posterior. An iteration *gains* if the resolution is better by a
    shell than when it last gained so, or if the poses move, on average, less than 0.9 times as far as in any iteration
    of the stage since then. Stage 0 ends when the posteriors have become narrow for its grid: the median spread is
    below 0.6 of a step. Stage 1 ends when fewer than a twentieth of the particles still turn by more than a step of the
    grid, so that nothing is left for it to find. Both end when an iteration does not gain. The refinement has
    *converged* when in stage 2 the resolution does not improve by a shell, and the poses either move by less than 0.35
    of the posterior's spread or do not settle any more.

    Parameters
    ----------
    stage : int
        Present stage.
    best_shell : float
        Resolution when it last gained a shell, in shells.
    smallest_change : float
        Smallest mean change of orientation of the stage since then, degrees.
    iterations_in_stage : int
        Iterations done in the stage.
    converged : bool
        Whether the refinement is done.
    """

    stage: int = 0
    best_shell: float = 0.0
    smallest_change: float = 360.0
    iterations_in_stage: int = 0
    converged: bool = False

    def search(
        self, settings: RefinementSettings, moments: PoseMoments, pixel_size: float
    ) -> ExhaustiveSearch | LocalSearch:
        """Poses that the next iteration looks at, given what the last one found."""
        reach = settings.max_shift / pixel_size
        if self.stage < 2:
            grid = SO3Grid(settings.orientation_order, settings.symmetry)
            fine = Oversampling(settings.significance, settings.max_orientations)
            oversampling = fine if self.stage == 1 else None
            return ExhaustiveSearch(grid, reach, min(1.0, reach) or 1.0, oversampling)
        widest = global_step_degrees(settings) / 2
        return LocalSearch(
            moments.bounded(widest, pixel_size), pixel_size, reach, settings.local_step, settings.local_reach
        )

    def advance(
        self, settings: RefinementSettings, shell: float, changes: np.ndarray, spread_degrees: float
    ) -> None:
        """Take note of an iteration.

        Parameters
        ----------
        settings : RefinementSettings
            Of the refinement.
        shell : float
            Resolution, in shells.
        changes : numpy.ndarray, shape (m,)
            By how many degrees each particle turned.
        spread_degrees : float
            Spread of the posterior over orientations, median over particles.
        """
        change = float(np.mean(changes))
        finer, settling = shell >= self.best_shell + 1, change < 0.9 * self.smallest_change
        # Gains of less than a shell add up; and after one of more, with more frequencies, poses may move anew.
        self.best_shell = shell if finer else self.best_shell
        self.smallest_change = change if finer else min(self.smallest_change, change)
        self.iterations_in_stage += 1
        if self.stage < 2:
            step = global_step_degrees(settings)
            done = np.mean(changes > step) < _SETTLED if self.stage else spread_degrees < _NARROW * step
            if done or not (finer or settling) or self.iterations_in_stage >= settings.global_iterations:
                self.stage += 1
                self.smallest_change, self.iterations_in_stage = 360.0, 0
        elif not finer:
            self.converged = change < _QUIET * spread_degrees or not settling

    def to_dict(self) -> dict:
        """Return plain numbers, for checkpoints."""
        return asdict(self)


def global_step_degrees(settings: RefinementSettings) -> float:
    """Step of the global grid before it is oversampled."""
    return 60 / 2**settings.orientation_order


def pose_changes(before: Poses, after: Poses, symmetry: PointGroup) -> np.ndarray:
    """Angles in degrees between two sets of orientations of the same particles, symmetry mates being equal."""
    return np.asarray(symmetric_rotation_distance(before.rotations, after.rotations, symmetry))
