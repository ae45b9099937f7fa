"""What holds for every operator of the list, at odd and even sizes, in single and double precision."""

import numpy as np
import pytest
import torch
from operator_cases import OPERATORS, TORCH_OPERATORS

from cryoinv import testing
from cryoinv.operators import TorchOperator
from cryoinv.spaces import HermitianSpace
from cryoinv.spaces.hermitian import HermitianWeighting

SIZES = [8, 9]
DTYPES = ["float64", "float32"]
pytestmark = pytest.mark.filterwarnings("error")

every = pytest.mark.parametrize("name", OPERATORS)
every_torch = pytest.mark.parametrize("name", TORCH_OPERATORS)
size = pytest.mark.parametrize("n", SIZES)
dtype = pytest.mark.parametrize("dtype", DTYPES)


def array(element):
    data = element.data
    return data.detach().numpy() if isinstance(data, torch.Tensor) else data


@every
@size
@dtype
def test_adjoint(name, n, dtype):
    """<A x, y> = <x, A* y>."""
    testing.assert_adjoint(OPERATORS[name](n, dtype))


@every
@size
def test_adjoint_of_adjoint_is_the_operator(name, n):
    operator = OPERATORS[name](n, "float64")
    if isinstance(operator, TorchOperator):
        assert operator.adjoint.adjoint is operator
        assert operator.adjoint is operator.adjoint
    x = testing.random_element(operator.domain)
    assert np.allclose(array(operator.adjoint.adjoint(x)), array(operator(x)))


@every_torch
@size
def test_adjoint_equals_automatic_differentiation(name, n):
    operator = OPERATORS[name](n, "float64")
    testing.assert_vjp(operator)


@every
@pytest.mark.parametrize("n", [3, 4])
def test_adjoint_is_the_weighted_transpose_of_the_dense_matrix(name, n):
    """A* = W_X^-1 A^T W_Y."""
    operator = OPERATORS[name](n, "float64")
    matrix, adjoint = testing.dense_matrix(operator), testing.dense_matrix(operator.adjoint)
    expected = matrix.T * gram(operator.range) / gram(operator.domain)[:, None]
    assert np.abs(adjoint - expected).max() <= 1e-12 * np.abs(matrix).max()
    x = testing.random_element(operator.domain)
    assert np.allclose(matrix @ testing._real_vector(x), testing._real_vector(operator(x)), atol=1e-12)


def gram(space):
    """Diagonal of the inner product's matrix, one entry per real degree of freedom."""
    if isinstance(space.weighting, HermitianWeighting):
        last = space.shape[-1]
        weights = np.full(last, 2.0)
        weights[0] = 1
        if space.weighting.n % 2 == 0:
            weights[-1] = 1
        return np.repeat(np.broadcast_to(weights, space.shape).ravel(), 2)
    return np.full(space.size, space.weighting.const)


@every
@size
@dtype
def test_linear(name, n, dtype):
    testing.assert_linear(OPERATORS[name](n, dtype))


@every
@size
@dtype
def test_shape_dtype_and_untouched_input(name, n, dtype):
    operator = OPERATORS[name](n, dtype)
    for op in (operator, operator.adjoint):
        x = testing.random_element(op.domain)
        before = array(x).copy()
        y = op(x)
        assert y in op.range
        assert array(y).shape == op.range.shape
        assert y.data.dtype == op.range.dtype
        out = op.range.element()
        assert op(x, out=out) is out
        assert np.allclose(array(out), array(y), rtol=1e-6, atol=1e-5 * np.abs(array(y)).max())
        array(y)[...] = 0  # the result must not be the input's own memory
        assert np.array_equal(array(x), before)


@every_torch
@size
def test_normal_is_adjoint_times_operator(name, n):
    operator = OPERATORS[name](n, "float64")
    x = testing.random_element(operator.domain)
    expected = operator.adjoint(operator(x))
    assert (operator.normal(x) - expected).norm() <= 1e-12 * expected.norm()
    assert operator.normal.adjoint is operator.normal


@every_torch
def test_norm_bounds_the_operator(name):
    operator = OPERATORS[name](8, "float64")
    norm = operator.norm(estimate=True)
    assert type(norm) is float
    assert operator.norm(estimate=True) == norm
    gains = [operator(x).norm() / x.norm() for x in (testing.random_element(operator.domain, s) for s in range(3))]
    assert max(gains) <= norm * 1.001


@pytest.mark.parametrize("name", ["slice-pad2", "ctf", "shift", "fourier-volume", "default-adjoint-spectra"])
def test_norm_is_the_largest_singular_value(name):
    operator = OPERATORS[name](4, "float64")
    matrix = testing.dense_matrix(operator)
    scaled = np.sqrt(gram(operator.range))[:, None] * matrix / np.sqrt(gram(operator.domain))
    norm = operator.norm(estimate=True, rtol=1e-10, maxiter=2000)
    assert norm == pytest.approx(np.linalg.svd(scaled, compute_uv=False)[0], rel=1e-3)


@every
def test_operators_name_their_spaces(name):
    operator = OPERATORS[name](8, "float64")
    assert repr(operator)
    if isinstance(operator.range, HermitianSpace):
        assert operator.range.pixel_size == 3.0
