"""Script: one of several processes; asserts what each exchange must give, or dies where it is told to."""

import os
import signal
import sys

import numpy as np
import torch

from cryoinv.errors import LostProcessError
from cryoinv.parallel import joined


def exchange(processes):
    rank, size = processes.rank, processes.size
    total = size * (size + 1) / 2
    real, wide, transposed = processes.sum([
        torch.full((3,), rank + 1.0), torch.full((2, 2), 1j * (rank + 1), dtype=torch.complex64),
        torch.full((2, 3), rank + 1.0).T,
    ])
    assert (real == total).all() and (wide == 1j * total).all() and (transposed == total).all()
    found = processes.gather({"rank": np.full(rank, rank)})
    assert [len(a["rank"]) for a in found] == list(range(size))
    for root in range(size):
        assert processes.broadcast({"root": np.array(rank)}, root)["root"] == root
    owners = processes.share([lambda k=k: torch.tensor([10.0 * k + rank]) for k in range(2)])
    assert [int(x) for x in owners] == [0, 10 + size // 2]
    assert processes.waited > 0
    spoke = processes.gather({"spoke": np.array(processes.speaks())})
    assert sum(bool(a["spoke"]) for a in spoke) == 1


def lose(processes):
    if processes.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        processes.sum([torch.ones(3)])
    except LostProcessError as error:
        assert "another process" in str(error)
        sys.exit(7)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "twice":
        for _ in range(2):
            with joined() as together:
                exchange(together)
    elif sys.argv[1] == "initialised":
        torch.distributed.init_process_group("gloo")
        with joined() as together:
            assert together.gather({"a": np.ones(1)})[-1]["a"] == 1
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    else:
        with joined() as together:
            lose(together)
