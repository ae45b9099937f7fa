"""MRC maps and stacks, RELION STAR files, atomic models, and particles read lazily from disk."""

from cryoinv.io.matching import match_particles
from cryoinv.io.mrc import StackWriter, read_array, read_volume, write_stack, write_volume
from cryoinv.io.mrc_header import same_pixel_size
from cryoinv.io.mrc_stack import MrcStack, open_stack
from cryoinv.io.optics import OpticsGroup
from cryoinv.io.particles import ParticleStack
from cryoinv.io.star import ParticleTable, read_particle_table
from cryoinv.io.star_blocks import read_star, write_star
from cryoinv.io.star_writer import write_particles_star
from cryoinv.io.structures import AtomicModel, read_structure, write_structure
from cryoinv.io.weights import read_weights, write_weights

__all__ = [
    "AtomicModel",
    "MrcStack",
    "OpticsGroup",
    "ParticleStack",
    "ParticleTable",
    "StackWriter",
    "match_particles",
    "open_stack",
    "read_array",
    "read_particle_table",
    "read_star",
    "read_structure",
    "read_volume",
    "read_weights",
    "same_pixel_size",
    "write_particles_star",
    "write_stack",
    "write_star",
    "write_structure",
    "write_volume",
    "write_weights",
]
