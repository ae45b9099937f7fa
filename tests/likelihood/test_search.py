"""Poses a search looks at: how far shifts reach, and what prior mass each pose has."""

import numpy as np
import pytest
import torch

from cryoinv.geometry import PointGroup, Poses, SO3Grid, random_rotations
from cryoinv.likelihood import ExhaustiveSearch, FourierImages, LocalSearch, MarginalLikelihood, Oversampling
from cryoinv.noise import RadialGaussianNoise

from .problems import ArrayParticles, random_volume, simulate

N = 16


def looked_at(search):
    """All shifts (m, T, 2) of the last pass, pixels."""
    relative = search.translations if search.oversampling is None else search.child_translations().reshape(-1, 2)
    return search.offsets_of(np.arange(len(search.centres)))[:, None] + relative


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.mark.parametrize("oversampling", [None, Oversampling()], ids=["plain", "oversampled"])
@pytest.mark.parametrize(("step", "most"), [(1.0, 3.0), (0.5, 3.0), (1.0, 1.0), (0.5, 0.25), (1.0, 0.0)])
def test_no_shift_exceeds_the_bound_and_all_within_are_in_reach(step, most, oversampling):
    angles = np.linspace(0, 2 * np.pi, 73)
    at_bound = most * np.stack([np.cos(angles), np.sin(angles)], 1)
    for shifts in (at_bound, 0.2 * at_bound, 50 + at_bound):
        centres = Poses(np.tile(np.eye(3), (73, 1, 1)), 2.0 * shifts)
        search = LocalSearch(centres, 2.0, 10.0, 20.0, step, step, oversampling, most)
        found = looked_at(search)
        assert np.linalg.norm(found, axis=-1).max() <= most + step / 2 + 1e-9
        if len(search.translations) > 1 and shifts[0, 0] <= most:
            nearest = np.linalg.norm(found - shifts[:, None], axis=-1).min(1)
            assert nearest.max() < 0.37 * step if oversampling else nearest.max() < 0.6 * step


def test_a_shift_beyond_the_bound_stays_at_it_through_local_iterations():
    volume = random_volume(N)
    true = np.array([[3.5, 0.0], [2.5, 2.5], [0.0, -2.0], [0.5, 0.2]])
    images, rotations = simulate(volume, 4, 0.01, seed=1, shifts=true)
    fourier = FourierImages(ArrayParticles(images, pixel_size=2.0), dtype=torch.float64)
    noise = RadialGaussianNoise.white(0.01, N // 2 + 1)
    poses = Poses(rotations, np.zeros((4, 2)))
    for iteration in range(6):
        step = 1.0 if iteration < 3 else 0.5
        search = LocalSearch(poses, 2.0, 3.0, 6.0, step, step, Oversampling(), 2.0)
        poses = MarginalLikelihood(fourier, noise, search).expectation(volume).particles.poses
        assert (np.linalg.norm(poses.shifts, axis=1) / 2 <= 2.0 + step / 2).all()
    found = poses.shifts / 2
    np.testing.assert_allclose(found[2:], true[2:], atol=0.2)
    assert (np.linalg.norm(found[:2], axis=1) > 1.7).all()
    np.testing.assert_allclose(unit(found[:2]), unit(true[:2]), atol=0.2)


@pytest.mark.parametrize("most", [0.0, 1.0, 3.0])
def test_a_translation_has_the_prior_mass_that_the_global_search_gives_it(most):
    everywhere = ExhaustiveSearch(SO3Grid(0), most)
    local = LocalSearch(Poses(random_rotations(1, np.random.default_rng(0))), 1.0, 10.0, 20.0, max_shift_pixels=most)
    assert local.log_translation_prior[0] == everywhere.log_translation_prior[0]


def symmetric_problem(n=9, count=5, variance=0.02):
    """A map with a two-fold about z, images of it, their noise and true orientations."""
    volume = random_volume(n)
    volume = volume + volume.flip(1, 2)  # an odd box: voxels map onto voxels
    images, rotations = simulate(volume, count, variance, seed=1)
    fourier = FourierImages(ArrayParticles(images), dtype=torch.float64)
    return volume, fourier, RadialGaussianNoise.white(variance, n // 2 + 1), rotations


def test_local_log_likelihood_under_a_point_group_counts_the_mates():
    """A ball under C2 equals the sum in C1 over that ball and its mate's."""
    volume, images, noise, rotations = symmetric_problem()
    group = PointGroup("C2")
    local = LocalSearch(Poses(rotations), 1.0, 10.0, 20.0, max_shift_pixels=2.0)
    found = MarginalLikelihood(images, noise, local, symmetry=group).expectation(volume).particles
    for i in range(len(images)):
        ball = local.rotations_of(np.array([i]))[0]
        both = np.concatenate([ball @ mate for mate in group.matrices])
        share = np.log(np.deg2rad(10.0) ** 3 / (8 * np.pi**2))
        search = ExhaustiveSearch(
            both, 1.0, 1.0, log_rotation_prior=np.full(len(both), share), log_translation_prior=np.full(5, -np.log(13))
        )
        whole = MarginalLikelihood(images, noise, search).expectation(volume, np.array([i])).particles
        np.testing.assert_allclose(found.log_likelihood[i], whole.log_likelihood[0], rtol=1e-9)


def test_global_and_local_log_likelihoods_agree_with_and_without_a_point_group():
    volume, images, noise, rotations = symmetric_problem(variance=0.2)
    group = PointGroup("C2")
    fine = SO3Grid(3)
    c1 = MarginalLikelihood(images, noise, ExhaustiveSearch(fine)).value(volume)
    c2 = MarginalLikelihood(images, noise, ExhaustiveSearch(SO3Grid(3, group)), symmetry=group).value(volume)
    local = LocalSearch(Poses(rotations), 1.0, 7.5, 60.0, 0.0, max_shift_pixels=0.0)
    near = MarginalLikelihood(images, noise, local, symmetry=group).value(volume)
    half = MarginalLikelihood(images, noise, local).value(volume)
    assert c2 == pytest.approx(c1, abs=0.1)
    assert near == pytest.approx(c1, abs=0.1)
    assert near - half == pytest.approx(len(images) * np.log(2), abs=1e-6)


def test_a_search_is_not_changed_by_the_likelihoods_it_is_used_in():
    local = LocalSearch(Poses(np.eye(3)[None]), 1.0, 10.0, 20.0)
    before = local.log_rotation_prior.copy()
    _, images, noise, _ = symmetric_problem()
    for _ in range(2):
        used = MarginalLikelihood(images, noise, local, symmetry=PointGroup("C3")).search
        np.testing.assert_allclose(used.log_rotation_prior, before + np.log(3))
    np.testing.assert_array_equal(local.log_rotation_prior, before)
