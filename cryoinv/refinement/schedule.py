"""From coarse to fine: which poses each iteration searches, when to go finer, when to stop."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from cryoinv.geometry import PointGroup, Poses, SO3Grid, symmetric_rotation_distance
from cryoinv.likelihood import ExhaustiveSearch, LocalSearch, Oversampling, PosteriorSummary

from .settings import RefinementSettings

__all__ = ["Schedule"]

_NARROW = 0.2  # a best pose that holds more than this: the grid is coarser than the posterior
_FINEST_DEGREES = 0.1


@dataclass
class Schedule:
    """Sampling of one refinement.

    Stage 0 searches all orientations; stage s >= 1 searches a ball around each particle's pose, whose step halves
    with every stage. A stage ends when it *stalls*: in an iteration neither the resolution improved by a shell nor did
    the poses settle by more than a tenth. Stage 0 also ends when the poses move by less than half its grid's spacing,
    on average, so that nothing is left for it to find. The refinement has *converged* when a stage stalls whose grid is
    already finer than the posterior (the best pose holds less than a fifth of the mass, on average): a finer one has
    nothing to add.

    Parameters
    ----------
    stage : int
        Present stage.
    best_shell : float
        Best resolution so far, in shells.
    smallest_change : float
        Smallest mean change of orientation of the stage, degrees.
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
        self, settings: RefinementSettings, poses: Poses, pixel_size: float
    ) -> ExhaustiveSearch | LocalSearch:
        """Poses that the next iteration looks at."""
        oversampling = Oversampling(settings.significance, settings.max_orientations)
        reach = settings.max_shift / pixel_size
        if self.stage == 0:
            grid = SO3Grid(settings.orientation_order, settings.symmetry)
            return ExhaustiveSearch(grid, reach, min(1.0, reach) or 1.0, oversampling)
        step = self.step_degrees(settings)
        around = min(1.0 if self.stage == 1 else 0.5, reach)
        return LocalSearch(
            poses, pixel_size, step, settings.local_reach * step, around, around or 1.0, oversampling, reach
        )

    def step_degrees(self, settings: RefinementSettings) -> float:
        """Coarse step of the present stage's search."""
        return 60 / 2**settings.orientation_order / 2**self.stage

    def advance(
        self, settings: RefinementSettings, shell: float, change: float, summary: PosteriorSummary
    ) -> None:
        """Take note of an iteration's resolution (in shells) and mean change of orientation (degrees)."""
        gained = shell >= self.best_shell + 1 or change < 0.9 * self.smallest_change
        self.best_shell = max(self.best_shell, shell)
        self.smallest_change = min(self.smallest_change, change)
        self.iterations_in_stage += 1
        if self.stage == 0:
            settled = change < 0.5 * self.step_degrees(settings) / 2
            if settled or not gained or self.iterations_in_stage >= settings.global_iterations:
                self._next_stage()
            return
        if gained:
            return
        narrow = float(np.mean(summary.max_probability)) > _NARROW
        if narrow and self.step_degrees(settings) / 4 > _FINEST_DEGREES:
            self._next_stage()
        else:
            self.converged = True

    def _next_stage(self) -> None:
        self.stage += 1
        self.smallest_change, self.iterations_in_stage = 360.0, 0

    def to_dict(self) -> dict:
        """Return plain numbers, for checkpoints."""
        return asdict(self)


def mean_change(before: Poses, after: Poses, symmetry: PointGroup) -> float:
    """Mean angle in degrees between two sets of orientations of the same particles, symmetry mates being equal."""
    return float(np.mean(symmetric_rotation_distance(before.rotations, after.rotations, symmetry)))
