"""Rotations, poses, SO(3) and translation grids, local neighbourhoods and point groups.

One rotation convention holds everywhere: a 3 x 3 matrix ``R`` is active, left-multiplies column vectors
``(x, y, z)`` and takes object coordinates to image coordinates, ``x_image = R x_object``.
"""

from cryoinv.geometry.local import tangent_ball
from cryoinv.geometry.poses import Poses
from cryoinv.geometry.rotations import (
    euler_from_matrix,
    exp_rotation,
    matrix_from_euler,
    matrix_from_quaternion,
    quaternion_from_matrix,
    random_rotations,
    rotation_distance,
    rotation_vectors,
)
from cryoinv.geometry.so3 import SO3Grid
from cryoinv.geometry.symmetry import PointGroup, nearest_equivalent, symmetric_rotation_distance
from cryoinv.geometry.translations import translation_children, translation_grid

__all__ = [
    "PointGroup",
    "Poses",
    "SO3Grid",
    "euler_from_matrix",
    "exp_rotation",
    "matrix_from_euler",
    "matrix_from_quaternion",
    "nearest_equivalent",
    "quaternion_from_matrix",
    "random_rotations",
    "rotation_distance",
    "rotation_vectors",
    "symmetric_rotation_distance",
    "tangent_ball",
    "translation_children",
    "translation_grid",
]
