"""Atoms to potential maps, and particle images with known truth."""

from cryoinv.operators import low_pass
from cryoinv.simulation.dataset import SimulatedDataset, simulate_dataset
from cryoinv.simulation.demo import demo_structure
from cryoinv.simulation.lowpass import band_limit
from cryoinv.simulation.noise import noise_power
from cryoinv.simulation.optics import CtfDistribution
from cryoinv.simulation.particles import SimulatedParticles, simulate_particles
from cryoinv.simulation.potential import centre_of_mass, model_diameter, potential_map
from cryoinv.simulation.resample import resample
from cryoinv.simulation.scattering import scattering_factor

__all__ = [
    "CtfDistribution",
    "SimulatedDataset",
    "SimulatedParticles",
    "band_limit",
    "centre_of_mass",
    "demo_structure",
    "low_pass",
    "model_diameter",
    "noise_power",
    "potential_map",
    "resample",
    "scattering_factor",
    "simulate_dataset",
    "simulate_particles",
]
