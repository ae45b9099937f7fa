"""Posterior masses sum to one in every kind of pass, and an oversampled one keeps what it is asked to keep."""

import numpy as np
import pytest
import torch

from cryoinv.geometry import Poses, SO3Grid
from cryoinv.likelihood import (
    ExhaustiveSearch,
    FourierImages,
    LocalSearch,
    MarginalLikelihood,
    Oversampling,
    PoseMoments,
)
from cryoinv.likelihood.accumulator import SliceAccumulator
from cryoinv.noise import RadialGaussianNoise

from .problems import ArrayParticles, random_volume, simulate

N, COUNT, GRID = 9, 6, SO3Grid(0)


@pytest.fixture(scope="module")
def problem():
    volume = random_volume(N)
    pictures, rotations = simulate(volume, COUNT, 2.0, seed=1)
    return volume, pictures, PoseMoments.isotropic(Poses(rotations), 20.0, 1.0)


@pytest.fixture
def inserted(monkeypatch):
    """Orientations and their masses, a list of what every call inserts, where images have no CTF."""
    calls, original = [], SliceAccumulator.add_slices

    def noted(accumulator, group, rotations, slices, data, weight, precision, scored=None):
        calls.append((rotations, (weight / precision).double().mean(1)))
        original(accumulator, group, rotations, slices, data, weight, precision, scored)

    monkeypatch.setattr(SliceAccumulator, "add_slices", noted)
    return calls


def likelihood_of(pictures, search, dtype=torch.float64, **options):
    images, noise = FourierImages(ArrayParticles(pictures), dtype=dtype), RadialGaussianNoise.white(2.0, N // 2 + 1)
    return MarginalLikelihood(images, noise, search, negligible=0.0, **options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["exhaustive", "parts", "oversampled", "local"])
def test_masses_of_every_particle_sum_to_one(problem, kind, dtype, inserted):
    volume, pictures, moments = problem
    searches = {
        "oversampled": ExhaustiveSearch(GRID, 1.0, oversampling=Oversampling(0.9)),
        "local": LocalSearch(moments, 1.0),
    }
    options = {"memory_bytes": 30_000} if kind == "parts" else {}
    likelihood = likelihood_of(pictures, searches.get(kind, ExhaustiveSearch(GRID, 1.0)), dtype, **options)
    for particle in range(COUNT):
        likelihood.expectation(volume, np.array([particle]))
        assert sum(float(mass.sum()) for _, mass in inserted) == pytest.approx(1, abs=1e-5)
        assert kind != "parts" or len(inserted) > 1
        inserted.clear()
    likelihood.expectation(volume)
    assert sum(float(mass.sum()) for _, mass in inserted) == pytest.approx(COUNT, abs=1e-4)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_oversampled_orientations_hold_the_mass_asked_for(problem, share, inserted):
    volume, pictures, _ = problem
    whole = likelihood_of(pictures, ExhaustiveSearch(GRID, 1.0)).posterior(volume, np.arange(COUNT)).sum(1).numpy()
    search = ExhaustiveSearch(GRID, 1.0, oversampling=Oversampling(share))
    children = GRID.children(np.arange(len(GRID)))
    for particle in range(COUNT):
        likelihood_of(pictures, search).expectation(volume, np.array([particle]))
        rotations = np.concatenate([rotations for rotations, _ in inserted])
        same = np.abs(children[None] - rotations[:, None, None]).max((-1, -2)).min(2) < 1e-9
        kept = np.flatnonzero(same.any(0))
        assert len(rotations) == 8 * len(kept)
        mass = np.sort(whole[particle][kept])
        each = (1 + share) / 2  # so that with the significant translations it is the share
        assert mass.sum() >= each and mass[1:].sum() < each  # and no more of them than that needs
        inserted.clear()
