"""Poses: where each particle looks from and where it sits in its image."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoinv.errors import InputError
from cryoinv.geometry.rotations import euler_from_matrix, matrix_from_euler


@dataclass(frozen=True, eq=False)
class Poses:
    r"""The poses :math:`g_i = (R_i, t_i)` of m particles.

    Image i shows the map along the image z axis after ``x_image = R_i x_object``, its centre moved from pixel
    ``n//2`` to pixel ``n//2 + t_i / pixel_size``.

    Parameters
    ----------
    rotations : array_like, shape (m, 3, 3)
        Rotation matrices, object to image coordinates.
    shifts : array_like, shape (m, 2), optional
        ``(t_x, t_y)`` in Å; zero when left out. RELION's origins are ``-t``.

    Raises
    ------
    InputError
        If the shapes disagree or a number is not finite.

    Examples
    --------
    >>> poses = Poses.from_relion(rot=[0, 90], tilt=[0, 45], psi=[0, 10],
    ...                           origin_x_angstrom=[2, 0], origin_y_angstrom=[0, 1])
    >>> len(poses), poses[0].shifts.tolist()
    (2, [[-2.0, 0.0]])
    """

    rotations: NDArray[np.float64]
    shifts: NDArray[np.float64]

    def __init__(self, rotations: ArrayLike, shifts: ArrayLike | None = None):
        rotations = np.asarray(rotations, dtype=np.float64)
        if rotations.ndim != 3 or rotations.shape[1:] != (3, 3):
            raise InputError(f"pose rotations must have shape (m, 3, 3), found {rotations.shape}")
        count = len(rotations)
        shifts = np.zeros((count, 2)) if shifts is None else np.asarray(shifts, dtype=np.float64)
        if shifts.shape != (count, 2):
            raise InputError(f"{count} poses need shifts of shape ({count}, 2), found {shifts.shape}")
        finite = np.isfinite(rotations).all(axis=(1, 2)) & np.isfinite(shifts).all(axis=1)
        if not finite.all():
            raise InputError(f"the pose of particle {int(np.argmin(finite))} (from 0) is not finite")
        object.__setattr__(self, "rotations", rotations)
        object.__setattr__(self, "shifts", shifts)

    def __len__(self) -> int:
        """Return the number of particles."""
        return len(self.rotations)

    def __getitem__(self, index: Any) -> "Poses":
        """Return the poses at an index, slice, mask or array of indices; always a `Poses`."""
        if np.ndim(index) == 0 and not isinstance(index, slice):
            index = [index]
        return Poses(self.rotations[index], self.shifts[index])

    @classmethod
    def from_relion(
        cls,
        rot: ArrayLike,
        tilt: ArrayLike,
        psi: ArrayLike,
        origin_x_angstrom: ArrayLike | None = None,
        origin_y_angstrom: ArrayLike | None = None,
    ) -> "Poses":
        """Return the poses of RELION's columns: degrees, and origins in Å (shift = -origin).

        Parameters
        ----------
        rot, tilt, psi : array_like, shape (m,)
            ``rlnAngleRot``, ``rlnAngleTilt``, ``rlnAnglePsi`` in degrees.
        origin_x_angstrom, origin_y_angstrom : array_like, shape (m,), optional
            ``rlnOriginXAngst``, ``rlnOriginYAngst`` in Å; zero when left out.
        """
        angles = np.stack(np.broadcast_arrays(*(np.atleast_1d(a) for a in (rot, tilt, psi))), axis=-1)
        origins = np.zeros((len(angles), 2))
        if origin_x_angstrom is not None:
            origins[:, 0] = origin_x_angstrom
        if origin_y_angstrom is not None:
            origins[:, 1] = origin_y_angstrom
        return cls(matrix_from_euler(angles), 0.0 - origins)

    def to_relion(self) -> dict[str, NDArray[np.float64]]:
        """Return RELION's pose columns by name: degrees, and origins in Å (origin = -shift).

        Examples
        --------
        >>> columns = Poses(np.eye(3)[None], [[1.0, -2.0]]).to_relion()
        >>> float(columns["rlnOriginXAngst"][0]), float(columns["rlnOriginYAngst"][0])
        (-1.0, 2.0)
        """
        rot, tilt, psi = euler_from_matrix(self.rotations).T
        return {
            "rlnAngleRot": rot,
            "rlnAngleTilt": tilt,
            "rlnAnglePsi": psi,
            "rlnOriginXAngst": 0.0 - self.shifts[:, 0],
            "rlnOriginYAngst": 0.0 - self.shifts[:, 1],
        }
