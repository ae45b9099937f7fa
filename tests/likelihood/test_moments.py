"""Moments of posteriors over poses, and the searches scaled by them."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from cryoinv.geometry import PointGroup, Poses, exp_rotation, rotation_distance
from cryoinv.likelihood import FourierImages, LocalSearch, MarginalLikelihood, PoseMoments
from cryoinv.likelihood.moments import Neighbourhood, Neighbourhoods
from cryoinv.noise import RadialGaussianNoise

from .problems import ArrayParticles, random_volume, simulate

CENTRE = Rotation.random(random_state=3).as_matrix()
C1 = PointGroup("C1")
CELLS = (0.5 * np.eye(3), 0.125 * np.eye(2))


def moments_about(rotations, translations, weights, best, within, cells, group):
    """Mean rotation and translation and their covariances, pixels of 1 Å."""
    place = best % weights.shape[1]
    near = Neighbourhood.of(rotations, translations, lambda chosen: weights[:, chosen], place, within, group)
    found = Neighbourhoods.join([near]).moments((cells[0][None], cells[1][None]), 1.0)
    return (
        found.poses.rotations[0],
        found.poses.shifts[0],
        found.rotation_covariance[0],
        found.shift_covariance[0],
    )


def gaussian(mean, spread, shift, shift_spread, step=0.5):
    """Posterior on a lattice about CENTRE: rotation vectors in degrees, translations in pixels."""
    axis = np.arange(-8, 9) * step
    vectors = np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 3)
    translations = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2) / 4
    mass = np.exp(-(((vectors - mean) / spread) ** 2).sum(1) / 2)
    shift_mass = np.exp(-((translations - shift) ** 2).sum(1) / (2 * shift_spread**2))
    weights = shift_mass[:, None] * mass
    return exp_rotation(np.deg2rad(vectors)) @ CENTRE, translations, weights / weights.sum()


def test_mean_and_spread_of_a_gaussian_are_found_between_grid_points():
    mean, shift = np.array([0.2, -0.1, 0.3]), np.array([0.03, -0.04])
    rotations, translations, weights = gaussian(mean, np.array([0.8, 0.4, 0.8]), shift, 0.15)
    found = moments_about(rotations, translations, weights, int(weights.argmax()), 180.0, CELLS, C1)
    true = exp_rotation(np.deg2rad(mean)) @ CENTRE
    assert rotation_distance(found[0], true) < 0.01
    np.testing.assert_allclose(found[1], shift, atol=1e-4)
    np.testing.assert_allclose(found[2], np.diag([0.64, 0.16, 0.64]), atol=0.01)
    np.testing.assert_allclose(found[3], 0.15**2 * np.eye(2), atol=3e-4)


def test_a_distant_mode_has_no_say_and_a_symmetry_mate_is_no_mode():
    rotations, translations, weights = gaussian(np.zeros(3), 0.8, np.zeros(2), 0.15)
    best = int(weights.argmax())
    whole = moments_about(rotations, translations, weights, best, 20.0, CELLS, C1)
    away = exp_rotation([0, 0, 1.0]) @ rotations
    two = np.concatenate([rotations, away]), translations, np.concatenate([weights * 0.6, weights * 0.4], 1)
    best = int(two[2].argmax())
    np.testing.assert_allclose(moments_about(*two, best, 20.0, CELLS, C1)[2], whole[2], rtol=1e-6, atol=1e-9)
    group = PointGroup("C2")
    mates = np.concatenate([rotations, rotations @ group.matrices[1]]), translations, two[2]
    np.testing.assert_allclose(moments_about(*mates, best, 20.0, CELLS, group)[2], whole[2], rtol=1e-6, atol=1e-9)


def test_a_grid_cannot_tell_a_spread_far_below_its_step():
    rotations, translations, weights = gaussian(np.zeros(3), 0.01, np.zeros(2), 0.001)
    found = moments_about(rotations, translations, weights, int(weights.argmax()), 20.0, CELLS, C1)
    np.testing.assert_allclose(found[2], 0.15**2 * np.eye(3), atol=1e-9)
    np.testing.assert_allclose(found[3], 0.0375**2 * np.eye(2), atol=1e-9)


def test_spreads_are_root_mean_squares_over_axes_and_can_be_bounded():
    moments = PoseMoments(Poses(CENTRE[None]), np.diag([1.0, 4.0, 7.0])[None], np.diag([1.0, 7.0])[None])
    assert (moments.degrees[0], moments.angstrom[0]) == pytest.approx((2.0, 2.0))
    bounded = moments.bounded(2.0, 1.0)
    np.testing.assert_allclose(bounded.rotation_covariance[0], np.diag([1.0, 4.0, 4.0]))
    np.testing.assert_allclose(bounded.shift_covariance[0], np.eye(2))
    assert bounded[np.array([0])].degrees == pytest.approx(3**0.5)


def test_the_default_lattice_is_good_quadrature_of_the_posterior():
    """Moments and evidence of the coarse lattice against one with steps three times finer."""
    n, volume = 16, random_volume(16)
    pictures, rotations = simulate(volume, 4, 0.02, seed=1)
    images = FourierImages(ArrayParticles(pictures), dtype=torch.float64)
    noise = RadialGaussianNoise.white(0.02, n // 2 + 1)
    moments = PoseMoments.isotropic(Poses(rotations), 4.0, 0.3)
    for _ in range(10):
        search = LocalSearch(moments, 1.0, 2.0)
        coarse = MarginalLikelihood(images, noise, search).expectation(volume).particles
        moments = coarse.moments
    search = LocalSearch(moments, 1.0, 2.0, step=0.5, reach=8.0)
    fine = MarginalLikelihood(images, noise, search).expectation(volume).particles
    np.testing.assert_allclose(moments.degrees, fine.moments.degrees, rtol=0.08)
    np.testing.assert_allclose(moments.angstrom, fine.moments.angstrom, rtol=0.08)
    np.testing.assert_allclose(coarse.log_likelihood, fine.log_likelihood, atol=0.1)
    apart = rotation_distance(moments.poses.rotations, fine.moments.poses.rotations)
    assert (apart < 0.1 * fine.moments.degrees).all()
