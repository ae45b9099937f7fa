"""One process alone, with everything that several of them can do together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from .launch import Launch

__all__ = ["Arrays", "Processes"]

Arrays = Mapping[str, np.ndarray]


class Processes:
    """The processes of a run as one of them sees them; here it is alone, and every exchange gives back what it got.

    All processes call the same methods in the same order, each with its own share.

    Attributes
    ----------
    place : Launch
        Place of this process among all and among those of its machine.
    waited : float
        Seconds this process has spent in exchanges, waiting for others included.

    Examples
    --------
    >>> alone = Processes()
    >>> alone.first, alone.size
    (True, 1)
    >>> alone.sum([torch.ones(2)])
    [tensor([1., 1.])]
    """

    def __init__(self) -> None:
        self.place = Launch()
        self.waited = 0.0

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return self.place.rank

    @property
    def size(self) -> int:
        """How many processes there are."""
        return self.place.size

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks for all."""
        return self.rank == 0

    def sum(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Sums over all processes; the tensors given may be overwritten."""
        return list(tensors)

    def gather(self, arrays: Arrays) -> list[Arrays]:
        """Named arrays of every process, by rank."""
        return [arrays]

    def broadcast(self, arrays: Arrays, root: int = 0) -> Arrays:
        """Named arrays of process `root`; those that the others give do not matter."""
        return arrays

    def share(
        self, tasks: Sequence[Callable[[], torch.Tensor]], device: torch.device | str = "cpu"
    ) -> list[torch.Tensor]:
        """Results of tasks, each done by one process and then the very same everywhere, on `device`."""
        if self.size == 1:
            return [task() for task in tasks]
        owners = [number * self.size // len(tasks) for number in range(len(tasks))]
        # All work first: a result on its way would make the next one's owner wait.
        own = {number: task() for number, task in enumerate(tasks) if owners[number] == self.rank}
        sent = [{"result": own[number].cpu().numpy()} if number in own else {} for number in range(len(tasks))]
        received = [self.broadcast(arrays, owner) for arrays, owner in zip(sent, owners, strict=True)]
        return [torch.as_tensor(arrays["result"], device=device) for arrays in received]

    def speaks(self) -> bool:
        """Whether this process is the first to end with a message: the others leave it at that."""
        return True

    def close(self) -> None:
        """Take leave of the others; nothing can be exchanged afterwards."""
