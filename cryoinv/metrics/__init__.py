"""FSC, resolution, gain and pose error: what a reconstruction is judged by; and what a denoiser is."""

from cryoinv.metrics.denoiser_checks import (
    MmseConsistency,
    derivative_error,
    homogeneity_error,
    jacobian_asymmetry,
    lipschitz_estimate,
    mmse_consistency,
    offset_error,
    rotation_error,
    scale_error,
)
from cryoinv.metrics.denoiser_report import DenoiserReport, check_denoiser
from cryoinv.metrics.frames import Frame, find_frame, mirror_rotations
from cryoinv.metrics.fsc import fourier_shell_correlation, fsc_from_spectra, shell_gain
from cryoinv.metrics.near_symmetry import NearSymmetry, find_near_symmetry, self_correlation
from cryoinv.metrics.pose_error import PoseErrors, pose_errors
from cryoinv.metrics.resample import map_in_true_frame
from cryoinv.metrics.resolution import Resolution, resolution_at

__all__ = [
    "DenoiserReport",
    "Frame",
    "MmseConsistency",
    "NearSymmetry",
    "PoseErrors",
    "Resolution",
    "check_denoiser",
    "derivative_error",
    "find_frame",
    "find_near_symmetry",
    "fourier_shell_correlation",
    "fsc_from_spectra",
    "homogeneity_error",
    "jacobian_asymmetry",
    "lipschitz_estimate",
    "map_in_true_frame",
    "mirror_rotations",
    "mmse_consistency",
    "offset_error",
    "pose_errors",
    "resolution_at",
    "rotation_error",
    "scale_error",
    "self_correlation",
    "shell_gain",
]
