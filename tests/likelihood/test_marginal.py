"""The marginal likelihood against a dense brute-force twin, autograd and finite differences, in double precision."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from cryoinv.errors import InputError
from cryoinv.geometry import PointGroup, SO3Grid
from cryoinv.likelihood import (
    ExhaustiveSearch,
    FourierImages,
    LocalSearch,
    MarginalLikelihood,
    Oversampling,
    PoseMoments,
    children,
)
from cryoinv.likelihood.scores import shift_table
from cryoinv.operators.interpolation import NufftInterpolation, TrilinearInterpolation
from cryoinv.operators.mask import soft_sphere

from .problems import ArrayParticles, Poses, brute_force, direct_slices, random_noise, random_volume, simulate

N = 9


def schemes():
    return [
        pytest.param(lambda n: TrilinearInterpolation(n, 2), id="trilinear-pad2"),
        pytest.param(lambda n: TrilinearInterpolation(n, 1, "radial"), id="trilinear-pad1-radial"),
        pytest.param(lambda n: NufftInterpolation(n, 1e-12), id="nufft"),
    ]


@pytest.fixture(params=[1, 3], ids=["one-thread", "three-threads"])
def threads(request):
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(1)


@pytest.fixture(params=[8, 9], ids=["even", "odd"])
def problem(request):
    n = request.param
    volume = random_volume(n)
    pictures, _ = simulate(volume, 7, 1.0, seed=1)
    particles = ArrayParticles(pictures, groups=np.array([0, 1, 0, 0, 1, 0, 1]))
    images = FourierImages(particles, dtype=torch.float64)
    rng = np.random.default_rng(2)
    ctf = torch.as_tensor(rng.uniform(-1, 1, (7, len(images.disc))))
    images.ctf = lambda indices, count: ctf[torch.as_tensor(indices)][:, :count]
    rotations = Rotation.random(11, random_state=3).as_matrix()
    prior = rng.normal(size=11)
    search = ExhaustiveSearch(rotations, 1.5, 1.0, log_rotation_prior=prior - np.logaddexp.reduce(prior))
    return n, volume, images, ctf, search, random_noise(n, 2)


def dense_posterior(n, volume, images, ctf, search, noise, slices=None):
    disc = images.disc
    slices = direct_slices(volume, search.rotations, disc.pixels) if slices is None else slices
    table = shift_table(disc.pixels, n, search.translations, torch.float64)
    sigma2 = torch.stack([noise.at(int(g), disc.shells) for g in images.particles.optics_group])
    prior = search.log_translation_prior[:, None] + search.log_rotation_prior
    transforms = images.transforms(np.arange(len(images)))
    return brute_force(transforms, slices, table, ctf, sigma2, disc.weights, prior), slices, table, sigma2


def test_value_and_summary_equal_brute_force(problem):
    n, volume, images, ctf, search, noise = problem
    (posterior, evidence), *_ = dense_posterior(*problem)
    likelihood = MarginalLikelihood(images, noise, search, NufftInterpolation(n, 1e-13))
    statistics = likelihood.expectation(volume)
    summary = statistics.particles
    np.testing.assert_allclose(summary.log_likelihood, evidence, rtol=1e-10)
    np.testing.assert_allclose(likelihood.value(volume), evidence.sum(), rtol=1e-10)
    np.testing.assert_allclose(likelihood(likelihood.domain.element(volume)), evidence.sum(), rtol=1e-10)
    np.testing.assert_allclose(summary.max_probability, posterior.max((1, 2)), rtol=1e-8)
    np.testing.assert_allclose(summary.mean_probability, (posterior**2).sum((1, 2)), rtol=1e-8)
    entropy = -(posterior * np.log(posterior)).sum((1, 2))
    np.testing.assert_allclose(summary.entropy, entropy, rtol=1e-8)
    best = posterior.reshape(len(posterior), -1).argmax(1) % posterior.shape[2]
    np.testing.assert_allclose(summary.poses.rotations, search.rotations[best])


@pytest.mark.parametrize("scheme", schemes())
def test_statistics_equal_dense_sums(problem, scheme):
    n, volume, images, ctf, search, noise = problem
    interpolation = scheme(n)
    slices = interpolation.slices(
        interpolation.prepare(volume), torch.as_tensor(search.rotations), images.disc.pixels
    )
    (posterior, _), _, table, sigma2 = dense_posterior(*problem, slices=slices)
    transforms, weights = images.transforms(np.arange(len(images))), images.disc.weights
    statistics = MarginalLikelihood(images, noise, search, interpolation).expectation(volume)
    posterior = torch.as_tensor(posterior)
    data = torch.einsum(
        "ito,ip,tp->op", posterior.to(torch.complex128), transforms * ctf * weights / sigma2, table
    )
    weight = torch.einsum("ito,ip->op", posterior, ctf**2 * weights / sigma2)
    rotations = torch.as_tensor(search.rotations)
    box = interpolation.box
    k = np.stack(np.meshgrid(*[np.fft.fftfreq(box, 1 / box)] * 2 + [np.arange(box // 2 + 1)], indexing="ij"), -1)
    reached = np.linalg.norm(np.maximum(np.abs(k) - 0.5, 0), axis=-1) <= images.disc.pixels.double().norm(
        dim=1
    ).max().item() * box / n
    expected = interpolation.data(interpolation.insert(data, rotations, images.disc.pixels)) * torch.as_tensor(reached)
    torch.testing.assert_close(statistics.data, expected, rtol=1e-9, atol=1e-9)
    expected = interpolation.weight(interpolation.insert_weights(weight, rotations, images.disc.pixels))
    expected = expected * torch.as_tensor(reached)
    torch.testing.assert_close(statistics.weight, expected, rtol=1e-9, atol=1e-9)
    predicted = slices[None, None] * ctf[:, None, None] / table[None, :, None]
    error = (posterior[..., None] * (transforms[:, None, None] - predicted).abs() ** 2).sum((1, 2))
    for group in (0, 1):
        members = torch.as_tensor(images.particles.optics_group == group)
        for shell in range(int(images.disc.shells.max()) + 1):
            inside = images.disc.shells == shell
            mean = (error[members][:, inside] * weights[inside]).sum() / (
                members.sum() * weights[inside].sum()
            )
            np.testing.assert_allclose(statistics.residuals.mean()[group, shell], mean, rtol=1e-8)


@pytest.mark.parametrize("scheme", schemes())
def test_exact_gradient_equals_autograd_and_finite_differences(problem, scheme):
    n, volume, images, ctf, search, noise = problem
    interpolation = scheme(n)
    likelihood = MarginalLikelihood(images, noise, search, interpolation)
    gradient = likelihood.exact_gradient(volume)
    leaf = volume.clone().requires_grad_()
    slices = interpolation.slices(
        interpolation.prepare(leaf), torch.as_tensor(search.rotations), images.disc.pixels
    )
    table = shift_table(images.disc.pixels, n, search.translations, torch.float64)
    sigma2 = torch.stack([noise.at(int(g), images.disc.shells) for g in images.particles.optics_group])
    predicted = slices * ctf[:, None, None] / table[None, :, None]
    transforms = images.transforms(np.arange(len(images)))
    score = -0.5 * (
        images.disc.weights / sigma2[:, None, None] * (transforms[:, None, None] - predicted).abs() ** 2
    )
    prior = torch.as_tensor(search.log_translation_prior[:, None] + search.log_rotation_prior)
    torch.logsumexp((score.sum(-1) + prior).flatten(1), 1).sum().backward()
    torch.testing.assert_close(gradient, leaf.grad, rtol=1e-8, atol=1e-8)
    direction = torch.randn(volume.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    step = 1e-5
    slope = (likelihood.value(volume + step * direction) - likelihood.value(volume - step * direction)) / (
        2 * step
    )
    np.testing.assert_allclose(float((gradient * direction).sum()), slope, rtol=1e-5)


def test_diagonal_surrogate_is_the_gradient_of_the_em_objective_and_differs_from_the_exact_one(problem):
    n, volume, images, ctf, search, noise = problem
    interpolation = TrilinearInterpolation(n, 2)
    likelihood = MarginalLikelihood(images, noise, search, interpolation)
    statistics = likelihood.expectation(volume)
    w = torch.full((statistics.box // 2 + 1,), 2.0, dtype=torch.float64)
    w[0] = 1
    if statistics.box % 2 == 0:
        w[-1] = 1
    leaf = volume.clone().requires_grad_()
    x = interpolation.spectrum(interpolation.prepare(leaf))
    linear = ((statistics.data.conj() * x).real * w).sum()
    inner = statistics.space.weighting.inner(statistics.data, x.detach())
    assert inner == pytest.approx(float(linear.detach()), rel=1e-12)
    (linear - 0.5 * (statistics.weight * x.abs() ** 2 * w).sum()).backward()
    diagonal = likelihood.exact_gradient(volume, curvature="diagonal")
    torch.testing.assert_close(diagonal, leaf.grad, rtol=1e-8, atol=1e-8)
    exact = likelihood.exact_gradient(volume)
    assert float((diagonal - exact).norm() / exact.norm()) > 1e-3


def test_batches_add_up_to_the_whole(problem):
    n, volume, images, _, search, noise = problem
    likelihood = MarginalLikelihood(images, noise, search)
    whole = likelihood.expectation(volume)
    parts = likelihood.expectation(volume, np.array([4, 0, 2])) + likelihood.expectation(
        volume, np.array([1, 6, 3, 5])
    )
    torch.testing.assert_close(parts.data, whole.data)
    torch.testing.assert_close(parts.weight, whole.weight)
    torch.testing.assert_close(parts.residuals.mean(), whole.residuals.mean())
    np.testing.assert_array_equal(parts.particles.indices, np.arange(7))
    np.testing.assert_allclose(parts.particles.log_likelihood, whole.particles.log_likelihood)
    np.testing.assert_allclose(parts.particles.poses.rotations, whole.particles.poses.rotations)


@pytest.mark.parametrize("batch", [None, [4, 0, 6, 2], [5, 1, 5]], ids=["all", "unordered", "twice"])
def test_small_memory_budget_splits_the_grid_and_changes_nothing(problem, batch):
    n, volume, images, _, search, noise = problem
    whole = MarginalLikelihood(images, noise, search)
    tight = MarginalLikelihood(images, noise, search, memory_bytes=20_000)
    a, b = whole.expectation(volume, batch), tight.expectation(volume, batch)
    torch.testing.assert_close(a.data, b.data)
    torch.testing.assert_close(a.weight, b.weight)
    torch.testing.assert_close(a.residuals.mean(), b.residuals.mean())
    for name in ("max_probability", "entropy", "mean_probability", "log_likelihood"):
        np.testing.assert_allclose(getattr(a.particles, name), getattr(b.particles, name), rtol=1e-9)
    np.testing.assert_allclose(a.particles.poses.rotations, b.particles.poses.rotations)


def test_local_search_equals_exhaustive_search_over_the_same_poses(problem):
    n, volume, images, _, _, noise = problem
    centres = Poses(Rotation.random(7, random_state=5).as_matrix(), np.zeros((7, 2)))
    present = PoseMoments.isotropic(centres, np.linspace(10, 20, 7), 0.6)
    local = LocalSearch(present, 1.0, max_shift_pixels=1.5, step=1.0, reach=2.0)
    statistics = MarginalLikelihood(images, noise, local, negligible=0.0).expectation(volume)
    for i in range(7):
        rotations, translations = local.rotations_of(np.array([i]))[0], local.translations_of(i)
        prior = np.full(len(rotations), local.log_prior_of(i))
        search = ExhaustiveSearch(rotations, log_rotation_prior=prior)
        search.translations, search.log_translation_prior = translations, np.zeros(len(translations))
        single = MarginalLikelihood(images, noise, search).expectation(volume, np.array([i]))
        for name in ("max_probability", "entropy", "mean_probability", "log_likelihood"):
            np.testing.assert_allclose(
                getattr(single.particles, name)[0], getattr(statistics.particles, name)[i]
            )
        total = single if i == 0 else total + single  # noqa: F821
    torch.testing.assert_close(total.data, statistics.data)
    torch.testing.assert_close(total.weight, statistics.weight)


def test_negligible_orientations_change_next_to_nothing(problem):
    n, volume, images, _, _, noise = problem
    centres = Poses(Rotation.random(7, random_state=5).as_matrix(), np.zeros((7, 2)))
    local = LocalSearch(PoseMoments.isotropic(centres, 7.0, 0.7), 1.0)
    whole = MarginalLikelihood(images, noise, local, negligible=0.0, memory_bytes=10_000).expectation(volume)
    pruned = MarginalLikelihood(images, noise, local).expectation(volume)
    assert float((whole.data - pruned.data).norm() / whole.data.norm()) < 1e-3
    np.testing.assert_allclose(whole.particles.entropy, pruned.particles.entropy)


@pytest.mark.parametrize(
    ("memory", "ctf", "masked", "cached"),  # every pair of two of them is there
    [
        pytest.param(1 << 29, True, False, 1 << 20, id="together"),
        pytest.param(1 << 29, False, True, 1 << 14, id="together-without-ctf"),
        pytest.param(1_000_000, True, True, 1 << 20, id="in-parts"),
        pytest.param(1_000_000, False, False, 1 << 14, id="in-parts-without-ctf"),
        pytest.param(50_000, True, False, 1 << 14, id="one-by-one"),
        pytest.param(50_000, False, True, 1 << 20, id="one-by-one-without-ctf"),
    ],
)
def test_oversampling_all_poses_equals_the_fine_grid(problem, memory, ctf, masked, cached, threads, monkeypatch):
    monkeypatch.setattr(children, "_CACHED_BYTES", cached)  # all cells of an image at once, or a few
    n, volume, images, _, _, noise = problem
    if not ctf:
        images.ctf = lambda indices, count: None
    images.mask = soft_sphere(n, 3.0, 1.0, 2, torch.float64) if masked else None
    grid = SO3Grid(0)
    everything = Oversampling(significance=2.0, max_orientations=10**6)
    over = ExhaustiveSearch(grid, 1.0, 1.0, oversampling=everything)
    fine = ExhaustiveSearch(grid.children(np.arange(len(grid))).reshape(-1, 3, 3), 0.0)
    fine.translations = over.child_translations().reshape(-1, 2)
    fine.log_translation_prior = np.full(20, -np.log(20))
    a = MarginalLikelihood(images, noise, over, negligible=0.0, memory_bytes=memory).expectation(volume)
    b = MarginalLikelihood(images, noise, fine).expectation(volume)
    torch.testing.assert_close(a.data, b.data)
    torch.testing.assert_close(a.weight, b.weight)
    np.testing.assert_allclose(a.particles.log_likelihood, b.particles.log_likelihood)
    torch.testing.assert_close(a.residuals.mean(), b.residuals.mean())


def test_noise_of_another_box_or_too_few_groups_is_refused(problem):
    n, _, images, _, search, _ = problem
    with pytest.raises(InputError, match=f"{n // 2 + 3} shells, .* has {n // 2 + 1}"):
        MarginalLikelihood(images, random_noise(n + 4, 2), search)
    with pytest.raises(InputError, match="1 optics groups, the particles have 2"):
        MarginalLikelihood(images, random_noise(n, 1), search)


def test_a_prior_over_poses_that_oversampling_would_ignore_is_refused():
    grid = SO3Grid(0)
    with pytest.raises(InputError, match="uniform prior"):
        ExhaustiveSearch(grid, oversampling=Oversampling(), log_rotation_prior=np.zeros(len(grid)))


def test_symmetry_inserts_every_mate():
    n, group = 8, PointGroup("C2")
    volume = random_volume(n)
    pictures, _ = simulate(volume, 3, 1.0)
    images = FourierImages(ArrayParticles(pictures), dtype=torch.float64)
    rotations = Rotation.random(5, random_state=1).as_matrix()
    noise = random_noise(n)
    plain = MarginalLikelihood(images, noise, ExhaustiveSearch(rotations)).expectation(volume)
    mated = MarginalLikelihood(images, noise, ExhaustiveSearch(rotations), symmetry=group).expectation(volume)
    turned = mated.interpolation.to_volume(mated.data)
    torch.testing.assert_close(mated.residuals.mean(), plain.residuals.mean())
    np.testing.assert_allclose(mated.weight.sum(), 2 * plain.weight.sum(), rtol=1e-2)
    inner = slice(1, None)  # the two-fold about z maps voxel n//2 + r to n//2 - r
    rotated = turned[:, inner, inner].flip(1, 2)
    torch.testing.assert_close(rotated, turned[:, inner, inner], rtol=1e-6, atol=1e-8)


@pytest.fixture
def two_fold():
    """Images of a map with a two-fold about z in an odd box, where its turn moves voxels onto voxels."""
    volume = random_volume(N)
    volume = volume + volume.flip(1, 2)
    pictures, rotations = simulate(volume, 5, 1.0, seed=1)
    return volume, FourierImages(ArrayParticles(pictures), dtype=torch.float64), random_noise(N), rotations


@pytest.mark.parametrize("kind", ["global", "local"])
def test_under_a_point_group_the_exact_gradient_is_that_of_the_value_in_all_directions(two_fold, kind):
    symmetric, images, noise, rotations = two_fold
    group = PointGroup("C2")
    searches = {
        "global": ExhaustiveSearch(SO3Grid(0, group), 1.0),
        "local": LocalSearch(PoseMoments.isotropic(Poses(rotations), 10.0, 1.0), 1.0),
    }
    likelihood = MarginalLikelihood(images, noise, searches[kind], symmetry=group, negligible=0.0)
    generator = torch.Generator().manual_seed(0)
    for volume in (symmetric, random_volume(N, seed=7)):
        gradient = likelihood.exact_gradient(volume)
        direction = torch.randn(volume.shape, dtype=torch.float64, generator=generator)
        step = 1e-5 * direction
        slope = (likelihood.value(volume + step) - likelihood.value(volume - step)) / 2e-5
        np.testing.assert_allclose(float((gradient * direction).sum()), slope, rtol=1e-5)


def test_under_a_point_group_the_gradient_among_symmetric_maps_is_the_mean_over_mates(two_fold):
    """It is the gradient in C1 of a search that holds all mates; statistics are twice those of that search."""
    volume, images, noise, _ = two_fold
    group = PointGroup("C2")
    unit = SO3Grid(0, group).matrices
    mates = (unit[:, None] @ group.matrices).reshape(-1, 3, 3)
    half = MarginalLikelihood(images, noise, ExhaustiveSearch(unit), symmetry=group)
    whole = MarginalLikelihood(images, noise, ExhaustiveSearch(mates))
    np.testing.assert_allclose(half.value(volume), whole.value(volume), rtol=1e-12)
    gradient = half.exact_gradient(volume)
    mean = 0.5 * (gradient + gradient.flip(1, 2))
    torch.testing.assert_close(mean, whole.exact_gradient(volume), rtol=1e-8, atol=1e-8)
    assert float((gradient - mean).norm()) > 1e-2 * float(mean.norm())
    surrogates = [likelihood.exact_gradient(volume, curvature="diagonal") for likelihood in (half, whole)]
    torch.testing.assert_close(surrogates[0], 2 * surrogates[1], rtol=1e-8, atol=1e-8)
