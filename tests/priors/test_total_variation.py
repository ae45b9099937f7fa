"""Total variation: value by brute force, proximal map by closed forms and ODL's own solver."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cryoinv.errors import InputError
from cryoinv.operators import FiniteDifferences
from cryoinv.operators.interpolation import NufftInterpolation
from cryoinv.priors import GaussianPrior, TotalVariationPrior
from cryoinv.solvers import ClosedForm, ProximalGradient
from cryoinv.spaces import VolumeSpace
from cryoinv.spaces.backend import odl

from .prior_cases import problem


def random_volume(n, seed=0):
    return torch.randn(n, n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("n", [4, 5])
def test_differences_are_those_of_the_dense_matrix_and_so_is_the_adjoint(n):
    space = VolumeSpace(n, dtype="float64")
    gradient, x = FiniteDifferences(space), random_volume(n)
    difference = np.diff(np.eye(n), axis=0, append=np.zeros((1, n)))
    difference[-1] = 0
    eye = np.eye(n)
    axes = [(difference, eye, eye), (eye, difference, eye), (eye, eye, difference)]
    dense = np.concatenate([np.kron(np.kron(a, b), c) for a, b, c in axes])
    found = gradient(space.element(x))
    np.testing.assert_allclose(np.stack([c.data for c in found]).ravel(), dense @ x.numpy().ravel(), atol=1e-14)
    y = gradient.range.element([random_volume(n, seed) for seed in (1, 2, 3)])
    stacked = np.stack([c.data for c in y]).ravel()
    np.testing.assert_allclose(gradient.adjoint(y).data.numpy().ravel(), dense.T @ stacked, atol=1e-14)
    assert gradient.adjoint.adjoint is gradient and np.linalg.norm(dense, 2) ** 2 < 12


def test_value_is_the_sum_of_lengths_voxel_by_voxel():
    n, x = 5, random_volume(5)
    total = 0.0
    for i, j, k in np.ndindex(n, n, n):
        steps = [x[min(i + 1, n - 1), j, k], x[i, min(j + 1, n - 1), k], x[i, j, min(k + 1, n - 1)]]
        total += float(sum((step - x[i, j, k]) ** 2 for step in steps)) ** 0.5
    assert float(TotalVariationPrior(alpha=0.3).value(x, None)) == pytest.approx(0.3 * total)


def test_proximal_of_a_step_moves_both_sides_by_what_the_wall_weighs():
    """Two slabs of thickness a and b: the wall between costs weight a voxel of it, sides move by weight / thickness."""
    x = torch.zeros(8, 8, 8, dtype=torch.float64)
    x[3:] = 1.0
    found = TotalVariationPrior(alpha=0.5, tolerance=1e-6, iterations=5000).proximal_map(x, 0.4, None)
    expected = torch.full_like(x, 0.2 / 3)
    expected[3:] = 1 - 0.2 / 5
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_large_weight_leaves_the_mean_and_none_leaves_all():
    x = random_volume(6)
    prior = TotalVariationPrior(alpha=1.0, tolerance=1e-6, iterations=5000)
    torch.testing.assert_close(prior.proximal_map(x, 1e3, None), x.mean().expand_as(x), rtol=0, atol=1e-4)
    torch.testing.assert_close(prior.proximal_map(x, 1e-9, None), x, rtol=0, atol=1e-7)


@pytest.mark.parametrize("n", [6, 7])
def test_proximal_agrees_with_odl_primal_dual_solver(n):
    space = VolumeSpace(n, dtype="float64")
    z, weight = space.element(random_volume(n)), 0.3
    gradient = FiniteDifferences(space)
    length = odl.functionals.GroupL1Norm(gradient.range)
    data = 0.5 * odl.functionals.L2NormSquared(space).translated(z)
    expected = space.zero()
    odl.solvers.pdhg(expected, data, weight * length, gradient, niter=400, tau=0.25, sigma=0.3)
    found = TotalVariationPrior(alpha=0.6, tolerance=1e-5, iterations=5000).proximal_map(z.data, 0.5, None)
    torch.testing.assert_close(found, expected.data, rtol=0, atol=1e-4)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_proximal_map_is_as_near_as_its_tolerance_says(tolerance, dtype):
    x = random_volume(8)
    exact = TotalVariationPrior(alpha=0.5, tolerance=1e-6, iterations=3000).proximal_map(x, 1.0, None)
    found = TotalVariationPrior(alpha=0.5, tolerance=tolerance, iterations=2000).proximal_map(x.to(dtype), 1.0, None)
    assert found.dtype == dtype and (found - exact).norm() <= 1.1 * tolerance * x.norm()


def variation_in_sphere(statistics, spectrum, n, radius):
    axis = torch.arange(n) - n // 2
    inside = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).sqrt() <= radius
    gradient = FiniteDifferences.apply(statistics.to_volume(spectrum))
    return float(torch.linalg.vector_norm(gradient, dim=0)[inside].sum()), int(inside.sum())


def test_alpha_is_voxels_over_variation_of_a_map_with_the_power_of_the_signal():
    statistics, context = problem(NufftInterpolation(12))
    strong = statistics.scaled(1e4)  # the data outweigh the prior
    context = replace(context, tau2=1e-4 * context.tau2)
    filtered = (1 / (1 + 1 / (strong.curvature() * strong.expand(context.tau2)))).sqrt()
    variation, voxels = variation_in_sphere(strong, strong.unregularised() * filtered, 12, 0.4 * 12)
    bound = TotalVariationPrior(strength=3.0).bind(strong, context)
    assert bound.prior.alpha == pytest.approx(3.0 * voxels / variation)


def test_alpha_is_held_where_the_map_would_vanish():
    """However strong, along the Gaussian MAP map x the best is nine tenths of it."""
    statistics, context = problem(NufftInterpolation(12))
    bound = TotalVariationPrior(strength=1e6).bind(statistics, context)
    x = ClosedForm()(statistics, GaussianPrior().bind(statistics, context))
    evidence = 0.5 * statistics.space.weighting.inner(statistics.data, x)
    variation, _ = variation_in_sphere(statistics, x, 12, 0.4 * 12)
    assert bound.prior.alpha * variation / (2 * evidence) == pytest.approx(0.1)
    found = ProximalGradient(200)(statistics, bound)
    assert float(found.norm()) > 0.6 * float(x.norm())
    with pytest.raises(InputError, match="bound"):
        TotalVariationPrior().value(statistics.to_volume(x), context)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_alpha_goes_with_the_grey_scale_of_map_and_images(factor):
    """Images times f: K goes with f^-2, B with f^-1, the map and its power with f and f^2."""
    statistics, context = problem(NufftInterpolation(12))
    alpha = TotalVariationPrior().bind(statistics, context).prior.alpha
    brighter = replace(statistics, data=statistics.data / factor, weight=statistics.weight / factor**2, _space=None)
    found = TotalVariationPrior().bind(brighter, replace(context, tau2=factor**2 * context.tau2)).prior.alpha
    assert found * factor == pytest.approx(alpha)


@pytest.mark.parametrize("option", [{"alpha": 0.0}, {"strength": -1.0}, {"tolerance": 0.0}, {"iterations": 0}])
def test_options_out_of_range_are_refused(option):
    with pytest.raises(InputError, match=next(iter(option))):
        TotalVariationPrior(**option)
