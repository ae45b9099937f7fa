r"""Appendix B: Wirtinger gradients (eqs. 37-44) against automatic differentiation, and what they are here.

torch returns :math:`\partial f/\partial a + i\,\partial f/\partial b` for z = a + ib, twice the paper's
:math:`\nabla_{z^*} f`. This library writes quadratic forms with ½ in the weighted inner product of half-spectra and
takes Riesz gradients: the same :math:`A^*(Az - b)`, with the adjoint of that inner product.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cryoinv.geometry import random_rotations
from cryoinv.operators import CTF, ForwardModel, FourierSlice, Shift
from cryoinv.priors import GaussianPrior, PriorContext
from cryoinv.spaces import HermitianSpace, VolumeSpace, centred_irfft, centred_rfft, hermitian_weights, radial_expand

from ..priors.denoising import SCHEMES, statistics


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


def wirtinger(function, z):
    """Eq. 38, from real and imaginary parts, which torch differentiates as real numbers."""
    a, b = (part.clone().requires_grad_() for part in (z.real, z.imag))
    by_a, by_b = torch.autograd.grad(function(torch.complex(a, b)), (a, b))
    return (by_a + 1j * by_b) / 2


def by_torch(function, z):
    z = z.clone().requires_grad_()
    return torch.autograd.grad(function(z), z)[0]


@given(st.integers(0, 10_000))
def test_torchs_gradient_is_twice_wirtingers(seed):
    """And conj(grad_z*) = grad_z (eqs. 37-39) for a real function, here one that is far from quadratic."""
    z, A = draw(5, seed=seed), draw(4, 5, seed=seed + 1)

    def function(z):
        return torch.log1p((A @ z).abs() ** 2).sum() + (z**3).real.sum()

    found = wirtinger(function, z)
    torch.testing.assert_close(by_torch(function, z) / 2, found)
    a, b = (part.clone().requires_grad_() for part in (z.real, z.imag))
    by_a, by_b = torch.autograd.grad(function(torch.complex(a, b)), (a, b))
    torch.testing.assert_close((by_a - 1j * by_b) / 2, found.conj())


@given(st.integers(0, 10_000))
def test_equation_40(seed):
    """grad_z* |Az - b|^2 = A^*(Az - b); torch's is twice that, and so is torch's of half the form equal to it."""
    z, b, A = draw(5, seed=seed), draw(4, seed=seed + 1), draw(4, 5, seed=seed + 2)
    expected = A.mH @ (A @ z - b)
    torch.testing.assert_close(wirtinger(lambda z: ((A @ z - b).abs() ** 2).sum(), z), expected)
    torch.testing.assert_close(by_torch(lambda z: 0.5 * ((A @ z - b).abs() ** 2).sum(), z), expected)


def test_equations_43_and_44_without_symmetry():
    z, y, H = draw(5), draw(4, seed=1), draw(4, 5, seed=2)
    sigma2, tau2 = torch.rand(4).double() + 0.5, torch.rand(5).double() + 0.5
    likelihood = wirtinger(lambda z: -((H @ z - y).abs() ** 2 / sigma2).sum(), z)
    torch.testing.assert_close(likelihood, -H.mH @ ((H @ z - y) / sigma2))
    torch.testing.assert_close(wirtinger(lambda z: -(z.abs() ** 2 / tau2).sum(), z), -z / tau2)


@pytest.mark.parametrize("n", [6, 7])
def test_the_half_form_with_weights_counts_every_independent_coefficient_once(n):
    """1/2 |x|_w^2 is the paper's |x|^2 over independent coefficients, its Riesz gradient x the paper's (eq. 44).

    Coefficients that are their own mates, such as the zeroth, count half, as real numbers must.
    """
    space = HermitianSpace(n, 3, dtype="complex128")
    x = centred_rfft(torch.randn(n, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    weights = hermitian_weights(n).expand(n, n, -1)
    full = torch.fft.fftn(centred_irfft(x, n), norm="ortho").abs() ** 2
    index = torch.arange(n**3).reshape(n, n, n)
    mate = index.flip((0, 1, 2)).roll((1, 1, 1), (0, 1, 2))  # that of -k
    once = full[index < mate].sum() + 0.5 * full[index == mate].sum()
    assert 0.5 * float(space.weighting.inner(x, x)) == pytest.approx(float(once))
    gradient = by_torch(lambda x: 0.5 * (weights * x.abs() ** 2).sum(), x)
    torch.testing.assert_close(space.riesz(gradient), x)
    # The paper's gradient of the same form is w/2 of the Riesz gradient: equal where a coefficient stands for two.
    paper = wirtinger(lambda x: 0.5 * (weights * x.abs() ** 2).sum(), x)
    torch.testing.assert_close(paper, weights / 2 * x)


@pytest.mark.parametrize("n", [6, 7])
@pytest.mark.parametrize("scheme", ["trilinear", "nufft"])
def test_likelihoods_gradient_is_that_of_the_exact_adjoint(n, scheme):
    """Eq. 43 for the forward model: slicing is only real-linear, the adjoint is that of the weighted inner product."""
    rng = np.random.default_rng(1)
    space, spectra = VolumeSpace(n, 3.0, "float64"), HermitianSpace(n, 2, 3.0, "complex128", count=3)
    slices = FourierSlice(space, random_rotations(3, rng), scheme, tolerance=1e-12)
    ctf = CTF(spectra, radial_expand(torch.linspace(1, -0.5, n // 2 + 1).double(), n, 2).repeat(3, 1, 1))
    H = ForwardModel(slices, ctf, Shift(spectra, rng.uniform(-2, 2, (3, 2))))
    sigma2 = radial_expand(torch.linspace(1, 3, n // 2 + 1).double(), n, 2)
    y = draw(*spectra.shape)
    x = torch.randn(n, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

    def value(x):
        error = H.apply(x) - y
        return 0.5 * (hermitian_weights(n) * error.abs() ** 2 / sigma2).sum()

    expected = H.apply_adjoint((H.apply(x) - y) / sigma2)
    if scheme == "trilinear":
        torch.testing.assert_close(by_torch(value, x), expected)
    direction = torch.randn(n, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    slope = (value(x + direction) - value(x - direction)) / 2  # exact for a quadratic form
    torch.testing.assert_close(slope, (expected * direction).sum())


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_objective_of_the_m_step(scheme):
    """1/2 <x, Kx> - <B, x> - log P(x) has the Riesz gradient K x - B + D x, whose zero is eq. 11."""
    s = statistics(scheme)
    shells = scheme.n // 2 + 1
    context = PriorContext(scheme.n, 2.0, torch.ones(shells), torch.linspace(2, 1, shells).double(), 8.0, 5.0)
    bound = GaussianPrior().bind(s, context)
    weights, K = hermitian_weights(s.box), s.curvature()
    x = statistics(scheme, seed=1).data

    def objective(x):
        quadratic = 0.5 * (weights * (K + bound.precision) * x.abs() ** 2).sum()
        return quadratic - (weights * (s.data.conj() * x).real).sum()

    torch.testing.assert_close(s.space.riesz(by_torch(objective, x)), (K + bound.precision) * x - s.data)


@pytest.mark.parametrize("n", [6, 7])
def test_gradients_of_volumes_and_of_their_spectra_are_transforms_of_each_other(n):
    """The transform is an isometry between the weighted half-spectra and volumes, so Riesz gradients follow it."""
    space = HermitianSpace(n, 3, dtype="complex128")
    volume = torch.randn(n, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    by_volume = by_torch(lambda v: (v**4).sum(), volume)
    by_spectrum = by_torch(lambda x: (centred_irfft(x, n) ** 4).sum(), centred_rfft(volume))
    torch.testing.assert_close(space.riesz(by_spectrum), centred_rfft(by_volume))
