"""Noise models and their estimation."""

from .initial import initial_noise
from .radial import RadialGaussianNoise
from .residuals import ResidualPower

__all__ = ["RadialGaussianNoise", "ResidualPower", "initial_noise"]
