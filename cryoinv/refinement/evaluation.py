"""A refinement's folder held against the truth it was simulated from."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cryoinv.errors import InputError
from cryoinv.files import existing_file
from cryoinv.geometry import PointGroup, Poses
from cryoinv.metrics import (
    NearSymmetry,
    PoseErrors,
    Resolution,
    find_near_symmetry,
    fourier_shell_correlation,
    map_in_true_frame,
    mirror_rotations,
    pose_errors,
    resolution_at,
)
from cryoinv.operators import low_pass
from cryoinv.operators.mask import soft_sphere

from .settings import RefinementSettings

if TYPE_CHECKING:
    from cryoinv.io import ParticleStack

__all__ = ["Evaluation", "check_truth", "evaluate_map", "evaluate_refinement", "true_poses"]

_THRESHOLDS = {"05": 0.5, "0143": 0.143}
_NEAR_DEGREES = 20.0  # poses farther off say nothing of where the map is
_SIGNIFICANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How far a refinement's map and poses are from the truth.

    Parameters
    ----------
    map, truth : numpy.ndarray, shape (n, n, n)
        The refined map brought into the truth's frame, and the truth.
    fsc, fsc_masked : numpy.ndarray, shape (n//2+1,)
        Their FSC, whole and inside the particle's sphere.
    poses : PoseErrors
        Errors of the poses, and the map's rotation and hand relative to the truth's.
    displacement : numpy.ndarray, shape (3,)
        Displacement (x, y, z) in Å of the map in the truth's frame, taken out of map and shifts.
    pixel_size : float
        Å per pixel.
    particle_diameter : float
        Å, of the sphere.
    symmetry : str
        Point group under which poses count as equal.
    near_symmetry : NearSymmetry
        Further rotations that hardly change the truth at the resolution reached, and the poses' errors up to them.
    """

    map: np.ndarray
    truth: np.ndarray
    fsc: np.ndarray
    fsc_masked: np.ndarray
    poses: PoseErrors
    displacement: np.ndarray
    pixel_size: float
    particle_diameter: float
    symmetry: str
    near_symmetry: NearSymmetry

    def resolution(self, threshold: float, masked: bool = False) -> Resolution:
        """Resolution where the FSC against the truth falls below `threshold`."""
        return resolution_at(self.fsc_masked if masked else self.fsc, threshold, len(self.truth), self.pixel_size)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers alone, units in their names."""
        entries: dict[str, Any] = {}
        for label, threshold in _THRESHOLDS.items():
            for suffix in ("", "_masked"):
                found = self.resolution(threshold, bool(suffix))
                entries[f"resolution_truth_{label}{suffix}_angstrom"] = round(found.angstrom, 4)
                entries[f"resolution_truth_{label}{suffix}_reached_nyquist"] = found.reached_nyquist
        return entries | {
            "reached_nyquist": entries["resolution_truth_05_reached_nyquist"],
            "angle_error_median_degrees": round(self.poses.median_angle, 4),
            "angle_error_p90_degrees": round(self.poses.p90_angle, 4),
            "shift_error_median_angstrom": round(self.poses.median_shift, 4),
            "shift_error_p90_angstrom": round(self.poses.p90_shift, 4),
            "mirrored": self.poses.mirrored,
            "map_rotation_degrees": round(self.poses.global_angle, 4),
            "map_rotation_matrix": self.poses.global_rotation.round(6).tolist(),
            "map_displacement_angstrom": self.displacement.round(4).tolist(),
            "particles": len(self.poses.angle_degrees),
            "particle_diameter_angstrom": round(self.particle_diameter, 3),
            "symmetry": self.symmetry,
            "near_symmetry_order": self.near_symmetry.order,
            "angle_error_median_near_symmetry_degrees": round(self.near_symmetry.median_angle, 4),
            "angle_error_p90_near_symmetry_degrees": round(self.near_symmetry.p90_angle, 4),
        }


def evaluate_refinement(
    folder: str | os.PathLike[str],
    truth: str | os.PathLike[str],
    truth_poses: str | os.PathLike[str],
    particle_diameter: float | None = None,
    symmetry: str | None = None,
) -> Evaluation:
    """Compare ``map.mrc`` and ``particles.star`` of a refinement's folder with a true map and true poses.

    The map may be turned, displaced and mirrored as a whole: nothing in the images tells. The frame is found from
    the poses, as `metrics.pose_errors` does, and taken out of map and poses alike. Particles are matched by image,
    not by row. Errors of the poses are strict, and given once more up to the truth's near-symmetry: a rotation on which
    many of them agree and that leaves the truth, at the resolution the map has, as it is (see
    `metrics.find_near_symmetry`).

    Parameters
    ----------
    folder : str or path-like
        What ``cryoinv refine`` wrote.
    truth : str or path-like
        True map (MRC).
    truth_poses : str or path-like
        STAR file with the true poses.
    particle_diameter : float, optional
        Å; from ``summary.json`` by default.
    symmetry : str, optional
        Point group of the true map; from ``summary.json`` by default.

    Returns
    -------
    Evaluation

    Raises
    ------
    InputError
        If a file is missing or does not fit the others.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder of a refinement")
    volume, true_volume, pixel_size = _maps(folder / "map.mrc", Path(truth))
    estimated, true = _matched_poses(folder / "particles.star", Path(truth_poses))
    diameter, group = _particle(folder, particle_diameter, symmetry)
    return evaluate_map(volume, estimated, true_volume, true, pixel_size, diameter, group)


def evaluate_map(
    volume: np.ndarray,
    poses: Poses,
    truth: np.ndarray,
    truth_poses: Poses,
    pixel_size: float,
    particle_diameter: float,
    symmetry: str = "C1",
) -> Evaluation:
    """Compare a map and poses in memory with the true ones, in the frame that fits best (see `evaluate_refinement`).

    Parameters
    ----------
    volume, truth : numpy.ndarray, shape (n, n, n)
        The map, and the true one.
    poses, truth_poses : Poses
        Of the same particles in the same order.
    pixel_size : float
        Å per pixel.
    particle_diameter : float
        Å, of the sphere inside which the maps are compared.
    symmetry : str
        Point group of the true map.

    Returns
    -------
    Evaluation

    Raises
    ------
    InputError
        If the diameter is not one inside the box.
    """
    box, symmetry = len(volume) * pixel_size, PointGroup(symmetry).name
    if not 0 < particle_diameter <= box:
        raise InputError(f"the particle diameter is {particle_diameter:g} Å, expected one inside the box of {box:g} Å")
    errors = pose_errors(poses, truth_poses, symmetry)
    turned = mirror_rotations(poses.rotations) if errors.mirrored else poses.rotations
    turned = turned @ errors.global_rotation.T
    near = errors.angle_degrees <= _NEAR_DEGREES
    displacement = find_displacement(turned[near], poses.shifts[near], truth_poses.shifts[near])
    centred = Poses(turned, poses.shifts + (turned @ displacement)[:, :2])
    shift_errors = np.linalg.norm(centred.shifts - truth_poses.shifts, axis=1)
    errors = PoseErrors(errors.angle_degrees, shift_errors, errors.global_rotation, errors.mirrored)
    volume = np.asarray(map_in_true_frame(volume, errors.global_rotation, errors.mirrored))
    volume = move(volume, -displacement / pixel_size)
    sphere = soft_sphere(len(volume), particle_diameter / 2 / pixel_size).numpy()
    fsc_masked = fourier_shell_correlation(volume * sphere, truth * sphere)
    resolved = low_pass(truth, pixel_size, resolution_at(fsc_masked, 0.5, len(volume), pixel_size).angstrom)
    return Evaluation(
        volume,
        truth,
        fourier_shell_correlation(volume, truth),
        fsc_masked,
        errors,
        displacement,
        pixel_size,
        particle_diameter,
        symmetry,
        find_near_symmetry(turned, truth_poses.rotations, resolved, sphere, symmetry),
    )


def find_displacement(rotations: np.ndarray, shifts: np.ndarray, true_shifts: np.ndarray) -> np.ndarray:
    r"""Displacement d of the map that explains the shifts: :math:`t_i = t_i^{true} - (R_i d)_{xy}`, least squares.

    Zero unless it explains more than chance does (at the 0.1 % level, F-test).

    Parameters
    ----------
    rotations : numpy.ndarray, shape (m, 3, 3)
        Estimated orientations in the truth's frame.
    shifts, true_shifts : numpy.ndarray, shape (m, 2)
        In Å.

    Returns
    -------
    numpy.ndarray, shape (3,)
        (x, y, z) in Å.

    Examples
    --------
    >>> from cryoinv.geometry import random_rotations
    >>> R = random_rotations(50, np.random.default_rng(0))
    >>> find_displacement(R, -(R @ [1.0, 2.0, 3.0])[:, :2], np.zeros((50, 2))).round(6).tolist()
    [1.0, 2.0, 3.0]
    """
    from scipy.stats import f

    design, target = rotations[:, :2].reshape(-1, 3), (true_shifts - shifts).reshape(-1)
    free = len(target) - 3
    if free < 3 or np.linalg.matrix_rank(design) < 3:
        return np.zeros(3)
    found = np.linalg.lstsq(design, target, rcond=None)[0]
    left = float(np.sum((target - design @ found) ** 2))
    explained = float(np.sum((design @ found) ** 2))
    return found if explained / 3 > f.isf(_SIGNIFICANCE, 3, free) * left / free else np.zeros(3)


def move(volume: np.ndarray, vector: np.ndarray) -> np.ndarray:
    r"""Move a map by a vector v (x, y, z) in voxels: :math:`\hat y_k = e^{-2\pi i k \cdot v / n}\,\hat x_k`.

    Parameters
    ----------
    volume : numpy.ndarray, shape (n, n, n)
        Axes (z, y, x), taken as periodic.
    vector : numpy.ndarray, shape (3,)
        (x, y, z).

    Returns
    -------
    numpy.ndarray, shape (n, n, n)

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((5, 5, 5))
    >>> bool(np.allclose(move(x, np.array([1, 0, 0])), np.roll(x, 1, axis=2)))
    True
    """
    if not np.any(vector):
        return volume
    n = len(volume)
    full, half = np.fft.fftfreq(n), np.fft.rfftfreq(n)
    x, y, z = vector
    phase = full[:, None, None] * z + full[:, None] * y + half * x
    spectrum = np.fft.rfftn(volume.astype(np.float64)) * np.exp(-2j * np.pi * phase)
    return np.fft.irfftn(spectrum, s=volume.shape, axes=(0, 1, 2)).astype(volume.dtype)


def true_poses(particles: ParticleStack, path: str | os.PathLike[str], name: str = "the particles") -> Poses:
    """Read the true poses of particles, in their order.

    Parameters
    ----------
    particles : ParticleStack
        Matched by image, not by row.
    path : str or path-like
        STAR file with the true poses.
    name : str
        Of the particles, for messages.

    Returns
    -------
    Poses

    Raises
    ------
    InputError
        If it has no poses, or lacks a particle.
    """
    from cryoinv.io import ParticleStack, match_particles
    from cryoinv.io.particle_checks import checked_poses

    # Duplicates of the truth are refused where they matter.
    stack = ParticleStack.from_star(path, allow_duplicates=True)
    known = checked_poses(stack, str(path))
    try:
        return known[match_particles(particles, stack)]
    except InputError as error:
        raise InputError(f"{path}: does not cover {name}: {error}") from None


def check_truth(
    particles: ParticleStack, truth: str | os.PathLike[str], truth_poses: str | os.PathLike[str]
) -> None:
    """Refuse a true map and poses that a refinement of the particles could not be held against.

    Parameters
    ----------
    particles : ParticleStack
        To be refined.
    truth, truth_poses : str or path-like
        As in `evaluate_refinement`.

    Raises
    ------
    InputError
        If a file is missing, or does not fit the particles.
    """
    from cryoinv.io import read_volume, same_pixel_size
    from cryoinv.io.checks import check_varies

    volume, pixel_size = read_volume(truth)
    check_varies(volume, str(truth))
    if len(volume) != particles.n:
        raise InputError(f"{truth}: has {len(volume)} voxels a side, but the particles have {particles.n} pixels")
    if not same_pixel_size(pixel_size, particles.pixel_size):
        raise InputError(
            f"{truth}: the pixel size is {pixel_size:.4g} Å, but {particles.pixel_size:.4g} Å in the particles"
        )
    true_poses(particles, truth_poses)


def _matched_poses(estimated: Path, true: Path) -> tuple[Poses, Poses]:
    from cryoinv.io import ParticleStack
    from cryoinv.io.particle_checks import checked_poses

    stack = ParticleStack.from_star(estimated, allow_duplicates=True)  # as a refinement of a symmetry-expanded set has
    return checked_poses(stack, str(estimated)), true_poses(stack, true, str(estimated))


def _maps(estimated: Path, true: Path) -> tuple[np.ndarray, np.ndarray, float]:
    from cryoinv.io import read_volume, same_pixel_size
    from cryoinv.io.checks import check_varies

    volume, pixel_size = read_volume(estimated)
    true_volume, true_pixel_size = read_volume(true)
    check_varies(volume, str(estimated))
    check_varies(true_volume, str(true))
    if volume.shape != true_volume.shape:
        raise InputError(f"{true}: has {len(true_volume)} voxels a side, but {estimated} has {len(volume)}")
    if not same_pixel_size(pixel_size, true_pixel_size):
        raise InputError(f"{true}: the pixel size is {true_pixel_size:.4g} Å, but {pixel_size:.4g} Å in {estimated}")
    return volume, true_volume, pixel_size


def _particle(folder: Path, diameter: float | None, symmetry: str | None) -> tuple[float, str]:
    """Diameter of the particle's sphere and point group: as given, else as the refinement noted them."""
    if diameter is None or symmetry is None:
        summary = read_summary(folder)
        if diameter is None:
            diameter = summary.get("particle_diameter_angstrom")
        symmetry = symmetry or summary.get("symmetry") or RefinementSettings.symmetry
    if not isinstance(diameter, (int, float)):
        raise InputError(f"{folder / 'summary.json'}: has no particle_diameter_angstrom; give the particle diameter")
    return float(diameter), PointGroup(symmetry).name


def read_summary(folder: Path) -> dict[str, Any]:
    """Read ``summary.json`` of a refinement's folder."""
    path = existing_file(folder / "summary.json", "summary of a refinement")
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not a JSON file ({error})") from None
    if not isinstance(summary, dict):
        raise InputError(f"{path}: not the summary of a refinement")
    return summary
