"""ODL's own solvers run unmodified on the library's spaces and operators."""

import numpy as np
import pytest
import torch
from operator_cases import ctfs, rotations, shifts, volumes

from cryoinv import testing
from cryoinv.operators import CTF, ForwardModel, FourierSlice, FourierTransform, Shift, SoftMask, soft_sphere
from cryoinv.spaces import HermitianSpace
from cryoinv.spaces.backend import odl

N, IMAGES = 6, 30


@pytest.fixture(scope="module")
def problem():
    """Forward model composed with a mask by ODL, its operator norm, a truth, and its noise-free images."""
    space = volumes(N, "float64")
    parts = FourierSlice(space, rotations(IMAGES))
    model = ForwardModel(parts, CTF(parts.range, ctfs(N, IMAGES)), Shift(parts.range, shifts(IMAGES)))
    mask = SoftMask(space, soft_sphere(N, 2, 1))
    truth = mask(testing.random_element(space, 3))
    operator = model.composed @ mask
    return operator, model.norm(estimate=True), truth, operator(truth), model


@pytest.fixture(scope="module")
def regularised(problem):
    """The solution of min 1/2 |A x - y|^2 + c/2 |x|^2 by dense linear algebra, with c."""
    operator, norm, _, data, _ = problem
    weight = 0.05 * norm**2
    matrix = testing.dense_matrix(operator.adjoint @ operator) + weight * np.eye(N**3)
    solution = np.linalg.solve(matrix, operator.adjoint(data).data.numpy().ravel())
    return weight, operator.domain.element(solution.reshape(N, N, N))


def test_conjugate_gradient_normal_reconstructs(problem):
    operator, _, truth, data, _ = problem
    x = operator.domain.zero()
    odl.solvers.conjugate_gradient_normal(operator, x, data, niter=150)
    assert (operator(x) - data).norm() <= 2e-3 * data.norm()
    assert (x - truth).norm() <= 0.3 * truth.norm()


def test_conjugate_gradient_normal_on_spectra():
    """The unknown may itself be a half-spectrum: deconvolution of a CTF without zeros."""
    space = HermitianSpace(9, 2, 3.0, "complex128", count=3)
    operator = CTF(space, ctfs(9).abs() + 0.5)
    truth = testing.random_element(space)
    x = space.zero()
    odl.solvers.conjugate_gradient_normal(operator, x, operator(truth), niter=60)
    assert (x - truth).norm() <= 1e-6 * truth.norm()


def test_pdhg_finds_the_solution(problem, regularised):
    operator, norm, _, data, _ = problem
    weight, solution = regularised
    f = (weight / 2) * odl.functionals.L2NormSquared(operator.domain)
    g = 0.5 * odl.functionals.L2NormSquared(operator.range).translated(data)
    x = operator.domain.zero()
    odl.solvers.pdhg(x, f, g, operator, niter=200, tau=0.99 / norm, sigma=0.99 / norm)
    assert (x - solution).norm() <= 1e-6 * solution.norm()


def test_proximal_gradient_finds_the_solution(problem, regularised):
    operator, norm, _, data, _ = problem
    weight, solution = regularised
    f = (weight / 2) * odl.functionals.L2NormSquared(operator.domain)
    g = 0.5 * odl.functionals.L2NormSquared(operator.range).translated(data) * operator
    x = operator.domain.zero()
    odl.solvers.proximal_gradient(x, f, g, 1 / norm**2, niter=200)
    assert (x - solution).norm() <= 1e-5 * solution.norm()
    testing.assert_gradient(g, testing.random_element(operator.domain))


def test_proximal_gradient_with_an_l1_penalty(problem):
    operator, norm, truth, data, _ = problem
    f = 0.5 * odl.functionals.L1Norm(operator.domain)
    g = 0.5 * odl.functionals.L2NormSquared(operator.range).translated(data) * operator
    x = operator.domain.zero()
    odl.solvers.proximal_gradient(x, f, g, 1 / norm**2, niter=50)
    assert 0 < int((x.data != 0).sum()) <= int((truth.data != 0).sum())


def test_landweber_and_callbacks(problem):
    operator, norm, _, data, _ = problem
    seen = []
    callback = odl.solvers.CallbackApply(lambda x: seen.append((operator(x) - data).norm()))
    x = operator.domain.zero()
    odl.solvers.landweber(operator, x, data, niter=20, omega=1 / norm**2, callback=callback)
    assert len(seen) == 20
    assert np.all(np.diff(seen) < 0)


def test_algebra_of_operators(problem):
    model = problem[4]
    x = testing.random_element(model.domain)
    twice = 2.0 * model + model
    assert (twice(x) - 3 * model(x)).norm() <= 1e-12 * twice(x).norm()
    testing.assert_adjoint(model.adjoint @ model)
    both = odl.BroadcastOperator(model, FourierTransform(model.domain))
    y = both(x)
    assert y.inner(y) == pytest.approx(x.inner(both.adjoint(y)))
    scaled = np.float64(2.0) * model(x)
    assert torch.equal(scaled.data, 2 * model(x).data)
