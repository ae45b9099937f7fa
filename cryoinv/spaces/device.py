"""Device names, checked once and written one way."""

import logging

import torch

from cryoinv.errors import DeviceError, InputError

__all__ = ["resolve_device"]

_log = logging.getLogger("cryoinv")


def resolve_device(device: str | torch.device = "auto") -> str:
    """Name of a device that exists: ``"cpu"`` or ``"cuda:N"``.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` takes the first GPU if there is one and logs its choice; ``"cuda"`` means ``"cuda:0"``.

    Returns
    -------
    str

    Raises
    ------
    DeviceError
        If a GPU is asked for that this machine does not have.
    InputError
        If the name is none of the above.

    Examples
    --------
    >>> resolve_device("cpu")
    'cpu'
    """
    name = str(device)
    count = torch.cuda.device_count()
    if name == "auto":
        name = "cuda:0" if count else "cpu"
        _log.info("device 'auto': using %s", f"{name} ({torch.cuda.get_device_name(0)})" if count else name)
        return name
    if name == "cpu":
        return name
    kind, _, number = name.partition(":")
    if kind != "cuda" or not (number or "0").isdecimal():
        raise InputError(f"device is {name!r}, expected 'auto', 'cpu', 'cuda' or 'cuda:N'")
    if int(number or 0) >= count:
        found = f"{count} GPU{'s' if count != 1 else ''}" if count else "no GPU"
        raise DeviceError(f"device {name!r} was asked for, but PyTorch finds {found} on this machine")
    return f"cuda:{int(number or 0)}"
