"""Low-pass filter of volumes, on torch tensors and NumPy arrays alike."""

from __future__ import annotations

from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoinv.errors import InputError
from cryoinv.spaces import frequencies

__all__ = ["low_pass"]


@overload
def low_pass(volume: Tensor, pixel_size: float, resolution: float, edge: float = 2.0) -> Tensor: ...


@overload
def low_pass(
    volume: NDArray[np.floating], pixel_size: float, resolution: float, edge: float = 2.0
) -> NDArray[np.floating]: ...


def low_pass(
    volume: Tensor | NDArray[np.floating], pixel_size: float, resolution: float, edge: float = 2.0
) -> Tensor | NDArray[np.floating]:
    r"""Low-pass filter :math:`\hat y_k = h(|k|)\, \hat x_k` with a raised-cosine edge.

    With :math:`s = n\,p / d` the cut-off in shells and w the `edge`, h is 1 below :math:`s - w/2`, 0 beyond
    :math:`s + w/2` and :math:`\tfrac12 + \tfrac12 \cos(\pi (|k| - s + w/2) / w)` between: ½ at d.

    Parameters
    ----------
    volume : Tensor or ndarray, shape (n, n, n)
        Axes (z, y, x).
    pixel_size : float
        In Å.
    resolution : float
        d in Å; not below twice the pixel size.
    edge : float
        Width of the edge in shells.

    Returns
    -------
    Tensor or ndarray, shape (n, n, n)
        Of the kind and type of `volume`.

    Raises
    ------
    InputError
        If the resolution is beyond the Nyquist frequency or coarser than the box.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((16, 16, 16))
    >>> y = low_pass(x, pixel_size=3.0, resolution=12.0)
    >>> bool(np.isclose(x.mean(), y.mean())), bool(y.std() < 0.5 * x.std())
    (True, True)
    """
    n = len(volume)
    if not 2 * pixel_size <= resolution <= n * pixel_size:
        raise InputError(
            f"cannot low-pass to {resolution:g} Å: {n} pixels of {pixel_size:g} Å hold resolutions "
            f"from {n * pixel_size:g} to {2 * pixel_size:g} Å"
        )
    if not isinstance(volume, Tensor):
        passed = low_pass(torch.from_numpy(np.asarray(volume, np.float64)), pixel_size, resolution, edge)
        return passed.numpy().astype(np.result_type(volume, np.float32))
    full, half = (k.double() ** 2 for k in frequencies(n, volume.device))
    radius = (full[:, None, None] + full[:, None] + half).sqrt()
    position = ((radius - n * pixel_size / resolution) / edge + 0.5).clamp(0, 1)
    transfer = (0.5 + 0.5 * torch.cos(torch.pi * position)).to(volume.dtype)
    # A real, radial transfer function needs no phase origin.
    return torch.fft.irfftn(torch.fft.rfftn(volume) * transfer, s=volume.shape)
