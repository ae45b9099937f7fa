"""Poses a search looks at: how far shifts reach, and what prior mass each pose has."""

import numpy as np
import pytest
import torch

from cryoinv.errors import InputError
from cryoinv.geometry import PointGroup, Poses, SO3Grid
from cryoinv.likelihood import ExhaustiveSearch, FourierImages, LocalSearch, MarginalLikelihood, PoseMoments
from cryoinv.noise import RadialGaussianNoise

from .problems import ArrayParticles, random_volume, simulate

N = 16


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def present(rotations, shifts=None, degrees=10.0, angstrom=1.0):
    return PoseMoments.isotropic(Poses(rotations, shifts), degrees, angstrom)


@pytest.mark.parametrize("most", [3.0, 1.0, 0.25, 0.0])
def test_no_shift_exceeds_the_bound_and_all_within_are_in_reach(most):
    angles = np.linspace(0, 2 * np.pi, 73)
    at_bound = most * np.stack([np.cos(angles), np.sin(angles)], 1)
    for shifts in (at_bound, 0.2 * at_bound, 50 + at_bound):
        search = LocalSearch(present(np.tile(np.eye(3), (73, 1, 1)), 2.0 * shifts), 2.0, most)
        for particle, shift in enumerate(shifts):
            found = search.translations_of(particle)
            assert np.linalg.norm(found, axis=1).max() <= most + 1e-9
            if np.linalg.norm(shift) <= most + 1e-9:
                assert np.linalg.norm(found - shift, axis=1).min() < 1e-9


def test_a_shift_beyond_the_bound_stays_at_it_through_local_iterations():
    volume = random_volume(N)
    true = np.array([[3.5, 0.0], [2.5, 2.5], [0.0, -2.0], [0.5, 0.2]])
    images, rotations = simulate(volume, 4, 0.01, seed=1, shifts=true)
    fourier = FourierImages(ArrayParticles(images, pixel_size=2.0), dtype=torch.float64)
    noise = RadialGaussianNoise.white(0.01, N // 2 + 1)
    moments = present(rotations, np.zeros((4, 2)), 3.0, 2.0)
    for _ in range(6):
        search = LocalSearch(moments, 2.0, 2.0)
        moments = MarginalLikelihood(fourier, noise, search).expectation(volume).particles.moments
        assert (np.linalg.norm(moments.poses.shifts, axis=1) / 2 <= 2.0 + 1e-9).all()
    found = moments.poses.shifts / 2
    np.testing.assert_allclose(found[2:], true[2:], atol=0.3)
    assert (np.linalg.norm(found[:2], axis=1) > 1.7).all()
    np.testing.assert_allclose(unit(found[:2]), unit(true[:2]), atol=0.2)


def test_prior_masses_are_the_volumes_of_the_lattice_cells():
    search = LocalSearch(present(np.eye(3)[None], degrees=4.0, angstrom=0.5), 1.0, 3.0)
    cell = np.deg2rad(6.0) ** 3 / (8 * np.pi**2)
    assert search.log_prior_of(0) == pytest.approx(np.log(cell * 0.75**2 / (9 * np.pi)))
    centred = LocalSearch(present(np.eye(3)[None], degrees=4.0), 1.0, 0.0)
    assert centred.log_prior_of(0) == pytest.approx(np.log(cell))


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
    local = LocalSearch(present(rotations), 1.0, max_shift_pixels=2.0, step=1.0, reach=2.0)
    found = MarginalLikelihood(images, noise, local, symmetry=group).expectation(volume).particles
    for i in range(len(images)):
        ball = local.rotations_of(np.array([i]))[0]
        both = np.concatenate([ball @ mate for mate in group.matrices])
        search = ExhaustiveSearch(both, log_rotation_prior=np.full(len(both), local.log_prior_of(i)))
        search.translations = local.translations_of(i)
        search.log_translation_prior = np.zeros(len(search.translations))
        whole = MarginalLikelihood(images, noise, search).expectation(volume, np.array([i])).particles
        np.testing.assert_allclose(found.log_likelihood[i], whole.log_likelihood[0], rtol=1e-9)


def test_global_and_local_log_likelihoods_agree_with_and_without_a_point_group():
    volume, images, noise, rotations = symmetric_problem(variance=0.2)
    group = PointGroup("C2")
    fine = SO3Grid(3)
    c1 = MarginalLikelihood(images, noise, ExhaustiveSearch(fine)).value(volume)
    c2 = MarginalLikelihood(images, noise, ExhaustiveSearch(SO3Grid(3, group)), symmetry=group).value(volume)
    local = LocalSearch(present(rotations, degrees=7.5), 1.0, max_shift_pixels=0.0, step=1.0, reach=8.0)
    near = MarginalLikelihood(images, noise, local, symmetry=group).value(volume)
    half = MarginalLikelihood(images, noise, local).value(volume)
    assert c2 == pytest.approx(c1, abs=0.1)
    assert near == pytest.approx(c1, abs=0.1)
    assert near - half == pytest.approx(len(images) * np.log(2), abs=1e-6)


def test_a_search_is_not_changed_by_the_likelihoods_it_is_used_in():
    local = LocalSearch(present(np.eye(3)[None]), 1.0)
    before = local.log_prior_of(0)
    _, images, noise, _ = symmetric_problem()
    for _ in range(2):
        used = MarginalLikelihood(images, noise, local, symmetry=PointGroup("C3")).search
        assert used.log_prior_of(0) == pytest.approx(before + np.log(3))
    assert local.log_prior_of(0) == before


@pytest.mark.parametrize("widths", [(0.0, 1.0), (1.0, 0.0)], ids=["orientations", "shifts"])
def test_a_lattice_without_width_is_refused(widths):
    with pytest.raises(InputError, match="standard deviations > 0"):
        LocalSearch(present(np.eye(3)[None], None, *widths), 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, "everywhere"])
@pytest.mark.parametrize("name", ["log_rotation_prior", "log_translation_prior"])
def test_a_prior_that_is_no_mass_is_refused(name, bad):
    prior = np.zeros(72 if name == "log_rotation_prior" else 5)
    prior[:] = -np.inf if bad == "everywhere" else prior
    prior[3] = -np.inf if bad == "everywhere" else bad
    with pytest.raises(InputError, match="-inf for no mass"):
        ExhaustiveSearch(SO3Grid(0), 1.0, **{name: prior})


@pytest.mark.parametrize("memory_bytes", [1 << 29, 30_000], ids=["whole", "parts"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["compiled", "plain"])
@pytest.mark.parametrize("paired", [True, False])
def test_poses_without_prior_mass_are_as_if_they_were_not_there(paired, dtype, memory_bytes):
    volume = random_volume(9)
    images = FourierImages(ArrayParticles(simulate(volume, 5, 1.0, seed=1)[0]), dtype=dtype)
    noise, grid = RadialGaussianNoise.white(1.0, 5), SO3Grid(0)
    prior, shifts = np.where(np.arange(len(grid)) < len(grid) // 2, -np.inf, 0.5), np.array([0, -np.inf, 0, 0, -1.0])
    search = ExhaustiveSearch(
        grid if paired else grid.matrices, 1.0, log_rotation_prior=prior, log_translation_prior=shifts
    )
    few = ExhaustiveSearch(grid.matrices[len(grid) // 2 :], 1.0, log_rotation_prior=prior[len(grid) // 2 :])
    few.translations, few.log_translation_prior = few.translations[shifts > -9], shifts[shifts > -9]
    likelihood = MarginalLikelihood(images, noise, search, memory_bytes=memory_bytes)
    parts = likelihood._step(volume)._orientation_parts(search)
    without_mass = [part for part in parts if (part.log_rotation_prior < -1e29).all()]
    assert (len(parts) > 1) == bool(without_mass) == (memory_bytes < 1 << 29)
    found, expected = likelihood.expectation(volume), MarginalLikelihood(images, noise, few).expectation(volume)
    tolerance = {"rtol": 1e-3, "atol": 1e-3} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(found.data, expected.data, **tolerance)
    torch.testing.assert_close(found.weight, expected.weight, **tolerance)
    for name in ("log_likelihood", "entropy", "max_probability", "mean_probability"):
        np.testing.assert_allclose(getattr(found.particles, name), getattr(expected.particles, name), **tolerance)
    np.testing.assert_array_equal(found.particles.poses.rotations, expected.particles.poses.rotations)
    assert np.isfinite(found.particles.moments.rotation_covariance).all()
    np.testing.assert_allclose(likelihood.log_likelihoods(volume)[0], expected.particles.log_likelihood, **tolerance)
