"""From atomic structures to a trained denoiser: pairs of noisy and true maps, training, calibration."""
