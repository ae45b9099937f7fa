"""Noise models and their estimation."""

from .radial import RadialGaussianNoise
from .residuals import ResidualPower

__all__ = ["RadialGaussianNoise", "ResidualPower"]
