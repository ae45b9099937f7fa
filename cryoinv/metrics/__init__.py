"""FSC, resolution, gain and pose error: what a reconstruction is judged by."""

from cryoinv.metrics.frames import Frame, find_frame, mirror_rotations
from cryoinv.metrics.fsc import fourier_shell_correlation, fsc_from_spectra, shell_gain
from cryoinv.metrics.near_symmetry import NearSymmetry, find_near_symmetry, self_correlation
from cryoinv.metrics.pose_error import PoseErrors, pose_errors
from cryoinv.metrics.resample import map_in_true_frame
from cryoinv.metrics.resolution import Resolution, resolution_at

__all__ = [
    "Frame",
    "NearSymmetry",
    "PoseErrors",
    "Resolution",
    "find_frame",
    "find_near_symmetry",
    "fourier_shell_correlation",
    "fsc_from_spectra",
    "map_in_true_frame",
    "mirror_rotations",
    "pose_errors",
    "resolution_at",
    "self_correlation",
    "shell_gain",
]
