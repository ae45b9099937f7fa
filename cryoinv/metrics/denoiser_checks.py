"""What a denoiser is assumed to be by the priors that use it, measured: each function gives one number.

A denoiser is anything with ``apply(tensor)``, such as a bound denoiser of `cryoinv.denoisers`, or a callable on
tensors. Nothing is asked of it beside its values; where torch can differentiate it, derivatives are exact.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cryoinv.errors import InputError
from cryoinv.spaces import centred_rfft, hermitian_weights, rotate_by_cube, shell_indices

__all__ = [
    "MmseConsistency",
    "derivative_error",
    "homogeneity_error",
    "jacobian_asymmetry",
    "lipschitz_estimate",
    "mmse_consistency",
    "offset_error",
    "rotation_error",
    "scale_error",
]

STEP = 1e-3
"""Length of a finite step, relative to the norm of the point it starts from."""

_PROBES = 0x70726F6265
_GENERATORS = (
    np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]]),  # a quarter turn about z
    np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]]),  # a third of a turn about (1, 1, 1)
)


def jacobian_asymmetry(
    f: Any, x: Tensor, probes: int = 8, seed: int = 0, automatic: bool | None = None
) -> float:
    r"""Asymmetry of the Jacobian at x, :math:`\|J - J^T\|_F / \|J\|_F`: 0 symmetric, 2 antisymmetric.

    RED takes :math:`x - f(x)` for the gradient of a function, which it is only where the Jacobian is symmetric; else
    the iteration minimises nothing, though it may converge.

    Operators whose transpose has nothing to do with them have √2. The Frobenius norms are estimated by white Gaussian
    probes v: from :math:`\|Jv - J^Tv\|^2` and :math:`\|Jv\|^2` where torch can differentiate f; else from
    :math:`(v_i^T J v_j - v_j^T J v_i)^2` by central differences, of the same expectation, with a relative spread of
    about 1/m for m probes.

    Parameters
    ----------
    f : callable or object with ``apply``
        The denoiser.
    x : Tensor, shape (n, n, n)
        Where; a noisy map.
    probes : int
        Number m of probes, at least 2.
    seed : int
        Of the probes.
    automatic : bool, optional
        Whether to use automatic derivatives; by default where there are any. See `derivative_error`.

    Returns
    -------
    float

    Raises
    ------
    InputError
        If there are fewer than 2 probes.

    References
    ----------
    E. T. Reehorst, P. Schniter, IEEE Trans. Comput. Imaging 5 (2019) 52-67.

    Examples
    --------
    >>> x = torch.randn(8, 8, 8, generator=torch.manual_seed(0), dtype=torch.float64)
    >>> jacobian_asymmetry(lambda x: 0.5 * x, x)
    0.0
    >>> round(jacobian_asymmetry(lambda x: x.roll(1, 0), x), 1)  # a shift, whose transpose is the shift back
    1.4
    """
    if probes < 2:
        raise InputError(f"found {probes} probes, expected at least 2")
    apply = applied(f)
    directions = list(_probes(x, probes, seed))
    if _is_differentiable(apply, x) if automatic is None else automatic:
        forward = [_forward_derivative(apply, x, v) for v in directions]
        backward = [_backward_derivative(apply, x, v) for v in directions]
        skew = sum(float((a - b).square().sum()) for a, b in zip(forward, backward, strict=True)) / probes
    else:
        forward = [_difference(apply, x, v) for v in directions]
        products = np.array([[float((v * image).sum()) for image in forward] for v in directions])
        skew = float(((products - products.T) ** 2).sum()) / (probes * (probes - 1))
    power = sum(float(image.square().sum()) for image in forward) / probes
    return _ratio(skew, power) ** 0.5


def derivative_error(f: Any, x: Tensor, probes: int = 2, seed: int = 0) -> float:
    r"""How far the automatic derivative at x is from finite differences, :math:`\|J_{auto} v - J v\| / \|J v\|`.

    Not 0 where the computation leaves torch's graph on its way, for instance through a mask or a scale that is taken as
    given: a gradient method then follows another map than the one it is given.

    Parameters
    ----------
    f : callable or object with ``apply``
        The denoiser.
    x : Tensor, shape (n, n, n)
        Where.
    probes : int
        Number of random directions v; x itself is one more.
    seed : int
        Of the probes.

    Returns
    -------
    float
        The root mean square over the probes; NaN where torch cannot differentiate f at all.

    Examples
    --------
    >>> x = torch.randn(8, 8, 8, generator=torch.manual_seed(0), dtype=torch.float64)
    >>> derivative_error(lambda x: x**3, x) < 1e-4
    True
    >>> round(derivative_error(lambda x: x * x.detach() ** 2, x), 1)  # a third of the derivative
    0.7
    """
    apply = applied(f)
    if not _is_differentiable(apply, x):
        return float("nan")
    error = power = 0.0
    for v in (*_probes(x, probes, seed), x):
        measured = _difference(apply, x, v)
        error += float((_forward_derivative(apply, x, v) - measured).square().sum()) / float(v.square().sum())
        power += float(measured.square().sum()) / float(v.square().sum())
    return _ratio(error, power) ** 0.5


def homogeneity_error(f: Any, x: Tensor, step: float = STEP) -> float:
    r"""Departure from local homogeneity, :math:`\|f((1+\epsilon)x) - (1+\epsilon)f(x)\| / (\epsilon\|f(x)\|)`.

    RED's other condition: for small ε it is :math:`\|Jx - f(x)\| / \|f(x)\|`, and 0 means
    :math:`\nabla f(x)\,x = f(x)`. Denoisers that are equivariant to scale meet it exactly; a constant has 1.

    Parameters
    ----------
    f : callable or object with ``apply``
        The denoiser.
    x : Tensor, shape (n, n, n)
        Where; rounding divided by ε is added to the number, so double precision is better.
    step : float
        ε.

    Returns
    -------
    float

    References
    ----------
    Y. Romano, M. Elad, P. Milanfar, SIAM J. Imaging Sci. 10 (2017) 1804-1844.

    Examples
    --------
    >>> x = torch.randn(8, 8, 8, generator=torch.manual_seed(0), dtype=torch.float64)
    >>> round(homogeneity_error(torch.relu, x), 6), round(homogeneity_error(torch.ones_like, x), 6)
    (0.0, 1.0)
    """
    apply = applied(f)
    with torch.no_grad():
        value = apply(x)
        return relative_norm(apply((1 + step) * x) - (1 + step) * value, step * value)


def lipschitz_estimate(
    f: Any, x: Tensor, probes: int = 1, iterations: int = 8, step: float = STEP, seed: int = 0
) -> float:
    r"""Largest amplification found about x, :math:`\max_h \|f(x+h) - f(x)\| / \|h\|`: a lower bound of f's there.

    Up to 1, f is locally nonexpansive as far as is known, and fixed-point and plug-and-play iterations that rely on
    it converge; above 1 they may not.

    Each probe is followed by the iteration :math:`h \leftarrow f(x+h) - f(x)` at constant length, which for a symmetric
    Jacobian leads to its largest eigenvalue. The first direction is x itself, the others are white noise.

    Parameters
    ----------
    f : callable or object with ``apply``
        The denoiser.
    x : Tensor, shape (n, n, n)
        Where.
    probes : int
        Number of random directions.
    iterations : int
        Steps of each direction.
    step : float
        Length of h relative to that of x.
    seed : int
        Of the probes.

    Returns
    -------
    float

    References
    ----------
    E. K. Ryu et al., Plug-and-play methods provably converge with properly trained denoisers, ICML 2019.

    Examples
    --------
    >>> x = torch.randn(8, 8, 8, generator=torch.manual_seed(0), dtype=torch.float64)
    >>> round(lipschitz_estimate(lambda x: 0.5 * x, x), 6)
    0.5
    """
    apply = applied(f)
    length = step * torch.linalg.vector_norm(x)
    largest = 0.0
    with torch.no_grad():
        value = apply(x)
        for direction in (x, *_probes(x, probes, seed)):
            for _ in range(iterations):
                direction = direction * (length / torch.linalg.vector_norm(direction))
                direction = apply(x + direction) - value
                gain = float(torch.linalg.vector_norm(direction) / length)
                largest = max(largest, gain)
                if gain == 0:
                    break
    return largest


def scale_error(f: Any, x: Tensor, factors: Sequence[float] = (1e-3, 0.3, 7.0, 1e3)) -> float:
    r"""Departure from scale equivariance, :math:`\max_c \|f(cx) - c f(x)\| / \|c f(x)\|`.

    Maps come in any grey scale, and it changes as the noise is estimated anew: a denoiser that is not equivariant does
    another thing at every iteration. Rounding is all there should be.

    Parameters
    ----------
    f : callable or object with ``apply``
        The denoiser.
    x : Tensor, shape (n, n, n)
        Where.
    factors : sequence of float
        The factors c.

    Returns
    -------
    float

    Examples
    --------
    >>> scale_error(lambda x: 0.5 * x, torch.ones(4, 4, 4)) < 1e-6
    True
    """
    apply = applied(f)
    with torch.no_grad():
        value = apply(x)
        return max(relative_norm(apply(c * x) - c * value, c * value) for c in factors)


def offset_error(f: Any, x: Tensor) -> float:
    r"""Departure from offset equivariance, :math:`\|f(x + c) - f(x) - c\| / \|c\|` with c the standard deviation of x.

    The grey level of the solvent is arbitrary in some pipelines. A filter has here how far it changes the mean, a mask
    that multiplies the map the part it takes away: it takes the solvent for zero.

    Parameters
    ----------
    f : callable or object with ``apply``
        The denoiser.
    x : Tensor, shape (n, n, n)
        Where.

    Returns
    -------
    float

    Examples
    --------
    >>> x = torch.randn(8, 8, 8, generator=torch.manual_seed(0), dtype=torch.float64)
    >>> round(offset_error(lambda x: 0.8 * x, x), 6)
    0.2
    """
    apply = applied(f)
    with torch.no_grad():
        offset = torch.full_like(x, float(x.double().std()))
        return relative_norm(apply(x + offset) - apply(x) - offset, offset)


def rotation_error(f: Any, x: Tensor) -> float:
    r"""Departure from rotation equivariance, :math:`\max_R \|f(Rx) - R f(x)\| / \|f(x)\|`.

    The frame of a map is arbitrary. R are a quarter turn and a third of a turn that generate the rotations of the cube;
    see `spaces.rotate_by_cube` for the edge of even boxes, which weighs on denoisers that do not take it for periodic.

    Parameters
    ----------
    f : callable or object with ``apply``
        The denoiser.
    x : Tensor, shape (n, n, n)
        Where.

    Returns
    -------
    float

    Examples
    --------
    >>> x = torch.randn(8, 8, 8, generator=torch.manual_seed(0), dtype=torch.float64)
    >>> rotation_error(torch.relu, x), rotation_error(lambda x: x.roll(1, 0), x) > 1
    (0.0, True)
    """
    apply = applied(f)
    with torch.no_grad():
        value = apply(x)
        return max(relative_norm(apply(rotate_by_cube(x, r)) - rotate_by_cube(value, r), value) for r in _GENERATORS)


@dataclass(frozen=True)
class MmseConsistency:
    r"""Whether estimates could be conditional means: what `mmse_consistency` finds.

    Parameters
    ----------
    orthogonality : float
        :math:`\langle x - f, f\rangle / \|f\|^2`, 0 for a conditional mean. The regression of x on f is
        :math:`(1 + \text{orthogonality})\,f`: above 0, f is damped too much, below 0 too little.
    shells : tuple of (int, int)
        First and last shell of each band.
    slopes : tuple of float
        Slope of the regression of x on f in each band, 1 for a conditional mean; NaN where f is zero.
    """

    orthogonality: float
    shells: tuple[tuple[int, int], ...]
    slopes: tuple[float, ...]


def mmse_consistency(estimate: Tensor, clean: Tensor, bands: int = 4) -> MmseConsistency:
    r"""Orthogonality of error and estimate, and the slope of the truth on the estimate, per band of shells.

    The error of the conditional mean :math:`f(y) = E[x|y]` is orthogonal to every function of y, so to f(y) itself, and
    the slope :math:`\mathrm{Re}\langle x, f\rangle_s / \|f\|_s^2` is 1 on every shell. That is necessary for MMSE, not
    sufficient: a mask or filter times the right factor passes. It holds for means over many pairs.

    Parameters
    ----------
    estimate : Tensor, shape (n, n, n) or (pairs, n, n, n)
        Denoised maps f(y).
    clean : Tensor, of the same shape
        Truths x.
    bands : int
        Number of bands of equal width in shells, from 0 to n//2.

    Returns
    -------
    MmseConsistency

    Raises
    ------
    InputError
        If the shapes differ or there are more bands than shells.

    Examples
    --------
    >>> x = torch.randn(2, 8, 8, 8, generator=torch.manual_seed(0), dtype=torch.float64)
    >>> found = mmse_consistency(0.5 * x, x, bands=2)  # damped twice too much
    >>> found.shells, [round(slope, 6) for slope in found.slopes]
    (((0, 2), (3, 4)), [2.0, 2.0])
    """
    if estimate.shape != clean.shape or len(set(estimate.shape[-3:])) != 1:
        raise InputError(f"found shapes {tuple(estimate.shape)} and {tuple(clean.shape)}, expected cubes of one size")
    n = estimate.shape[-1]
    if not 1 <= bands <= n // 2:
        raise InputError(f"found {bands} bands, expected 1 to {n // 2}")
    f, x = estimate.double(), clean.double().to(estimate.device)
    cross, power = _per_shell(x, f), _per_shell(f, f)
    ends = np.linspace(0, n // 2, bands + 1).round().astype(int)
    shells = tuple((int(a) + 1 if a else 0, int(b)) for a, b in itertools.pairwise(ends))
    negligible = 1e-12 * float(power.sum())
    slopes = []
    for first, last in shells:
        below = float(power[first : last + 1].sum())
        slopes.append(float(cross[first : last + 1].sum()) / below if below > negligible else float("nan"))
    return MmseConsistency(_ratio(float(((x - f) * f).sum()), float((f * f).sum())), shells, tuple(slopes))


def _per_shell(a: Tensor, b: Tensor) -> Tensor:
    """Re<A, B> of every shell, the corners included, over all maps."""
    n = a.shape[-1]
    products = (centred_rfft(a) * centred_rfft(b).conj()).real * hermitian_weights(n, device=a.device)
    products = products.reshape(-1, *products.shape[-3:]).sum(0)
    return torch.bincount(shell_indices(n, 3, a.device).reshape(-1), products.reshape(-1))


def applied(f: Any) -> Callable[[Tensor], Tensor]:
    """What maps tensors to tensors: the ``apply`` of an operator (a network's is another thing), or f."""
    return f.apply if hasattr(f, "apply") and not isinstance(f, torch.nn.Module) else f


def _probes(x: Tensor, count: int, seed: int) -> Iterator[Tensor]:
    """White Gaussian directions, the same on every device, and not those of a map drawn from the same seed."""
    generator = torch.Generator().manual_seed(_PROBES + seed)
    for _ in range(count):
        yield torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)


def _is_differentiable(apply: Callable[[Tensor], Tensor], x: Tensor) -> bool:
    """Whether the result hangs on x in torch's graph; code that takes the array of a tensor refuses one that does."""
    try:
        with torch.enable_grad():
            return apply(x.detach().requires_grad_()).requires_grad
    except RuntimeError:  # what else is wrong with f, its plain call tells
        return False


def _forward_derivative(apply: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> Tensor:
    return torch.autograd.functional.jvp(apply, x, v)[1]


def _backward_derivative(apply: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> Tensor:
    return torch.autograd.functional.vjp(apply, x, v)[1]


def _difference(apply: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> Tensor:
    """Central difference along v, over a step that is short beside x."""
    step = STEP * torch.linalg.vector_norm(x) / torch.linalg.vector_norm(v)
    with torch.no_grad():
        return (apply(x + step * v) - apply(x - step * v)) / (2 * step)


def relative_norm(error: Tensor, scale: Tensor) -> float:
    return _ratio(float(torch.linalg.vector_norm(error)), float(torch.linalg.vector_norm(scale)))


def _ratio(numerator: float, denominator: float) -> float:
    if denominator == 0:
        return 0.0 if numerator == 0 else float("inf")
    return numerator / denominator
