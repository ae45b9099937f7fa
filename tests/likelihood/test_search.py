"""Poses a search looks at: how far shifts reach, and what prior mass each pose has."""

import numpy as np
import pytest
import torch

from cryoinv.geometry import Poses, SO3Grid, random_rotations
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
