"""Many small products at a time: threads that share one such product wait for each other longer than they work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["shared_out"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def shared_out(
    work: Callable[[Sequence[Item]], Result], items: Sequence[Item], device: torch.device
) -> list[Result]:
    """Call `work` on as many shares of `items` as torch has threads, one thread each; results in the shares' order.

    Parameters
    ----------
    work : callable
        Takes a share. What it writes must be its own.
    items : sequence
        What is shared out, in turn.
    device : torch.device
        Where the tensors are: on a GPU, whose queue keeps the order anyway, there is one share.

    Returns
    -------
    list
        One result a share that is not empty.

    Examples
    --------
    >>> sum(shared_out(sum, range(10), torch.device("cpu")))
    45
    """
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    shares = [items[start::threads] for start in range(min(threads, len(items)))]
    if len(shares) < 2:
        return [work(share) for share in shares]
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(len(shares), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, shares))
    finally:
        torch.set_num_threads(threads)
