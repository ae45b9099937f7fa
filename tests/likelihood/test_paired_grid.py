"""Grids of orientations half a turn apart against the readable form; the compiled softmax against torch."""

import numpy as np
import pytest
import torch

from cryoinv.geometry import SO3Grid
from cryoinv.likelihood import ExhaustiveSearch, FourierImages, MarginalLikelihood
from cryoinv.likelihood.paired_grid import PairedGrid
from cryoinv.likelihood.scores import image_terms
from cryoinv.operators import NufftInterpolation, TrilinearInterpolation, soft_sphere

from .problems import ArrayParticles, random_noise, random_volume, simulate

HALF_TURN = np.diag([-1.0, -1.0, 1.0])


def problem(n=9, masked=False, ctf=True, dtype=torch.float64):
    """Likelihoods of the same images and poses, with the orientations known to be paired and without."""
    volume = random_volume(n)
    pictures, _ = simulate(volume, 7, 1.0, seed=1)
    particles = ArrayParticles(pictures, groups=np.array([0, 1, 0, 0, 1, 0, 1]))
    mask = soft_sphere(n, n / 3, 2.0, 2, torch.float64) if masked else None
    images = FourierImages(particles, dtype=dtype, mask=None if mask is None else mask.to(dtype))
    if ctf:
        table = torch.as_tensor(np.random.default_rng(2).uniform(-1, 1, (7, len(images.disc)))).to(dtype)
        images.ctf = lambda indices, count: table[torch.as_tensor(indices)][:, :count]
    paired, plain = (ExhaustiveSearch(SO3Grid(0), 1.5) for _ in range(2))
    plain.pairs = None
    return volume, images, paired, plain, random_noise(n, 2)


def test_pairs_are_half_a_turn_in_plane_apart_and_stay_together():
    search = ExhaustiveSearch(SO3Grid(1, "D2"))
    first, second = search.rotations[search.pairs.T]
    np.testing.assert_allclose(HALF_TURN @ first, second, atol=1e-12)
    assert sorted(search.pairs.ravel()) == list(range(len(search.rotations)))
    parts = search.parts(5)
    assert sum(len(part.rotations) for part in parts) == len(search.rotations)
    for part in parts:
        first, second = part.rotations[part.pairs.T]
        np.testing.assert_allclose(HALF_TURN @ first, second, atol=1e-12)


@pytest.mark.parametrize("memory_bytes", [1 << 29, 30_000], ids=["whole", "parts"])
@pytest.mark.parametrize("ctf", [True, False], ids=["ctf", "no-ctf"])
@pytest.mark.parametrize("masked", [True, False], ids=["masked", "unmasked"])
def test_statistics_gradient_and_summaries_are_those_of_the_readable_form(masked, ctf, memory_bytes):
    volume, images, paired, plain, noise = problem(masked=masked, ctf=ctf)
    scheme = NufftInterpolation(9, 1e-13)
    ours, twin = (
        MarginalLikelihood(images, noise, search, scheme, memory_bytes=memory_bytes) for search in (paired, plain)
    )
    a, b = ours.expectation(volume), twin.expectation(volume)
    scale = float(b.data.abs().max())
    np.testing.assert_allclose(a.data, b.data, atol=1e-9 * scale)
    np.testing.assert_allclose(a.weight, b.weight, rtol=1e-7, atol=1e-9 * float(b.weight.abs().max()))
    np.testing.assert_allclose(a.residuals.total, b.residuals.total, rtol=1e-9)
    for name in ("log_likelihood", "entropy", "max_probability", "mean_probability"):
        np.testing.assert_allclose(getattr(a.particles, name), getattr(b.particles, name), rtol=1e-9)
    np.testing.assert_array_equal(a.particles.poses.rotations, b.particles.poses.rotations)
    if memory_bytes > 30_000:  # parts differ, and so do the mixtures of their moments
        np.testing.assert_allclose(a.particles.moments.poses.shifts, b.particles.moments.poses.shifts, atol=1e-9)
        np.testing.assert_allclose(
            a.particles.moments.rotation_covariance, b.particles.moments.rotation_covariance, atol=1e-7
        )
    if not masked:
        gradients = ours.exact_gradient(volume), twin.exact_gradient(volume)
        np.testing.assert_allclose(*gradients, atol=1e-9 * float(gradients[1].abs().max()))
    table = ours.posterior(volume, np.arange(7)), twin.posterior(volume, np.arange(7))
    np.testing.assert_allclose(*table, atol=1e-12)


def test_parts_of_a_grid_give_the_moments_of_the_whole():
    volume, images, search, _, noise = problem()
    scheme = NufftInterpolation(9, 1e-13)
    whole, parts = (
        MarginalLikelihood(images, noise, search, scheme, memory_bytes=m).expectation(volume).particles.moments
        for m in (1 << 29, 300_000)
    )
    # The mixture of parts sees a little more than the neighbourhood of the best pose.
    np.testing.assert_allclose(parts.degrees, whole.degrees, rtol=0.5)
    np.testing.assert_allclose(parts.poses.shifts, whole.poses.shifts, atol=0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_likelihoods_alone_score_every_part_once_and_mix_no_tables(dtype, monkeypatch):
    volume, images, search, _, noise = problem(dtype=dtype)
    made, original = [], PairedGrid.posterior

    def noted(*arguments):
        made.append(original(*arguments))
        return made[-1]

    monkeypatch.setattr(PairedGrid, "posterior", noted)
    found, counts = [], []
    for memory_bytes in (1 << 29, 30_000):
        likelihood = MarginalLikelihood(images, noise, search, NufftInterpolation(9), memory_bytes=memory_bytes)
        found.append(likelihood.log_likelihoods(volume, np.array([6, 0, 3]))[0])
        parts = likelihood._step(volume)._orientation_parts(search)
        counts.append(len(made))
        assert sum(len(posterior.summary.best) for posterior in made) == 3 * len(parts)
        assert not any(posterior.tables for posterior in made)
        made.clear()
    assert counts[1] > counts[0]
    np.testing.assert_allclose(*found, rtol=1e-5 if dtype == torch.float32 else 1e-12)


@pytest.fixture(params=[1, 2])
def threads(request):
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(1)


@pytest.mark.parametrize("offset", [0.0, -500.0], ids=["narrow", "wide"])
def test_compiled_softmax_agrees_with_torch(offset, threads, monkeypatch):
    volume, images, search, _, noise = problem(dtype=torch.float32)
    volume = volume.float()
    search.log_rotation_prior = search.log_rotation_prior + offset * (np.arange(len(search.rotations)) % 3)
    likelihood = MarginalLikelihood(images, noise, search, TrilinearInterpolation(9))
    step = likelihood._step(likelihood._prepared(volume))
    terms = image_terms(images, noise, 0, np.array([0, 2, 3, 5]), step.count)
    found = {}
    for name, compiled in (("numba", True), ("torch", False)):
        monkeypatch.setattr("cryoinv.likelihood.paired_grid._compiled", lambda answer=compiled: answer)
        grid = step.shared_grid(search)
        assert isinstance(grid, PairedGrid)
        found[name] = grid.posterior(terms)
    ours, twin = found["numba"], found["torch"]
    for name in ("log_evidence", "entropy", "max_probability", "mean_probability"):
        a, b = (getattr(p.summary, name).double() for p in (ours, twin))
        torch.testing.assert_close(a, b, rtol=2e-5, atol=2e-5)
    torch.testing.assert_close(ours.summary.best, twin.summary.best)
    torch.testing.assert_close(ours.orientations, twin.orientations, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(ours.translations, twin.translations, rtol=1e-4, atol=1e-7)
    for a, b in zip(ours.tables, twin.tables, strict=True):
        scaled = a * ours.scale.repeat_interleave(len(a) // len(ours.scale))[:, None]
        torch.testing.assert_close(scaled, b, rtol=1e-4, atol=1e-7)
