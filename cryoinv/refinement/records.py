"""What a refinement says of itself: the record of every iteration, and the warnings at the end."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch

from cryoinv.likelihood import ExhaustiveSearch, LocalSearch, PosteriorSummary

from .gold_standard import HalfMaps
from .state import RefinementState

__all__ = ["iteration_record", "run_warnings"]

log = logging.getLogger(__name__)

_LOST = 1.035  # of five refinements: 1.04 to 1.18 where half-maps promised over two shells too much, else 0.91 to 1.03


def iteration_record(
    state: RefinementState,
    maps: HalfMaps,
    summary: PosteriorSummary,
    search: ExhaustiveSearch | LocalSearch,
    changes: np.ndarray,
    pixel_size: float,
    retention: torch.Tensor | None = None,
) -> dict[str, Any]:
    """Row of ``iterations.jsonl``.

    Parameters
    ----------
    state : RefinementState
        Before the iteration.
    maps : HalfMaps
        Of the iteration.
    summary : PosteriorSummary
        Of all particles.
    search : ExhaustiveSearch or LocalSearch
        Poses looked at.
    changes : numpy.ndarray, shape (m,)
        By how many degrees each particle turned.
    pixel_size : float
        Å per pixel.
    retention : torch.Tensor, shape (n//2+1,), optional
        Part of the references that comes back as data, in an iteration that has measured it.

    Returns
    -------
    dict
    """
    moments = summary.moments
    assert moments is not None
    moved = np.linalg.norm(moments.poses.shifts - state.moments.poses.shifts, axis=1)
    masked = maps.resolution(pixel_size, masked=True)
    return {
        "iteration": state.iteration + 1,
        "stage": state.schedule.stage,
        "search_degrees": search.spacing_degrees,
        "window_shells": round(float(state.window), 2),
        "resolution_half_0143_angstrom": round(maps.resolution(pixel_size).angstrom, 4),
        "resolution_half_0143_masked_angstrom": round(masked.angstrom, 4),
        "retention_highest": None if retention is None else round(float(retention[1:].max()), 3),
        "orientation_change_mean_degrees": round(float(changes.mean()), 4),
        "shift_change_mean_angstrom": round(float(moved.mean()), 4),
        "orientation_spread_median_degrees": round(float(np.median(moments.degrees)), 4),
        "log_likelihood": float(summary.log_likelihood.sum()),
        "max_probability_mean": round(float(summary.max_probability.mean()), 5),
        "entropy_mean": round(float(summary.entropy.mean()), 4),
    }


def run_warnings(
    state: RefinementState, summary: PosteriorSummary, search: ExhaustiveSearch | LocalSearch
) -> list[str]:
    """What the user should know of a finished run; logged as well.

    Parameters
    ----------
    state : RefinementState
        The last one.
    summary : PosteriorSummary
        Of the final E-step.
    search : ExhaustiveSearch or LocalSearch
        Poses it looked at.

    Returns
    -------
    list of str
    """
    found = []
    if not state.schedule.converged:
        found.append(f"stopped after {state.iteration} iterations, the most allowed, without convergence")
    mass = float(np.mean(summary.max_probability))
    if mass > 0.5:
        found.append(
            f"the pose grid ({search.spacing_degrees:.3g}°) is coarser than the posterior: its best pose holds "
            f"{mass:.0%} of the mass on average, so confidences are overstated"
        )
    retention = max((row.get("retention_highest") or 0.0 for row in state.history), default=0.0)
    if retention >= _LOST:
        found.append(
            f"when poses were first oversampled, {retention:.0%} of a change of the reference came back as data: "
            "images may say too little to find their poses, and half-maps of lost poses agree better than they should"
        )
    if not isinstance(search, LocalSearch):
        found.append("all iterations searched all orientations: poses are no finer than the global grid")
    for text in found:
        log.warning(text)
    return found
