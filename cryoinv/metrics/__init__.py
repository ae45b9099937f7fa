"""FSC, resolution, gain and pose error: what a reconstruction is judged by."""

from cryoinv.metrics.fsc import fourier_shell_correlation, fsc_from_spectra, shell_gain
from cryoinv.metrics.resolution import Resolution, resolution_at

__all__ = [
    "Resolution",
    "fourier_shell_correlation",
    "fsc_from_spectra",
    "resolution_at",
    "shell_gain",
]
