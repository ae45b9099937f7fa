"""Processes that exchange numbers by ``torch.distributed``."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from cryoinv.errors import LostProcessError, lacks_memory

from .launch import Launch, launched
from .messages import packed, unpacked
from .processes import Arrays, Processes

__all__ = ["ProcessGroup", "joined"]

_MEETING = timedelta(minutes=30)  # until all have started
# A process that dies is noticed at once, its connections being closed; this is for machines that vanish. Processes that
# are healthy may be hours apart: one on a slower disk, or one that the system holds up.
_TIMEOUT = timedelta(hours=24)
# A thread of gloo's lets go of an exchange only after it has failed here, and aborts a Python that ends before that.
_LETTING_GO = 0.5  # seconds
_GROUPS = itertools.count()  # groups made one after the other must not read each other's addresses


@contextmanager
def joined() -> Iterator[Processes]:
    """All processes of this run: those of an initialised ``torch.distributed`` or of ``torchrun``, else this one alone.

    Yields
    ------
    Processes
        They are left when the block ends without an error. After an error they are not: whoever handles it still has
        a word to say (`Processes.speaks`), and the process is about to end.

    Raises
    ------
    InputError
        If the environment tells a place that cannot be.

    Examples
    --------
    >>> with joined() as processes:
    ...     processes.size
    1
    """
    place = _present_place()
    processes = ProcessGroup(place) if place.size > 1 else Processes()
    yield processes
    processes.close()


class ProcessGroup(Processes):
    """Processes started together, by ``torchrun`` for instance.

    Small things travel by gloo. Sums of tensors on GPUs are NCCL's where every process has a GPU to itself.

    Parameters
    ----------
    place : Launch
        Place of this process; an initialised ``torch.distributed`` is used as it is, and left as it is.

    Raises
    ------
    LostProcessError
        If the processes do not find each other; by every exchange, if another process has ended.
    """

    def __init__(self, place: Launch):
        super().__init__()
        self.place = place
        self._own = not dist.is_initialized()
        self._store: Any = None
        with _meeting(place):
            if self._own:
                store, _, _ = next(dist.rendezvous("env://", place.rank, place.size, timeout=_MEETING))
                self._store = dist.PrefixStore(f"cryoinv{next(_GROUPS)}", store)
                dist.init_process_group(
                    "gloo", store=self._store, rank=place.rank, world_size=place.size, timeout=_MEETING
                )
            self._gloo = dist.new_group(backend="gloo", timeout=_TIMEOUT)
        self._nccl: Any = None
        self._gpu_each: bool | None = None

    def sum(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Sums over all processes, the same everywhere; the tensors given may be overwritten."""
        return [self._sum(tensor) for tensor in tensors]

    def gather(self, arrays: Arrays) -> list[Arrays]:
        """Named arrays of every process, by rank."""
        message = packed(arrays)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        self._exchange(dist.all_gather, sizes, torch.tensor([len(message)]), group=self._gloo)
        padded = torch.zeros(int(max(sizes)), dtype=torch.uint8)
        padded[: len(message)] = torch.as_tensor(message.copy())
        received = [torch.empty_like(padded) for _ in range(self.size)]
        self._exchange(dist.all_gather, received, padded, group=self._gloo)
        return [unpacked(r.numpy()[: int(n)]) for r, n in zip(received, sizes, strict=True)]

    def broadcast(self, arrays: Arrays, root: int = 0) -> Arrays:
        """Named arrays of process `root`; those that the others give do not matter."""
        message = packed(arrays) if self.rank == root else np.empty(0, np.uint8)
        size = torch.tensor([len(message)])
        self._exchange(dist.broadcast, size, src=root, group=self._gloo)
        content = torch.as_tensor(message.copy()) if self.rank == root else torch.empty(int(size), dtype=torch.uint8)
        self._exchange(dist.broadcast, content, src=root, group=self._gloo)
        return unpacked(content.numpy())

    def speaks(self) -> bool:
        """Whether this process is the first to end with a message: the others leave it at that."""
        if self._store is None:
            return self.first
        try:
            return bool(self._store.add("ended with a message", 1) == 1)
        except RuntimeError:  # the store went with its machine: better to hear it twice than never
            return True

    def close(self) -> None:
        """Take leave of the others; nothing can be exchanged afterwards."""
        for group in (self._nccl, self._gloo):
            if group is not None:
                dist.destroy_process_group(group)
        if self._own:
            dist.destroy_process_group()

    def _sum(self, tensor: torch.Tensor) -> torch.Tensor:
        values = tensor.contiguous()
        numbers = torch.view_as_real(values) if values.is_complex() else values
        if not numbers.is_cuda:
            self._exchange(dist.all_reduce, numbers, group=self._gloo)
        elif self._has_gpu_to_itself(numbers.device):
            self._exchange(dist.all_reduce, numbers, group=self._nccl)
            torch.cuda.synchronize(numbers.device)
        else:
            host = numbers.cpu()
            self._exchange(dist.all_reduce, host, group=self._gloo)
            numbers.copy_(host)
        return values

    def _has_gpu_to_itself(self, device: torch.device) -> bool:
        """Whether no GPU serves two processes, which NCCL refuses; its group is made when first needed."""
        if self._gpu_each is None:
            name = str(torch.cuda.get_device_properties(device).uuid).encode()
            found = {a["gpu"].tobytes() for a in self.gather({"gpu": np.frombuffer(name, np.uint8)})}
            self._gpu_each = len(found) == self.size and dist.is_nccl_available()
            if self._gpu_each:
                self._nccl = dist.new_group(backend="nccl", timeout=_TIMEOUT)
        # NCCL would wait for ever for a process that has died in the meantime; gloo notices.
        self._exchange(dist.barrier, group=self._gloo)
        return self._gpu_each

    def _exchange(self, call: Callable[..., object], *arguments: Any, **more: Any) -> None:
        started = time.perf_counter()
        with _noticing_losses(self):
            call(*arguments, **more)
        self.waited += time.perf_counter() - started


@contextmanager
def _meeting(place: Launch) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:  # ValueError: a port that is no number
        where = ":".join(os.environ.get(name, "") for name in ("MASTER_ADDR", "MASTER_PORT"))
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise LostProcessError(
            f"process {place.rank} of {place.size} (from 0) did not meet the others at {where} ({reason}); expected "
            "all to start and none to end, the first one's address (MASTER_ADDR), and a free port there (MASTER_PORT)"
        ) from error


@contextmanager
def _noticing_losses(processes: Processes) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if lacks_memory(error):  # of this process's own GPU
            raise
        time.sleep(_LETTING_GO)
        raise LostProcessError(
            f"another process of this run ended or does not answer, so this one (process {processes.rank} of "
            f"{processes.size}, from 0) ends too"
        ) from error


def _present_place() -> Launch:
    place = launched()
    if not (dist.is_available() and dist.is_initialized()):
        return place
    rank, size = dist.get_rank(), dist.get_world_size()
    return place if (place.rank, place.size) == (rank, size) else Launch(rank, size, rank, size)
