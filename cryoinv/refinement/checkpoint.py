"""Which run a checkpoint belongs to, and going on from it."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from cryoinv.parallel import Processes
from cryoinv.priors import Prior
from cryoinv.solvers import MStep

from .settings import RefinementSettings
from .state import RefinementState
from .together import agreed_state

if TYPE_CHECKING:
    from cryoinv.io import ParticleStack

__all__ = ["resumed_state", "run_fingerprint"]

log = logging.getLogger(__name__)

_MAY_CHANGE = ("max_iterations", "memory_bytes")  # between the legs of a resumed run


def run_fingerprint(
    particles: ParticleStack,
    halves: np.ndarray,
    reference: torch.Tensor,
    prior: Prior,
    m_step: MStep,
    settings: RefinementSettings,
    use_ctf: bool,
) -> str:
    """Short hash of all that the legs of a resumed run must agree in; the images themselves go by their names.

    Parameters
    ----------
    particles : ParticleStack
        Names, optics and CTF parameters count, these only if `use_ctf`.
    halves : numpy.ndarray, shape (m,)
        Half-set of every particle.
    reference : torch.Tensor, shape (n, n, n), on the CPU
        As it was given: its background is a sum, whose last digit depends on the number of threads.
    prior, m_step : Prior, MStep
        By what they print.
    settings : RefinementSettings
        All but the number of iterations and the memory.
    use_ctf : bool
        Whether the CTF is applied.

    Returns
    -------
    str
    """
    digest = hashlib.sha256()
    names = getattr(particles, "image_names", None)
    ctf = particles.ctf_parameters() if use_ctf else {}
    parts = [
        len(particles),
        particles.n,
        particles.pixel_size,
        sorted(item for item in asdict(settings).items() if item[0] not in _MAY_CHANGE),
        repr(prior),
        repr(m_step),
        [] if names is None else [str(x) for x in names],
    ]
    digest.update(repr(parts).encode())
    for values in (halves, particles.optics_group, *ctf.values()):
        digest.update(np.ascontiguousarray(values).tobytes())
    digest.update(reference.numpy().tobytes())
    return digest.hexdigest()[:32]


def resumed_state(
    path: Path, fingerprint: str, device: torch.device | str = "cpu", processes: Processes | None = None
) -> RefinementState | None:
    """State saved at `path`, None (and a warning) where nothing is.

    Parameters
    ----------
    path : Path
        The checkpoint.
    fingerprint : str
        Of the run that wants to go on.
    device : torch.device or str
        Where the state is wanted.
    processes : Processes, optional
        All get the state; the first one reads it.

    Returns
    -------
    RefinementState or None

    Raises
    ------
    InputError
        If the file is damaged or belongs to other particles, reference or settings.
    """
    processes = Processes() if processes is None else processes
    state = None
    if not processes.first:
        pass
    elif Path(path).exists():
        state = RefinementState.load(Path(path), fingerprint, device)
        log.info("resuming after iteration %d", state.iteration)
    else:
        log.warning("no checkpoint at %s: starting afresh", path)
    return agreed_state(state, processes, device)
