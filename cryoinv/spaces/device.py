"""Device names, checked once and written one way."""

import logging

import torch

from cryoinv.errors import DeviceError, InputError

__all__ = ["resolve_device"]

_log = logging.getLogger("cryoinv")


def resolve_device(device: str | torch.device = "auto", local_rank: int = 0, local_size: int = 1) -> str:
    """Name of a device that exists: ``"cpu"`` or ``"cuda:N"``.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` takes the first GPU if there is one and logs its choice; ``"cuda"`` means ``"cuda:0"``.
    local_rank, local_size : int
        Number of this process among those of the machine that work together, and how many these are: each takes the
        GPU of its number unless one is named.

    Returns
    -------
    str

    Raises
    ------
    DeviceError
        If a GPU is asked for that this machine does not have, or there are fewer GPUs than processes.
    InputError
        If the name is none of the above.

    Examples
    --------
    >>> resolve_device("cpu")
    'cpu'
    """
    name = str(device)
    count = torch.cuda.device_count()
    if count and name in ("auto", "cuda") and local_size > count:
        raise DeviceError(
            f"device {name!r} for {local_size} processes, but PyTorch finds {count} GPU{'s' if count != 1 else ''} on "
            "this machine: start no more processes than GPUs, or name one GPU for all ('cuda:0'), or 'cpu'"
        )
    if name == "auto":
        name = f"cuda:{local_rank}" if count else "cpu"
        model = f" ({torch.cuda.get_device_name(local_rank)})" if count else ""
        each = f", and so on for {local_size} processes" if count and local_size > 1 else ""
        _log.info("device 'auto': using %s%s%s", name, model, each)
        return name
    if name == "cuda" and count:
        return f"cuda:{local_rank}"
    if name == "cpu":
        return name
    kind, _, number = name.partition(":")
    if kind != "cuda" or not (number or "0").isdecimal():
        raise InputError(f"device is {name!r}, expected 'auto', 'cpu', 'cuda' or 'cuda:N'")
    if int(number or 0) >= count:
        found = f"{count} GPU{'s' if count != 1 else ''}" if count else "no GPU"
        raise DeviceError(f"device {name!r} was asked for, but PyTorch finds {found} on this machine")
    return f"cuda:{int(number or 0)}"
