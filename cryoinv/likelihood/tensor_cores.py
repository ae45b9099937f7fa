"""Products in TF32 on a GPU, where what they change has been measured to be nothing to speak of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from .exhaustive import SharedGrid
    from .scores import ImageTerms

__all__ = ["MOST_NATS", "is_harmless", "tf32", "tf32_error"]

MOST_NATS = 0.05  # change of any image's log-evidence, or log of the largest mass


@contextmanager
def tf32(on: bool) -> Iterator[None]:
    """Let matrix products of single-precision tensors on a GPU use TF32, or not, inside the block."""
    products = torch.backends.cuda.matmul
    # Once a caller has used the newer name of the setting, torch refuses to read the older one.
    name, value = ("fp32_precision", "tf32" if on else "ieee") if _has_newer_name() else ("allow_tf32", on)
    before = getattr(products, name)
    setattr(products, name, value)
    try:
        yield
    finally:
        setattr(products, name, before)


def _has_newer_name() -> bool:
    return hasattr(torch.backends.cuda.matmul, "fp32_precision")


def tf32_error(grid: SharedGrid, terms: ImageTerms) -> float:
    """Nats by which TF32 changes log-evidence and log of the largest mass of a block of images, at most."""
    found = []
    for on in (False, True):
        with tf32(on):
            summary = grid.posterior(terms).summary
        found.append(torch.stack([summary.log_evidence.double(), summary.max_probability.double().log()]))
    return float((found[1] - found[0]).abs().max())


def is_harmless(grid: SharedGrid, terms: ImageTerms) -> bool:
    """Whether TF32 stays below `MOST_NATS` on a block of images."""
    return tf32_error(grid, terms) <= MOST_NATS
