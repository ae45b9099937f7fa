"""Which run it is: short hashes of all that its legs and its processes must agree in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import torch

from cryoinv.described import Described

from .settings import RefinementSettings

if TYPE_CHECKING:
    from cryoinv.io import ParticleStack

__all__ = ["Fingerprint", "different_parts", "run_fingerprint"]

Fingerprint = Mapping[str, str]

_MAY_CHANGE = ("max_iterations", "memory_bytes")  # between the legs of a resumed run
_IMAGES = 16  # so many stand for all: other images under the same names differ everywhere


def run_fingerprint(
    particles: ParticleStack,
    halves: np.ndarray,
    reference: torch.Tensor,
    method: Mapping[str, Sequence[Described]],
    settings: RefinementSettings,
    use_ctf: bool,
) -> dict[str, str]:
    """Short hashes of all that the legs of a resumed run must agree in, by the part's name; settings as they are.

    Parameters
    ----------
    particles : ParticleStack
        Names, optics groups, pixels of a few images from the first to the last, CTF parameters if `use_ctf`.
    halves : numpy.ndarray, shape (m,)
        Half-set of every particle.
    reference : torch.Tensor, shape (n, n, n), on the CPU
        As it was given: its background is a sum, whose last digit depends on the number of threads.
    method : mapping of str to sequence of Described
        Prior and M-step, solver and the like, by what they print.
    settings : RefinementSettings
        All but the number of iterations and the memory.
    use_ctf : bool
        Whether the CTF is applied.

    Returns
    -------
    dict of str to str

    Raises
    ------
    InputError
        If one of the images cannot be used.
    """
    names = [str(name) for name in getattr(particles, "image_names", ())]
    ctf = particles.ctf_parameters() if use_ctf else {}
    some = np.unique(np.linspace(0, len(particles) - 1, _IMAGES).astype(np.int64))
    fixed = sorted(item for item in asdict(settings).items() if item[0] not in _MAY_CHANGE)
    return {
        "particles": _short_hash(len(particles), particles.n, particles.pixel_size, names, particles.optics_group),
        "images": _short_hash(particles.images(some)),
        "CTF": _short_hash(*ctf.values()),
        "half-sets": _short_hash(halves),
        "reference": _short_hash(reference.numpy()),
        **{name: _short_hash(*(part.identity() for part in parts)) for name, parts in method.items()},
        **{name: repr(value) for name, value in fixed},
    }


def different_parts(one: Fingerprint, other: Fingerprint) -> list[str]:
    """Names of the parts in which two runs differ.

    Examples
    --------
    >>> different_parts({"images": "0a", "prior": "1b"}, {"images": "0a", "prior": "2c"})
    ['prior']
    """
    return [name for name in {**one, **other} if one.get(name) != other.get(name)]


def _short_hash(*values: object) -> str:
    digest = hashlib.sha256()
    for value in values:
        bare = np.ascontiguousarray(value).tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
        digest.update(bare)
    return digest.hexdigest()[:16]
