"""Base class, Fourier transforms and masks."""

import numpy as np
import pytest
import torch
from operator_cases import volumes

from cryoinv import testing
from cryoinv.errors import InputError
from cryoinv.operators import (
    FourierTransform,
    Multiplier,
    PyFFTWFourierTransform,
    SoftMask,
    TorchOperator,
    soft_sphere,
)
from cryoinv.spaces import HermitianSpace, ImageSpace, VolumeSpace, symmetrise
from cryoinv.spaces.backend import odl


class Square(TorchOperator):
    """A nonlinear operator on spectra: x -> |x|^2 x."""

    def __init__(self, space):
        super().__init__(space, space, linear=False)

    def apply(self, x):
        return x * (x.real**2 + x.imag**2)


@pytest.mark.parametrize("n", [4, 5])
def test_nonlinear_derivative_is_the_limit_of_differences_with_exact_adjoint(n):
    space = HermitianSpace(n, 2, dtype="complex128", count=2)
    operator, x, d = Square(space), testing.random_element(space), testing.random_element(space, 1)
    derivative = operator.derivative(x)
    step = 1e-6
    difference = (operator(x + step * d) - operator(x - step * d)) / (2 * step)
    assert (derivative(d) - difference).norm() <= 1e-8 * difference.norm()
    testing.assert_adjoint(derivative)
    testing.assert_linear(derivative)
    with pytest.raises(NotImplementedError, match="not linear"):
        _ = operator.adjoint


def test_linear_derivative_is_the_operator():
    operator = FourierTransform(VolumeSpace(4))
    assert operator.derivative(operator.domain.zero()) is operator


def test_norm_needs_leave_to_estimate_as_in_odl():
    operator = Square(HermitianSpace(4))
    with pytest.raises(NotImplementedError, match="estimate=True"):
        operator.norm()


def test_operator_without_apply_says_so():
    space = VolumeSpace(4)
    with pytest.raises(NotImplementedError, match="no `apply`"):
        TorchOperator(space, space)(space.zero())


def test_operators_take_tensors_and_refuse_wrong_shapes():
    operator = FourierTransform(VolumeSpace(4))
    assert operator(torch.zeros(4, 4, 4)) in operator.range
    with pytest.raises(TypeError):
        operator(torch.zeros(4, 4, 3))


def test_gradients_flow_through_a_composition():
    space = VolumeSpace(5, dtype="float64")
    transform = FourierTransform(space)
    composed = transform @ SoftMask(space, soft_sphere(5, 1, 1))
    leaf = torch.randn(5, 5, 5, dtype=torch.float64, requires_grad=True)
    target = testing.random_element(transform.range)
    residual = composed(leaf).data - target.data
    weights = transform.range.riesz_inv(torch.ones_like(residual)).real
    (0.5 * (weights * residual.abs() ** 2).sum()).backward()
    expected = composed.adjoint(composed(leaf.detach()) - target)
    assert torch.allclose(leaf.grad, expected.data)


@pytest.mark.parametrize("n", [6, 7])
@pytest.mark.parametrize("space", [VolumeSpace, ImageSpace], ids=["volume", "image"])
@pytest.mark.parametrize("count", [None, 2])
def test_fourier_transform_is_an_isometry(n, space, count):
    testing.assert_isometry(FourierTransform(space(n, dtype="float64", count=count)))


@pytest.mark.parametrize("n", [6, 7])
def test_transform_times_adjoint_is_the_projection(n):
    transform = FourierTransform(VolumeSpace(n, dtype="float64"))
    y = testing.random_element(transform.range)
    assert torch.allclose(transform(transform.adjoint(y)).data, symmetrise(y.data, n), atol=1e-14)


@pytest.mark.parametrize("shape", [(6, 6), (5, 5), (4, 5, 6), (7,), (8,)])
def test_pyfftw_agrees_with_torch_and_is_an_isometry(shape):
    transform = PyFFTWFourierTransform(odl.rn(shape))
    testing.assert_isometry(transform)
    testing.assert_adjoint(transform)
    x, y = testing.random_element(transform.domain), testing.random_element(transform.range)
    axes = tuple(range(len(shape)))
    expected = torch.fft.rfftn(torch.fft.ifftshift(torch.from_numpy(x.data), dim=axes), norm="ortho").numpy()
    assert np.allclose(transform(x).data, expected)
    assert transform.adjoint.adjoint is transform
    back = torch.fft.irfftn(torch.from_numpy(y.data), s=shape, norm="ortho")
    assert np.allclose(transform.adjoint(y).data, torch.fft.fftshift(back, dim=axes).numpy())


def test_pyfftw_on_a_function_space_keeps_the_adjoint_and_knows_its_norm():
    transform = PyFFTWFourierTransform(odl.uniform_discr([0, 0], [2, 3], (6, 6)))
    x = testing.random_element(transform.domain)
    assert transform(x).norm() == pytest.approx(transform.norm() * x.norm())


@pytest.mark.parametrize("space", [odl.cn((4, 4)), VolumeSpace(4), odl.rn(3, weighting=[1.0, 2.0, 3.0])], ids=str)
def test_pyfftw_refuses_other_spaces(space):
    with pytest.raises(InputError, match="expected"):
        PyFFTWFourierTransform(space)


@pytest.mark.parametrize("n", [16, 17])
@pytest.mark.parametrize("ndim", [2, 3])
def test_soft_sphere_follows_its_formula(n, ndim):
    mask = soft_sphere(n, 4.0, 2.0, ndim, torch.float64)
    axis = np.arange(n) - n // 2
    r = np.sqrt(sum(a**2 for a in np.meshgrid(*[axis] * ndim, indexing="ij")))
    expected = np.where(r <= 4, 1, np.where(r >= 6, 0, 0.5 + 0.5 * np.cos(np.pi * (r - 4) / 2)))
    assert np.allclose(mask.numpy(), expected)
    assert int((soft_sphere(n, 2.0, 0.0, ndim) > 0).sum()) == int((r <= 2).sum())


def test_masks_refuse_values_outside_the_unit_interval():
    space = volumes(8, "float32")
    for values in (torch.full((8, 8, 8), 1.5), torch.full((8, 8, 8), float("nan"))):
        with pytest.raises(InputError, match="expected 0 to 1"):
            SoftMask(space, values)
    with pytest.raises(InputError, match="not be negative"):
        soft_sphere(8, -1.0)


def test_multiplier_must_fit_the_space():
    with pytest.raises(ValueError, match="multiplier has shape"):
        Multiplier(VolumeSpace(4), torch.ones(5))
