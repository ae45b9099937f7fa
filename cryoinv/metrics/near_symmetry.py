"""Rotations that hardly change the true map: no image tells the poses apart that differ by them.

With true poses ``T_i`` and estimates ``E_i`` in the truth's frame, a rotation ``Q`` with ``V(Q x)`` nearly ``V(x)``
leads to estimates ``E_i = T_i S_i Q`` (``S`` the symmetry the map has exactly) that are wrong by the angle of ``Q``
and show the particle as well as ``T_i`` does.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoinv.errors import InputError
from cryoinv.geometry import PointGroup, symmetric_rotation_distance
from cryoinv.metrics.frames import Matrices, common_rotation
from cryoinv.metrics.resample import map_in_true_frame

__all__ = ["NEAR_SYMMETRY_CORRELATION", "NearSymmetry", "find_near_symmetry", "self_correlation"]

NEAR_SYMMETRY_CORRELATION = 0.9
_APART_DEGREES = 30.0  # rotations nearer than this are one, the least of them none at all
_MOST = 60  # rotations: as many as an icosahedral particle has


@dataclass(frozen=True, eq=False)
class NearSymmetry:
    """Rotations that hardly change a map, and the errors of poses up to them.

    Parameters
    ----------
    rotations : ndarray, shape (order, 3, 3)
        The rotations Q, the identity first, one of all that differ by the map's own symmetry.
    angle_degrees : ndarray, shape (m,)
        ``min_{S,Q} angle(E_i, T_i S Q)`` of every particle, in [0, 180].
    """

    rotations: NDArray[np.float64]
    angle_degrees: NDArray[np.float64]

    @property
    def order(self) -> int:
        """Number of rotations; 1 where only the identity leaves the map as it is."""
        return len(self.rotations)

    @property
    def median_angle(self) -> float:
        """Median angular error in degrees."""
        return float(np.median(self.angle_degrees))

    @property
    def p90_angle(self) -> float:
        """90th percentile of the angular error in degrees."""
        return float(np.percentile(self.angle_degrees, 90))


def find_near_symmetry(
    estimated: ArrayLike,
    true: ArrayLike,
    volume: NDArray[np.floating],
    mask: NDArray[np.floating],
    symmetry: str | PointGroup = "C1",
    threshold: float = NEAR_SYMMETRY_CORRELATION,
) -> NearSymmetry:
    """Find the near-symmetry of a true map that estimated poses suffer from.

    Each rotation on which more of the errors ``T_i^T E_i`` agree than chance explains, away from the identity, is a
    candidate, and so are products of accepted ones. Those are accepted under which the map correlates with itself.
    Rotations within 30° of each other are not told apart, nor is one taken out of the identity's 30°.

    Parameters
    ----------
    estimated, true : array_like, shape (m, 3, 3)
        Orientations of the same particles, the estimates brought into the truth's frame.
    volume : ndarray, shape (n, n, n)
        True map, low-passed to what the estimate resolves: finer detail had no say in the poses.
    mask : ndarray, shape (n, n, n)
        Sphere about voxel ``n//2`` that the particle is in.
    symmetry : str or PointGroup
        Symmetry the map has exactly; it is not counted.
    threshold : float
        Least correlation (see `self_correlation`).

    Returns
    -------
    NearSymmetry

    Raises
    ------
    InputError
        If the poses are not as many, or map and mask differ in shape.

    Examples
    --------
    >>> from cryoinv.geometry import random_rotations
    >>> true = random_rotations(40, np.random.default_rng(0))
    >>> estimated = true.copy()
    >>> estimated[:15] = true[:15] @ np.diag([-1.0, -1.0, 1.0])
    >>> axis = np.arange(9) - 4
    >>> two_fold = np.exp(-(axis[:, None, None] ** 2 + (axis[:, None] - 2 * axis) ** 2) / 9.0)
    >>> find_near_symmetry(estimated, true, two_fold, np.ones((9, 9, 9))).order
    2
    """
    estimated, true = np.asarray(estimated, dtype=np.float64), np.asarray(true, dtype=np.float64)
    if estimated.shape != true.shape or estimated.shape[1:] != (3, 3):
        raise InputError(
            f"estimated and true rotations must both be (m, 3, 3), found {estimated.shape} and {true.shape}"
        )
    if volume.shape != mask.shape:
        raise InputError(f"map and mask must have one shape, found {volume.shape} and {mask.shape}")
    group = symmetry if isinstance(symmetry, PointGroup) else PointGroup(symmetry)

    def accept(rotation: Matrices) -> bool:
        return self_correlation(volume, rotation, mask) >= threshold

    candidates = _clusters(true.swapaxes(1, 2) @ estimated, group)
    found = _closed([Q for Q in candidates if accept(Q)], group, accept)
    return NearSymmetry(found, np.min([_distances(estimated, true, Q, group) for Q in found], axis=0))


def self_correlation(volume: NDArray[np.floating], rotation: ArrayLike, mask: NDArray[np.floating]) -> float:
    r"""Correlation of a map with itself turned, :math:`\mathrm{corr}_m(V(x), V(Q^T x))`, weighted by a mask m.

    Parameters
    ----------
    volume, mask : ndarray, shape (n, n, n)
        Map and weights.
    rotation : array_like, shape (3, 3)
        Q, about voxel ``n//2``.

    Returns
    -------
    float
        Pearson's, in [-1, 1].

    Examples
    --------
    >>> x = np.arange(27.0).reshape(3, 3, 3)
    >>> round(self_correlation(x, np.diag([-1.0, -1.0, 1.0]), np.ones((3, 3, 3))), 3)
    0.78
    """
    turned = np.asarray(map_in_true_frame(volume, rotation))
    first, second = (x - np.average(x, weights=mask) for x in (volume.astype(np.float64), turned.astype(np.float64)))
    norm = np.sqrt(np.sum(mask * first**2) * np.sum(mask * second**2))
    return float(np.sum(mask * first * second) / norm) if norm > 0 else 0.0


def _clusters(relative: Matrices, group: PointGroup) -> list[Matrices]:
    """Rotations on which many of the given ones agree, the most frequented first; none near the identity."""
    one = np.eye(3)
    found: list[Matrices] = []
    left = relative[_distances(relative, one, one, group) > _APART_DEGREES]
    while len(left) > 1 and len(found) < _MOST:
        rotation, agreed = common_rotation(left, group)
        near = _distances(left, one, rotation, group) <= _APART_DEGREES
        if not agreed or not near.any():
            break
        found.append(rotation)
        left = left[~near]
    return found


def _closed(
    rotations: list[Matrices], group: PointGroup, accept: Callable[[Matrices], bool]
) -> NDArray[np.float64]:
    """Return the identity, the rotations, and those of their products that are new and accepted, (order, 3, 3)."""
    found, refused = [np.eye(3), *rotations], list[Matrices]()
    grown = True
    while grown and len(found) < _MOST:
        grown = False
        for product in [a @ S @ b for a in found for S in group.matrices for b in found]:
            known = [_distances(product, np.eye(3), Q, group) for Q in (*found, *refused)]
            if len(found) < _MOST and min(known) > _APART_DEGREES:
                accepted = accept(product)
                (found if accepted else refused).append(product)
                grown |= accepted
    return np.stack(found)


def _distances(estimated: Matrices, true: Matrices, rotation: Matrices, group: PointGroup) -> NDArray[np.float64]:
    """Return ``min_S angle(E, T S Q)`` in degrees."""
    return symmetric_rotation_distance(estimated @ rotation.T, true, group)
