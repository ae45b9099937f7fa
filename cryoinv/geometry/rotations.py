"""Rotation matrices and their representations at the edge: RELION's Euler angles, quaternions, vectors.

Every matrix is active and left-multiplies column vectors ``(x, y, z)``: ``x_image = R x_object``.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoinv.errors import InputError

Matrices = NDArray[np.float64]


def about_z(radians: ArrayLike) -> Matrices:
    """Return ``Rz = [[c, s, 0], [-s, c, 0], [0, 0, 1]]``, RELION's in-plane rotation.

    Parameters
    ----------
    radians : array_like, shape (...)
        Angles in radians.

    Returns
    -------
    ndarray, shape (..., 3, 3)
    """
    c, s = np.cos(radians), np.sin(radians)
    zero, one = np.zeros_like(c), np.ones_like(c)
    return np.stack([c, s, zero, -s, c, zero, zero, zero, one], axis=-1).reshape((*c.shape, 3, 3))


def about_y(radians: ArrayLike) -> Matrices:
    """Return ``Ry = [[c, 0, -s], [0, 1, 0], [s, 0, c]]``, RELION's tilt.

    Parameters
    ----------
    radians : array_like, shape (...)
        Angles in radians.

    Returns
    -------
    ndarray, shape (..., 3, 3)
    """
    c, s = np.cos(radians), np.sin(radians)
    zero, one = np.zeros_like(c), np.ones_like(c)
    return np.stack([c, zero, -s, zero, one, zero, s, zero, c], axis=-1).reshape((*c.shape, 3, 3))


def matrix_from_euler(angles_degrees: ArrayLike) -> Matrices:
    """Return ``A = Rz(psi) Ry(tilt) Rz(rot)``, RELION's rotation from object to image coordinates.

    Parameters
    ----------
    angles_degrees : array_like, shape (..., 3)
        ``(rot, tilt, psi)`` in degrees.

    Returns
    -------
    ndarray, shape (..., 3, 3)

    Raises
    ------
    InputError
        If the last axis does not hold three angles.

    References
    ----------
    Heymann, Chagoyen, Belnap (2005), J. Struct. Biol. 151, 196 (the 3DEM convention).

    Examples
    --------
    >>> matrix_from_euler([90, 0, 0]).round(3) + 0.0
    array([[ 0.,  1.,  0.],
           [-1.,  0.,  0.],
           [ 0.,  0.,  1.]])
    """
    angles = np.deg2rad(np.asarray(angles_degrees, dtype=np.float64))
    if angles.shape[-1:] != (3,):
        raise InputError(f"Euler angles need a last axis of 3 (rot, tilt, psi), found shape {angles.shape}")
    return about_z(angles[..., 2]) @ about_y(angles[..., 1]) @ about_z(angles[..., 0])


def euler_from_matrix(matrices: ArrayLike) -> NDArray[np.float64]:
    """Return the RELION angles ``(rot, tilt, psi)`` of rotation matrices, with tilt in [0, 180].

    At tilt 0 or 180 only one combination of rot and psi is defined; rot is then 0.

    Parameters
    ----------
    matrices : array_like, shape (..., 3, 3)

    Returns
    -------
    ndarray, shape (..., 3)
        Degrees; rot and psi in (-180, 180].

    Examples
    --------
    >>> euler_from_matrix(matrix_from_euler([10, 20, 30])).round(6)
    array([10., 20., 30.])
    """
    A = _as_matrices(matrices)
    sin_tilt = np.hypot(A[..., 2, 0], A[..., 2, 1])
    rot = np.where(sin_tilt > 1e-12, np.arctan2(A[..., 2, 1], A[..., 2, 0]), 0.0)
    tilt = np.arctan2(sin_tilt, A[..., 2, 2])
    # From A Rz(rot)^T e_y = Rz(psi) e_y: unlike A[:, 2] this stays well conditioned at the poles.
    c, s = np.cos(rot), np.sin(rot)
    psi = np.arctan2(A[..., 0, 1] * c - A[..., 0, 0] * s, A[..., 1, 1] * c - A[..., 1, 0] * s)
    angles = np.rad2deg(np.stack([rot, tilt, psi], axis=-1))
    # The arc tangent of a negative zero is -180.
    return np.where(angles <= -180, 180.0, angles)


def matrix_from_quaternion(quaternions: ArrayLike) -> Matrices:
    """Return the rotation matrix of quaternions ``(w, x, y, z)``, which need not have unit length.

    Parameters
    ----------
    quaternions : array_like, shape (..., 4)

    Returns
    -------
    ndarray, shape (..., 3, 3)

    Raises
    ------
    InputError
        If the last axis does not hold four numbers.

    Examples
    --------
    >>> matrix_from_quaternion([0, 1, 0, 0]) + 0.0
    array([[ 1.,  0.,  0.],
           [ 0., -1.,  0.],
           [ 0.,  0., -1.]])
    """
    from scipy.spatial.transform import Rotation

    q = np.asarray(quaternions, dtype=np.float64)
    if q.shape[-1:] != (4,):
        raise InputError(f"quaternions need a last axis of 4 (w, x, y, z), found shape {q.shape}")
    xyzw = q.reshape(-1, 4)[:, [1, 2, 3, 0]]
    return Rotation.from_quat(xyzw).as_matrix().reshape((*q.shape[:-1], 3, 3))


def quaternion_from_matrix(matrices: ArrayLike) -> NDArray[np.float64]:
    """Return the unit quaternions ``(w, x, y, z)`` with ``w >= 0`` of rotation matrices.

    Parameters
    ----------
    matrices : array_like, shape (..., 3, 3)

    Returns
    -------
    ndarray, shape (..., 4)

    Examples
    --------
    >>> quaternion_from_matrix(np.eye(3))
    array([1., 0., 0., 0.])
    """
    from scipy.spatial.transform import Rotation

    A = _as_matrices(matrices)
    xyzw = Rotation.from_matrix(A.reshape(-1, 3, 3)).as_quat(canonical=True)
    return xyzw[:, [3, 0, 1, 2]].reshape((*A.shape[:-2], 4))


def random_rotations(count: int, rng: np.random.Generator) -> Matrices:
    """Draw rotations uniformly (Haar measure) on SO(3).

    Parameters
    ----------
    count : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (count, 3, 3)

    Examples
    --------
    >>> random_rotations(5, np.random.default_rng(0)).shape
    (5, 3, 3)
    """
    return matrix_from_quaternion(rng.standard_normal((count, 4)))


def rotation_distance(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    r"""Return the geodesic distance ``angle(a^T b)`` in degrees, in [0, 180].

    With ``theta`` the angle, :math:`\|a-b\|_F = 2\sqrt 2 \sin(\theta/2)` and
    :math:`1 + \mathrm{tr}(a^T b) = 4\cos^2(\theta/2)`; both are used, so small and large angles are exact.

    Parameters
    ----------
    a, b : array_like, shape (..., 3, 3)
        Rotation matrices; the leading axes broadcast.

    Returns
    -------
    ndarray, shape (...)

    Examples
    --------
    >>> float(rotation_distance(np.eye(3), matrix_from_euler([30, 0, -10])).round(9))
    20.0
    """
    a, b = _as_matrices(a), _as_matrices(b)
    sine = np.linalg.norm(a - b, axis=(-2, -1)) / np.sqrt(8)
    cosine = np.sqrt(np.maximum(1 + np.sum(a * b, axis=(-2, -1)), 0)) / 2
    return np.rad2deg(2 * np.arctan2(sine, cosine))


def exp_rotation(vectors: ArrayLike) -> Matrices:
    """Return ``exp([v]_x)``, the right-handed rotation about ``v`` by ``|v|`` radians.

    Parameters
    ----------
    vectors : array_like, shape (..., 3)
        Rotation vectors ``(x, y, z)`` in radians.

    Returns
    -------
    ndarray, shape (..., 3, 3)

    Raises
    ------
    InputError
        If the last axis does not hold three numbers.

    Examples
    --------
    >>> (exp_rotation([0, 0, np.pi / 2]) @ [1, 0, 0]).round(3) + 0.0
    array([0., 1., 0.])
    """
    from scipy.spatial.transform import Rotation

    v = np.asarray(vectors, dtype=np.float64)
    if v.shape[-1:] != (3,):
        raise InputError(f"rotation vectors need a last axis of 3 (x, y, z), found shape {v.shape}")
    return Rotation.from_rotvec(v.reshape(-1, 3)).as_matrix().reshape((*v.shape[:-1], 3, 3))


def rotation_vectors(matrices: ArrayLike) -> NDArray[np.float64]:
    """Return the rotation vectors of rotations, the inverse of `exp_rotation`; angles up to pi.

    Parameters
    ----------
    matrices : array_like, shape (..., 3, 3)
        Rotation matrices.

    Returns
    -------
    ndarray, shape (..., 3)
        Vectors ``(x, y, z)`` in radians.

    Raises
    ------
    InputError
        If the last axes do not hold 3 x 3 matrices.

    Examples
    --------
    >>> rotation_vectors(exp_rotation([0.1, 0.2, -0.3])).round(6)
    array([ 0.1,  0.2, -0.3])
    """
    from scipy.spatial.transform import Rotation

    R = _as_matrices(matrices)
    return Rotation.from_matrix(R.reshape(-1, 3, 3)).as_rotvec().reshape(R.shape[:-1])


def _as_matrices(matrices: ArrayLike) -> Matrices:
    array = np.asarray(matrices, dtype=np.float64)
    if array.shape[-2:] != (3, 3):
        raise InputError(f"rotations need two last axes of 3, found shape {array.shape}")
    return array
