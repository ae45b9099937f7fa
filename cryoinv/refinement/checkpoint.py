"""Going on from a checkpoint."""

from __future__ import annotations

import logging
from pathlib import Path

from cryoinv.parallel import Processes

from .fingerprint import Fingerprint
from .state import RefinementState
from .together import agreed_state

__all__ = ["resumed_state"]

log = logging.getLogger(__name__)


def resumed_state(
    path: Path, fingerprint: Fingerprint, processes: Processes | None = None
) -> RefinementState | None:
    """State saved at `path`, on the CPU, None (and a warning) where nothing is.

    Parameters
    ----------
    path : Path
        The checkpoint.
    fingerprint : mapping of str to str
        Of the run that wants to go on.
    processes : Processes, optional
        All get the state; the first one reads it.

    Returns
    -------
    RefinementState or None

    Raises
    ------
    InputError
        If the file cannot be read, is damaged, or belongs to another run or version.
    """
    processes = Processes() if processes is None else processes
    state = None
    if not processes.first:
        pass
    elif Path(path).exists():
        state = RefinementState.load(Path(path), fingerprint)
    else:
        log.warning("no checkpoint at %s: starting afresh", path)
    return agreed_state(state, processes, "cpu")
