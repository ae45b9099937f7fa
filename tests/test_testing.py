"""The assertions must fail where they should."""

import numpy as np
import pytest
import torch

from cryoinv import testing
from cryoinv.operators import FourierTransform, Multiplier, TorchOperator
from cryoinv.spaces import HermitianSpace, VolumeSpace
from cryoinv.spaces.backend import odl

SPACE = VolumeSpace(5, dtype="float64")


class Doubling(TorchOperator):
    """Twice the identity, with what is wrong chosen by name."""

    def __init__(self, wrong=""):
        super().__init__(SPACE, SPACE)
        self.wrong = wrong

    def apply(self, x):
        return 2 * x + (1 if self.wrong == "affine" else 0)

    def apply_adjoint(self, y):
        return 2 * y * (1 + 1e-9 * (self.wrong == "adjoint"))

    def apply_normal(self, x):
        return 4 * x * (1 + 1e-9 * (self.wrong == "normal"))

    @property
    def composed(self):
        return 2.0 * odl.IdentityOperator(SPACE)


def test_right_operators_pass():
    operator = Doubling()
    assert testing.assert_adjoint(operator) <= 1e-14
    assert testing.assert_vjp(operator) <= 1e-14
    assert testing.assert_linear(operator) <= 1e-14
    assert testing.assert_fused_equals_composed(operator) <= 1e-14
    assert np.array_equal(testing.dense_matrix(operator), 2 * np.eye(125))


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        ("adjoint", testing.assert_adjoint),
        ("adjoint", testing.assert_vjp),
        ("adjoint", testing.assert_fused_equals_composed),
        ("normal", testing.assert_fused_equals_composed),
        ("affine", testing.assert_linear),
        ("", testing.assert_isometry),
    ],
)
def test_wrong_operators_fail(wrong, check):
    with pytest.raises(AssertionError, match=r"relative error"):
        check(Doubling(wrong))


def test_wrong_adjoint_is_found_in_the_weighted_product():
    """The plain transpose is not the adjoint of a transform into half-spectra."""

    class Wrong(FourierTransform):
        def apply_adjoint(self, y):
            return super().apply_adjoint(self.range.riesz(y))

    with pytest.raises(AssertionError, match="adjoint of Wrong"):
        testing.assert_adjoint(Wrong(SPACE))


def test_gradient_of_a_functional():
    space = HermitianSpace(4, 2, dtype="complex128")
    operator, x = Multiplier(space, torch.arange(3.0)), testing.random_element(space)

    def value(z):
        return 0.5 * operator(z).norm() ** 2

    assert testing.assert_gradient(value, x, operator.normal) <= 1e-8
    testing.assert_gradient(odl.functionals.L2NormSquared(space), x)
    with pytest.raises(AssertionError, match="gradient of"):
        testing.assert_gradient(value, x, operator)
    with pytest.raises(AssertionError, match="gradient of"):
        testing.assert_gradient(value, x, lambda z: 1.001 * operator.normal(z))


def test_elements_are_reproducible_and_of_the_space():
    for space in (SPACE, HermitianSpace(4), odl.rn(3), odl.cn(3, dtype="complex64")):
        x = testing.random_element(space, 3)
        assert x in space
        assert x == testing.random_element(space, 3)
        assert x != testing.random_element(space, 4)
