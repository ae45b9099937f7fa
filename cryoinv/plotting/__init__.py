"""Figures from plain arrays, written to a file in one call."""

from cryoinv.plotting.bars import plot_bars
from cryoinv.plotting.fsc import plot_fsc
from cryoinv.plotting.orientations import plot_orientations
from cryoinv.plotting.pose_error import plot_angular_errors
from cryoinv.plotting.resolution import plot_resolution_history
from cryoinv.plotting.slices import plot_central_slices

__all__ = [
    "plot_angular_errors",
    "plot_bars",
    "plot_central_slices",
    "plot_fsc",
    "plot_orientations",
    "plot_resolution_history",
]
