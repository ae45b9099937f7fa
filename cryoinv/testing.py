"""Assertions for people who add an operator or a functional; each raises AssertionError with the figures.

They work with any ODL operator whose spaces hold torch or NumPy arrays. Tolerances are relative, and by
default 1e-12 in double and 1e-5 in single precision.

Examples
--------
>>> from cryoinv.operators import FourierTransform
>>> from cryoinv.spaces import VolumeSpace
>>> transform = FourierTransform(VolumeSpace(5, dtype="float64"))
>>> assert_adjoint(transform) < 1e-12
True
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

if TYPE_CHECKING:
    from odl.core.space.base_tensors import Tensor, TensorSpace

    from cryoinv.operators import TorchOperator
    from cryoinv.spaces.backend import odl

__all__ = [
    "assert_adjoint",
    "assert_fused_equals_composed",
    "assert_gradient",
    "assert_isometry",
    "assert_linear",
    "assert_vjp",
    "dense_matrix",
    "random_element",
    "space_tolerance",
]


def space_tolerance(*spaces: TensorSpace) -> float:
    """Return 1e-5 if any of the spaces is of single precision, else 1e-12.

    Parameters
    ----------
    *spaces : odl TensorSpace
        Spaces of torch or NumPy arrays.

    Returns
    -------
    float
    """
    single = ("float32", "complex64")
    return 1e-5 if any(space.dtype_identifier in single for space in spaces) else 1e-12


def random_element(space: TensorSpace, seed: int = 0) -> Tensor:
    """Element with standard normal entries, real and imaginary part alike; the same for the same seed.

    Parameters
    ----------
    space : odl TensorSpace
        Space of torch or NumPy arrays.
    seed : int
        Of the random numbers.

    Returns
    -------
    element of `space`
    """
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(space.shape)
    if space.is_complex:
        values = values + 1j * rng.standard_normal(space.shape)
    return _element(space, values)


def _element(space: TensorSpace, values: np.ndarray) -> Tensor:
    if space.impl == "pytorch":
        return space.element(torch.from_numpy(values).to(space.device, space.dtype))
    return space.element(values.astype(space.dtype))


def assert_adjoint(operator: odl.Operator, rtol: float | None = None, trials: int = 3, seed: int = 0) -> float:
    r"""Assert :math:`\langle A x, y\rangle = \langle x, A^* y\rangle`, relative to :math:`\|A x\| \|y\|`.

    Parameters
    ----------
    operator : odl.Operator
        Linear operator with an `adjoint`.
    rtol : float, optional
        Tolerance; by default that of the precision.
    trials : int
        Number of random pairs.
    seed : int
        Of the random numbers.

    Returns
    -------
    float
        Largest relative error.

    Raises
    ------
    AssertionError
        If the error is larger than the tolerance.
    """
    rtol = space_tolerance(operator.domain, operator.range) if rtol is None else rtol
    worst = 0.0
    for trial in range(trials):
        x = random_element(operator.domain, seed + 2 * trial)
        y = random_element(operator.range, seed + 2 * trial + 1)
        image, back = operator(x), operator.adjoint(y)
        scale = max(image.norm() * y.norm(), x.norm() * back.norm())
        worst = max(worst, _ratio(abs(image.inner(y) - x.inner(back)), scale))
    assert worst <= rtol, f"adjoint of {operator!r}: relative error {worst:.2e}, expected at most {rtol:.0e}"
    return worst


def assert_vjp(operator: TorchOperator, rtol: float | None = None, seed: int = 0) -> float:
    """Assert that a `TorchOperator`'s own adjoint equals the one by automatic differentiation.

    Parameters
    ----------
    operator : TorchOperator
        Linear operator.
    rtol : float, optional
        Tolerance; by default that of the precision.
    seed : int
        Of the random numbers.

    Returns
    -------
    float
        Relative error.

    Raises
    ------
    AssertionError
        If the error is larger than the tolerance.
    """
    rtol = space_tolerance(operator.domain, operator.range) if rtol is None else rtol
    y = random_element(operator.range, seed)
    expected = operator.domain.element(operator.vjp(y.data))
    return _assert_close(f"adjoint of {operator!r} against autograd", operator.adjoint(y), expected, rtol)


def assert_linear(operator: odl.Operator, rtol: float | None = None, seed: int = 0) -> float:
    """Assert ``A(a x + b y) = a A x + b A y`` for random elements.

    Parameters
    ----------
    operator : odl.Operator
        Operator that claims to be linear.
    rtol : float, optional
        Tolerance; by default that of the precision.
    seed : int
        Of the random numbers.

    Returns
    -------
    float
        Relative error.

    Raises
    ------
    AssertionError
        If the operator is not linear, or does not say so.
    """
    assert operator.is_linear, f"{operator!r} does not claim to be linear"
    rtol = space_tolerance(operator.domain, operator.range) if rtol is None else rtol
    x, y = random_element(operator.domain, seed), random_element(operator.domain, seed + 1)
    together, apart = operator(1.5 * x - 0.7 * y), 1.5 * operator(x) - 0.7 * operator(y)
    return _assert_close(f"linearity of {operator!r}", together, apart, rtol)


def assert_isometry(operator: odl.Operator, rtol: float | None = None, seed: int = 0) -> float:
    """Assert ``|A x| = |x|`` and ``A^* A x = x`` for random x.

    Parameters
    ----------
    operator : odl.Operator
        Linear operator with an `adjoint`.
    rtol : float, optional
        Tolerance; by default that of the precision.
    seed : int
        Of the random numbers.

    Returns
    -------
    float
        Larger of the two relative errors.

    Raises
    ------
    AssertionError
        If an error is larger than the tolerance.
    """
    rtol = space_tolerance(operator.domain, operator.range) if rtol is None else rtol
    x = random_element(operator.domain, seed)
    image = operator(x)
    error = _ratio(abs(image.norm() - x.norm()), x.norm())
    assert error <= rtol, f"norm under {operator!r}: relative error {error:.2e}, expected at most {rtol:.0e}"
    return max(error, _assert_close(f"A^* A of {operator!r}", operator.adjoint(image), x, rtol))


def assert_gradient(
    functional: odl.functionals.Functional | Callable[[Tensor], float],
    point: Tensor,
    gradient: Callable[[Tensor], Tensor] | None = None,
    rtol: float = 1e-6,
    steps: tuple[float, ...] = (1e-3, 1e-4, 1e-5, 1e-6),
    trials: int = 3,
    seed: int = 0,
) -> float:
    r"""Assert that :math:`\langle \nabla f(x), d\rangle` equals the central difference in random directions.

    Of several steps the one that agrees best counts: a right gradient agrees at one of them, between
    truncation and rounding; a wrong one at none. Meant for double precision.

    Parameters
    ----------
    functional : callable
        ODL functional, or any function from elements to numbers.
    point : element
        Where to test.
    gradient : callable, optional
        From elements to elements; by default ``functional.gradient``.
    rtol : float
        Tolerance relative to :math:`\|\nabla f\|\,\|d\|`.
    steps : tuple of float
        Steps relative to ``|point| / |d|``.
    trials : int
        Number of random directions.
    seed : int
        Of the random numbers.

    Returns
    -------
    float
        Largest relative error.

    Raises
    ------
    AssertionError
        If the error is larger than the tolerance.
    """
    gradient = cast("odl.functionals.Functional", functional).gradient if gradient is None else gradient
    value, worst = gradient(point), 0.0
    for trial in range(trials):
        direction = random_element(point.space, seed + trial)
        expected = value.inner(direction)
        scale, errors = value.norm() * direction.norm(), []
        for step in steps:
            h = step * max(point.norm(), 1e-3) / direction.norm()
            forward, backward = functional(point + h * direction), functional(point - h * direction)
            errors.append(_ratio(abs((float(forward) - float(backward)) / (2 * h) - expected), scale))
        worst = max(worst, min(errors))
    assert worst <= rtol, f"gradient of {functional!r}: relative error {worst:.2e}, expected at most {rtol:.0e}"
    return worst


def assert_fused_equals_composed(
    fused: TorchOperator, composed: odl.Operator | None = None, rtol: float | None = None, seed: int = 0
) -> float:
    """Assert that a fused operator, its adjoint and its normal operator equal those composed from parts.

    Parameters
    ----------
    fused : TorchOperator
        Operator with fused `apply`, `apply_adjoint` and `apply_normal`.
    composed : odl.Operator, optional
        The same in ODL's algebra; by default ``fused.composed``.
    rtol : float, optional
        Tolerance; by default that of the precision.
    seed : int
        Of the random numbers.

    Returns
    -------
    float
        Largest relative error.

    Raises
    ------
    AssertionError
        If an error is larger than the tolerance.
    """
    composed = fused.composed if composed is None else composed
    rtol = space_tolerance(fused.domain, fused.range) if rtol is None else rtol
    x, y = random_element(fused.domain, seed), random_element(fused.range, seed + 1)
    pairs = {
        "value": (fused(x), composed(x)),
        "adjoint": (fused.adjoint(y), composed.adjoint(y)),
        "normal": (fused.normal(x), composed.adjoint(composed(x))),
    }
    return max(_assert_close(f"{name} of {fused!r}", a, b, rtol) for name, (a, b) in pairs.items())


def dense_matrix(operator: odl.Operator) -> np.ndarray:
    """Real matrix of a linear operator, a column per real degree of freedom; complex entries count as two.

    For small spaces only: the operator is applied once per column.

    Parameters
    ----------
    operator : odl.Operator
        Linear operator between spaces of torch or NumPy arrays.

    Returns
    -------
    ndarray, shape (range entries, domain entries), float64
    """
    space = operator.domain
    columns = []
    for index in range(space.size * (2 if space.is_complex else 1)):
        unit = np.zeros(space.size * (2 if space.is_complex else 1))
        unit[index] = 1
        values = (unit.view(complex) if space.is_complex else unit).reshape(space.shape)
        columns.append(_real_vector(operator(_element(space, values))))
    return np.stack(columns, axis=1)


def _real_vector(element: Tensor) -> np.ndarray:
    data = element.data
    array = data.detach().cpu().numpy() if isinstance(data, torch.Tensor) else data
    array = np.ascontiguousarray(array).reshape(-1)
    return (array.astype(complex).view(float) if np.iscomplexobj(array) else array).astype(float)


def _assert_close(what: str, value: Tensor, expected: Tensor, rtol: float) -> float:
    error = _ratio((value - expected).norm(), expected.norm())
    assert error <= rtol, f"{what}: relative error {error:.2e}, expected at most {rtol:.0e}"
    return error


def _ratio(error: float, scale: float) -> float:
    return float(error) if scale == 0 else float(error / scale)
