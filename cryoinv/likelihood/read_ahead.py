"""Reading the next block of images while the present one is worked on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

__all__ = ["read_ahead"]


def read_ahead(
    read: Callable[[np.ndarray], np.ndarray], blocks: Sequence[np.ndarray]
) -> Generator[tuple[np.ndarray, np.ndarray]]:
    """Yield (block, ``read(block)``) in order; a thread reads one block ahead of the caller, never more.

    The thread ends with the iteration, also when it is left early. It reads only: a transform there would start
    another team of threads, beyond the number that was allowed.

    Parameters
    ----------
    read : callable
        From indices to images; called from one thread at a time.
    blocks : sequence of numpy.ndarray
        Indices of every block.

    Yields
    ------
    block, images : numpy.ndarray

    Raises
    ------
    Exception
        What `read` raised, when its block's turn comes.

    Examples
    --------
    >>> [images.tolist() for _, images in read_ahead(lambda block: 10 * block, [np.array([1, 2]), np.array([3])])]
    [[10, 20], [30]]
    """
    with ThreadPoolExecutor(1, "read-ahead") as reader:
        coming = reader.submit(read, blocks[0]) if len(blocks) else None
        for place, block in enumerate(blocks, 1):
            assert coming is not None
            images = coming.result()
            coming = reader.submit(read, blocks[place]) if place < len(blocks) else None
            yield block, images
