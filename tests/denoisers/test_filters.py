"""Wiener and low-pass filters against closed forms."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from cryoinv.denoisers import LowPass, PriorContext, Wiener
from cryoinv.errors import InputError
from cryoinv.operators import low_pass
from cryoinv.spaces import VolumeSpace, centred_irfft, centred_rfft, radial_expand, shell_indices
from cryoinv.testing import assert_adjoint, dense_matrix

size = pytest.mark.parametrize("n", [8, 9])


def context(n, fsc=None, resolution=12.0):
    made = PriorContext.nominal(n, 3.0, resolution)
    return made if fsc is None else replace(made, fsc=torch.as_tensor(fsc, dtype=torch.float64))


def noise(n, seed=0):
    return torch.randn(n, n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_transfer_is_the_clipped_fsc_up_to_its_first_fall():
    fsc = [-0.7, 1.2, 0.8, 0.3, 0.04, 0.6, -0.2]
    found = Wiener(cutoff=0.05).transfer(context(12, fsc))
    assert found.tolist() == pytest.approx([1.0, 1.0, 0.8, 0.3, 0, 0, 0])  # what rises again is not counted
    assert Wiener(cutoff=0.0).transfer(context(12, fsc)).tolist() == pytest.approx([1, 1, 0.8, 0.3, 0.04, 0.6, 0])


@size
def test_every_coefficient_is_multiplied_by_its_shells_factor(n):
    fsc = np.linspace(1, 0.3, n // 2 + 1)
    x = noise(n)
    found = centred_rfft(Wiener().denoise(x, context(n, fsc)))
    shells = shell_indices(n)
    factor = torch.zeros(shells.shape, dtype=torch.float64)
    for shell in range(n // 2 + 1):
        factor[shells == shell] = fsc[max(shell, 1)]
    torch.testing.assert_close(found, factor * centred_rfft(x))


@size
@pytest.mark.parametrize("denoiser", [Wiener(), LowPass(), LowPass(10.0)])
def test_filters_are_symmetric_operators(n, denoiser):
    operator = denoiser.bind(VolumeSpace(n, 3.0, "float64"), context(n))
    assert_adjoint(operator)
    if n == 8:
        matrix = dense_matrix(denoiser.bind(VolumeSpace(4, 3.0, "float64"), context(4)))
        assert np.abs(matrix - matrix.T).max() < 1e-12
        eigenvalues = np.linalg.eigvalsh(matrix)
        assert eigenvalues.min() > -1e-12 and eigenvalues.max() < 1 + 1e-12


def test_no_filter_of_the_family_is_nearer_to_a_gaussian_signal():
    """The minimum of the mean square error over one factor a shell is at the factors of the Wiener filter."""
    n, pairs = 16, 12
    power = torch.exp(-torch.arange(n // 2 + 1, dtype=torch.float64) / 2)
    fsc = power / (power + 0.1)
    shells = shell_indices(n)
    up, down = torch.zeros(2, n // 2 + 1, dtype=torch.float64)
    for pair in range(pairs):
        x = centred_irfft(radial_expand(power.sqrt(), n) * centred_rfft(noise(n, 2 * pair)), n)
        y = x + 0.1**0.5 * noise(n, 2 * pair + 1)
        X, Y = centred_rfft(x), centred_rfft(y)
        for shell in range(1, n // 2 + 1):
            here = shells == shell
            up[shell] += (X[here] * Y[here].conj()).real.sum()
            down[shell] += Y[here].abs().square().sum()
    best = (up / down)[1:]
    found = Wiener(cutoff=0.0).transfer(context(n, fsc))[1:]
    assert (best - found).abs().max() < 0.06  # of 12 maps of which shell 1 has 18 coefficients


@size
def test_low_pass_is_that_of_operators(n):
    x = noise(n)
    assert torch.equal(LowPass(10.0, edge=1.5).denoise(x, context(n)), low_pass(x, 3.0, 10.0, 1.5))
    assert torch.equal(LowPass().denoise(x, context(n, resolution=9.0)), low_pass(x, 3.0, 9.0))


@pytest.mark.parametrize(("wanted", "taken"), [(1.0, 6.0), (1e4, 24.0), (math.inf, 24.0)])
def test_low_pass_stays_between_nyquist_and_box(wanted, taken):
    x = noise(8)
    assert torch.equal(LowPass(wanted).denoise(x, context(8)), low_pass(x, 3.0, taken))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Wiener(1.0), "cutoff is 1.0"),
        (lambda: Wiener(-0.1), "cutoff"),
        (lambda: Wiener(math.nan), "cutoff"),
        (lambda: LowPass(0.0), "resolution is 0.0"),
        (lambda: LowPass(math.nan), "resolution"),
        (lambda: LowPass(10.0, edge=0.0), "edge is 0.0"),
    ],
)
def test_values_out_of_range_are_refused(make, said):
    with pytest.raises(InputError, match=said):
        make()
