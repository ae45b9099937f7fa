"""An estimated map resampled into the truth's frame."""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from cryoinv.errors import InputError


def map_in_true_frame(
    volume: Tensor | NDArray[np.floating], rotation: ArrayLike, mirrored: bool = False
) -> Tensor | NDArray[np.floating]:
    """Resample an estimated map into the truth's frame: ``V_true(x) = V_est(M G^T x)``, M only if mirrored.

    The rotation is exact for band-limited maps (trigonometric interpolation by a NUFFT). Voxels whose source
    lies outside the box become 0.

    Parameters
    ----------
    volume : Tensor or ndarray, shape (n, n, n)
        The estimated map, axes (z, y, x).
    rotation : array_like, shape (3, 3)
        ``G`` of `Frame` or `PoseErrors`.
    mirrored : bool
        Whether the estimate has the other hand: its z axis is first reversed about voxel ``n//2``.

    Returns
    -------
    Tensor or ndarray, shape (n, n, n)
        Of the kind and type of `volume`.

    Raises
    ------
    InputError
        If the map is not cubic or the rotation is not a 3 x 3 rotation.

    Examples
    --------
    >>> volume = np.arange(27.0).reshape(3, 3, 3)
    >>> bool((map_in_true_frame(volume, np.eye(3), mirrored=True) == volume[::-1]).all())
    True
    """
    if isinstance(volume, Tensor):
        moved = map_in_true_frame(volume.detach().cpu().numpy(), rotation, mirrored)
        return torch.from_numpy(np.ascontiguousarray(moved)).to(volume)
    G = np.asarray(rotation, dtype=np.float64)
    if volume.ndim != 3 or len(set(volume.shape)) != 1:
        raise InputError(f"a map must be cubic, found shape {volume.shape}")
    if G.shape != (3, 3) or not np.allclose(G @ G.T, np.eye(3), atol=1e-6) or np.linalg.det(G) < 0:
        raise InputError(f"the frame's rotation must be a 3 x 3 rotation matrix, found {G.tolist()}")
    if mirrored:
        # index i -> 2 (n//2) - i; for even n voxel 0 is its own image
        volume = volume[::-1] if len(volume) % 2 else np.roll(volume[::-1], 1, axis=0)
    return volume.copy() if np.allclose(G, np.eye(3), atol=1e-12) else _rotated(volume, G)


def _rotated(volume: NDArray[np.floating], G: NDArray[np.float64]) -> NDArray[np.floating]:
    """Return ``V(G^T x)``, the trigonometric polynomial through the voxels evaluated at the turned points."""
    import finufft

    n = len(volume)
    axis = np.arange(n) - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    sources = G.T @ np.stack([x, y, z]).reshape(3, -1).astype(np.float64)
    modes = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(volume.astype(np.float64)), norm="forward"))
    x, y, z = 2 * np.pi / n * sources
    values = finufft.nufft3d2(z, y, x, modes, isign=1, eps=1e-9).real
    inside = (sources >= axis[0] - 1e-6).all(axis=0) & (sources <= axis[-1] + 1e-6).all(axis=0)
    return np.where(inside, values, 0).reshape(volume.shape).astype(volume.dtype)
