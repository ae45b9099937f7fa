"""The global rotation and hand that take one set of poses, or one map, into another's frame.

A reconstruction from scratch may turn as a whole or come out as its mirror image; both leave every projection
unchanged. With the estimated poses ``E_i``, the true ones ``T_i``, the truth's symmetry ``S`` and the mirror
``M = diag(1, 1, -1)``:

- turned by ``G``: ``V_est(x) = V_true(G x)`` and ``E_i = T_i S_i G``;
- mirrored as well: ``V_est(x) = V_true(G M x)`` and ``M E_i M = T_i S_i G``, since ``V(M x)`` seen from
  ``M R M`` is ``V(x)`` seen from ``R``: the same lines, traversed backwards.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoinv.errors import InputError
from cryoinv.geometry import PointGroup, nearest_equivalent, rotation_distance

MIRROR = np.diag([1.0, 1.0, -1.0])

Matrices = NDArray[np.float64]
_KERNEL = 10.0  # degrees: poses nearer than about this agree
_REACH = 30.0  # degrees: poses farther off than this are wrong, whatever the rest look like
_SIGNIFICANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Frame:
    """The frame of an estimate relative to the truth's.

    Parameters
    ----------
    rotation : ndarray, shape (3, 3)
        ``G``: the estimated map is ``V_true(G x)``, or ``V_true(G M x)`` if mirrored.
    mirrored : bool
        Whether the estimate has the other hand.
    """

    rotation: Matrices
    mirrored: bool

    @property
    def angle_degrees(self) -> float:
        """Angle of the rotation in degrees."""
        return float(rotation_distance(self.rotation, np.eye(3)))


def mirror_rotations(rotations: ArrayLike) -> Matrices:
    """Return ``M R M``: the orientations that show a map's mirror image as the given ones show the map.

    Parameters
    ----------
    rotations : array_like, shape (..., 3, 3)

    Returns
    -------
    ndarray, shape (..., 3, 3)

    Examples
    --------
    >>> mirror_rotations(np.diag([1.0, -1.0, -1.0])).diagonal()
    array([ 1., -1., -1.])
    """
    return MIRROR @ np.asarray(rotations, dtype=np.float64) @ MIRROR


def find_frame(estimated: ArrayLike, true: ArrayLike, symmetry: str | PointGroup = "C1") -> Frame:
    """Find the global rotation and hand on which the most poses agree.

    Every pose proposes ``G = T_i^T E_i``; the proposal (or the identity) that the most poses agree with is
    refined by chordal means of the poses near it. Wrong poses, even the great majority of them, have no say.
    A rotation or a mirror is reported only if it is needed: the agreement must be beyond chance, and the
    rotation must differ from the identity by more than the scatter of the poses explains (both at the 0.1 %
    level).

    Parameters
    ----------
    estimated, true : array_like, shape (m, 3, 3)
        Rotation matrices of the same particles.
    symmetry : str or PointGroup
        Symmetry of the true map, in the true frame.

    Returns
    -------
    Frame

    References
    ----------
    Hartley, Trumpf, Dai, Li (2013), Int. J. Comput. Vis. 103, 267 (chordal means of rotations).

    Examples
    --------
    >>> from cryoinv.geometry import matrix_from_euler, random_rotations
    >>> true = random_rotations(50, np.random.default_rng(0))
    >>> find_frame(mirror_rotations(true @ matrix_from_euler([20, 0, 0])), true).mirrored
    True
    """
    estimated, true = np.asarray(estimated, dtype=np.float64), np.asarray(true, dtype=np.float64)
    if estimated.shape != true.shape or estimated.shape[1:] != (3, 3):
        raise InputError(
            f"estimated and true rotations must both be (m, 3, 3), found {estimated.shape} and {true.shape}"
        )
    group = symmetry if isinstance(symmetry, PointGroup) else PointGroup(symmetry)
    best, best_score = Frame(np.eye(3), False), -np.inf
    for mirrored in (False, True):
        poses = mirror_rotations(estimated) if mirrored else estimated
        relative = true.swapaxes(1, 2) @ poses
        rotation, agreed = common_rotation(relative, group)
        score = np.sum(_agreement(_distances(relative, rotation, group)))
        # One whole particle more: poses that tell no hand, such as views along z alone, stay unmirrored.
        if not mirrored or (agreed and score > best_score + 1):
            best, best_score = Frame(rotation, mirrored), score
    return best


def common_rotation(relative: Matrices, group: PointGroup) -> tuple[Matrices, bool]:
    """Return the ``G`` of most ``relative = S_i G`` and whether more agree on it than chance explains."""
    proposals = _proposals(relative)
    rotation = proposals[np.argmax(_scores(relative, proposals, group))]
    for _ in range(30):
        aligned = _undo_symmetry(relative, rotation, group)
        near, reach = _neighbours(rotation_distance(aligned, rotation))
        previous, rotation = rotation, _chordal_mean(aligned[near]) if near.any() else rotation
        if rotation_distance(previous, rotation) < 1e-7:
            break
    rotation = nearest_equivalent(rotation.T, np.eye(3), group).T
    distances = _distances(relative, rotation, group)
    near = distances <= reach
    agreed = _beyond_chance(int(near.sum()), len(relative), reach, group.order, len(proposals))
    if agreed and _differs_from_identity(rotation, distances[near]):
        return rotation, agreed
    return np.eye(3), agreed


def _proposals(relative: Matrices) -> Matrices:
    pick = np.random.default_rng(0).permutation(len(relative))[:200]
    return np.concatenate([np.eye(3)[None], relative[pick]])


def _scores(relative: Matrices, proposals: Matrices, group: PointGroup) -> NDArray[np.float64]:
    sample = relative[np.random.default_rng(1).permutation(len(relative))[:4000]].reshape(-1, 9)
    trace = np.full((len(sample), len(proposals)), -1.0)
    for S in group.matrices:
        np.maximum(trace, sample @ (S @ proposals).reshape(-1, 9).T, out=trace)
    return _agreement(np.rad2deg(np.arccos(np.clip((trace - 1) / 2, -1, 1)))).sum(0)


def _agreement(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-0.5 * (degrees / _KERNEL) ** 2)


def _undo_symmetry(relative: Matrices, rotation: Matrices, group: PointGroup) -> Matrices:
    """Return ``S_i^T relative_i``, the equivalent of each that is nearest to the common rotation."""
    return nearest_equivalent(relative.swapaxes(-1, -2), rotation.T, group).swapaxes(-1, -2)


def _distances(relative: Matrices, rotation: Matrices, group: PointGroup) -> NDArray[np.float64]:
    return rotation_distance(_undo_symmetry(relative, rotation, group), rotation)


def _neighbours(distances: NDArray[np.float64]) -> tuple[NDArray[np.bool_], float]:
    """Return which poses belong to the cluster at distance 0, and its radius: 3 times its median distance."""
    inside = distances[distances <= _REACH]
    reach = min(_REACH, 3 * float(np.median(inside)) + 1e-6) if len(inside) else _REACH
    return distances <= reach, reach


def _chordal_mean(rotations: Matrices) -> Matrices:
    U, _, Vt = np.linalg.svd(rotations.sum(0))
    return U @ np.diag([1.0, 1.0, np.linalg.det(U @ Vt)]) @ Vt


def _beyond_chance(agreeing: int, count: int, reach: float, images: int, proposals: int) -> bool:
    """Whether so many of `count` random rotations would rarely be within `reach` of the best proposal."""
    from scipy.stats import binom

    radians = np.deg2rad(reach)
    chance = min(1.0, images * (radians - np.sin(radians)) / np.pi)
    return bool(proposals * binom.sf(agreeing - 2, count - 1, chance) < _SIGNIFICANCE)


def _differs_from_identity(rotation: Matrices, residuals: NDArray[np.float64]) -> bool:
    """Hotelling's test: the mean of N rotation vectors against their scatter."""
    from scipy.stats import f

    count, angle = len(residuals), float(rotation_distance(rotation, np.eye(3)))
    if count < 2 or angle < 1e-6:
        return False
    scatter = np.sum(residuals**2) / (3 * (count - 1))
    return bool(count * angle**2 / 3 > f.isf(_SIGNIFICANCE, 3, 3 * (count - 1)) * scatter)
