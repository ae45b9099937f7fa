"""MRC maps and stacks, RELION STAR files, atomic models, and particles read lazily from disk."""

from cryoinv.io.mrc import (
    MrcStack,
    StackWriter,
    open_stack,
    read_array,
    read_volume,
    write_stack,
    write_volume,
)
from cryoinv.io.mrc_header import same_pixel_size
from cryoinv.io.structures import AtomicModel, read_structure, write_structure

__all__ = [
    "AtomicModel",
    "MrcStack",
    "StackWriter",
    "open_stack",
    "read_array",
    "read_structure",
    "read_volume",
    "same_pixel_size",
    "write_stack",
    "write_structure",
    "write_volume",
]
