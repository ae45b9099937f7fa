"""Options that several commands share."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from cryoinv.parallel import launched

__all__ = ["AllowDuplicates", "Device", "Json", "NoCtf", "Padding", "Seed", "Symmetry", "Threads", "set_threads"]

AllowDuplicates = Annotated[
    bool,
    typer.Option("--allow-duplicates", help="Take rows with the same image (symmetry expansion), into the same half."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N; auto takes the first GPU if there is one.")]
# More than this is a slip, and past what the numerical libraries can start or even count.
_MOST_THREADS = 1024
Threads = Annotated[
    int | None, typer.Option(min=1, max=_MOST_THREADS, help="CPU threads, of each process; all cores if not given.")
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same result, on a GPU but for rounding.")]
Symmetry = Annotated[str, typer.Option(help="Point group: C<n>, D<n>, T, O, I or I1 to I4.")]
NoCtf = Annotated[bool, typer.Option("--no-ctf", help="Leave out the CTF even where defocus is known.")]
Padding = Annotated[int, typer.Option(min=1, max=4, help="Oversampling of the map in Fourier space.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else, on stdout.")]


def set_threads(count: int | None) -> None:
    """Let every numerical library use `count` threads; to be called before they are imported."""
    # Threads that spin while they wait take three times the processor time when others use the machine too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if count is None:
        count = _share_of_cores()
    if count is None:
        return
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    if sys.modules.get("numba") is None:
        os.environ.update(dict.fromkeys(names, str(count)))
    import torch

    torch.set_num_threads(count)
    try:
        import numba
    except ModuleNotFoundError:  # torch does the work then
        return
    most: int = vars(numba.config)["NUMBA_NUM_THREADS"]
    numba.set_num_threads(min(count, most))


def _share_of_cores() -> int | None:
    """Cores for each process of this machine; None where it is alone, for the libraries to choose."""
    processes = launched().local_size
    if processes == 1:
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // processes)
