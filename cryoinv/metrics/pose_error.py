"""Errors of estimated poses, blind to what no image can tell: the map's frame, hand and symmetry."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryoinv.errors import InputError
from cryoinv.geometry import PointGroup, Poses, rotation_distance, symmetric_rotation_distance
from cryoinv.metrics.frames import Frame, find_frame, mirror_rotations


@dataclass(frozen=True, eq=False)
class PoseErrors:
    """Errors of m estimated poses after the frames are brought together.

    Parameters
    ----------
    angle_degrees : ndarray, shape (m,)
        Geodesic angle between estimated and true orientation, in [0, 180].
    shift_angstrom : ndarray, shape (m,)
        Distance between estimated and true in-plane shift in Å.
    global_rotation : ndarray, shape (3, 3)
        ``G``: the estimated map is ``V_true(G x)``, or ``V_true(G M x)`` with ``M = diag(1, 1, -1)`` if
        mirrored. `map_in_true_frame` undoes it.
    mirrored : bool
        Whether the estimate has the other hand.
    """

    angle_degrees: NDArray[np.float64]
    shift_angstrom: NDArray[np.float64]
    global_rotation: NDArray[np.float64]
    mirrored: bool

    @property
    def median_angle(self) -> float:
        """Median angular error in degrees."""
        return float(np.median(self.angle_degrees))

    @property
    def p90_angle(self) -> float:
        """90th percentile of the angular error in degrees."""
        return float(np.percentile(self.angle_degrees, 90))

    @property
    def median_shift(self) -> float:
        """Median shift error in Å."""
        return float(np.median(self.shift_angstrom))

    @property
    def p90_shift(self) -> float:
        """90th percentile of the shift error in Å."""
        return float(np.percentile(self.shift_angstrom, 90))

    @property
    def global_angle(self) -> float:
        """Angle of the global rotation in degrees."""
        return float(rotation_distance(self.global_rotation, np.eye(3)))

    def __str__(self) -> str:
        return (
            f"angle median {self.median_angle:.2f}°, 90 % within {self.p90_angle:.2f}°; "
            f"shift median {self.median_shift:.2f} Å, 90 % within {self.p90_shift:.2f} Å; "
            f"frame turned by {self.global_angle:.2f}°{', mirrored' if self.mirrored else ''}"
        )


def pose_errors(
    estimated: Poses, true: Poses, symmetry: str | PointGroup = "C1", align: bool = True
) -> PoseErrors:
    """Return ``min_S angle(E_i, T_i S G)`` and ``|t_i - t_i^true|`` of every particle.

    Parameters
    ----------
    estimated, true : Poses
        Poses of the same m particles in the same order.
    symmetry : str or PointGroup
        Symmetry of the true map, in the true frame.
    align : bool
        Whether to find the global rotation G and the hand (see `find_frame`); otherwise the frames are taken
        to be the same. A displacement of the whole map is never removed.

    Returns
    -------
    PoseErrors

    Raises
    ------
    InputError
        If the numbers of particles differ or are zero, or the point group is not known.

    Examples
    --------
    >>> from cryoinv.geometry import matrix_from_euler, random_rotations
    >>> true = Poses(random_rotations(100, np.random.default_rng(0)))
    >>> turned = Poses(true.rotations @ matrix_from_euler([0, 30, 0]), true.shifts + [3.0, 4.0])
    >>> print(pose_errors(turned, true))
    angle median 0.00°, 90 % within 0.00°; shift median 5.00 Å, 90 % within 5.00 Å; frame turned by 30.00°
    """
    if len(estimated) != len(true) or not len(true):
        raise InputError(
            f"pose errors need as many estimated as true poses, found {len(estimated)} and {len(true)}"
        )
    group = symmetry if isinstance(symmetry, PointGroup) else PointGroup(symmetry)
    frame = find_frame(estimated.rotations, true.rotations, group) if align else Frame(np.eye(3), False)
    rotations = mirror_rotations(estimated.rotations) if frame.mirrored else estimated.rotations
    return PoseErrors(
        # E = T S G compares in the truth's frame as E G^T = T S
        angle_degrees=symmetric_rotation_distance(rotations @ frame.rotation.T, true.rotations, group),
        shift_angstrom=np.linalg.norm(estimated.shifts - true.shifts, axis=1),
        global_rotation=frame.rotation,
        mirrored=frame.mirrored,
    )
