"""What a launcher such as ``torchrun`` tells a process of its place among the others."""

from __future__ import annotations

import os
from dataclasses import dataclass

from cryoinv.errors import InputError

__all__ = ["Launch", "launched"]


@dataclass(frozen=True)
class Launch:
    """Place of this process among those started together.

    Parameters
    ----------
    rank, size : int
        Number of this process, and how many there are.
    local_rank, local_size : int
        The same among those of this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1


def launched() -> Launch:
    """Place told by the environment (RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE); alone where it tells nothing.

    Returns
    -------
    Launch

    Raises
    ------
    InputError
        If a variable is not a number that fits the others.

    Examples
    --------
    >>> launched()
    Launch(rank=0, size=1, local_rank=0, local_size=1)
    """
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        return Launch()
    rank, size = _number("RANK"), _number("WORLD_SIZE")
    place = Launch(rank, size, _number("LOCAL_RANK", rank), _number("LOCAL_WORLD_SIZE", size))
    if not (0 <= place.rank < place.size and 0 <= place.local_rank < place.local_size):
        raise InputError(
            f"RANK {rank} of WORLD_SIZE {size} and LOCAL_RANK {place.local_rank} of LOCAL_WORLD_SIZE "
            f"{place.local_size} in the environment, expected ranks from 0 below the sizes"
        )
    return place


def _number(name: str, default: int | None = None) -> int:
    text = os.environ.get(name, "" if default is None else str(default))
    if not text.isdecimal():
        raise InputError(f"{name} is {text!r} in the environment, expected a whole number")
    return int(text)
