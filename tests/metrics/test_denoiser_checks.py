"""Checks of denoisers against closed forms: filters, shifts, dense matrices, powers, Gaussian signals."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from cryoinv.denoisers import LowPass, PriorContext, TotalVariation, Wiener
from cryoinv.errors import InputError
from cryoinv.metrics import (
    check_denoiser,
    derivative_error,
    homogeneity_error,
    jacobian_asymmetry,
    lipschitz_estimate,
    mmse_consistency,
    offset_error,
    rotation_error,
    scale_error,
)
from cryoinv.spaces import VolumeSpace, centred_irfft, centred_rfft, radial_expand

size = pytest.mark.parametrize("n", [8, 9])
derivative = pytest.mark.parametrize("automatic", [True, False], ids=["automatic", "differences"])


def noise(n, seed=0):
    return torch.randn(n, n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def bound(denoiser, n, fsc=None):
    context = PriorContext.nominal(n, 3.0, 12.0)
    if fsc is not None:
        context = replace(context, fsc=torch.as_tensor(fsc, dtype=torch.float64))
    return denoiser.bind(VolumeSpace(n, 3.0, "float64"), context)


def through_numpy(f):
    """The same map, of which torch sees no derivative."""
    return lambda x: torch.from_numpy(f(x.detach()).numpy().copy()).to(x)


class TestFilter:
    """A radial filter h: symmetric, homogeneous, with the eigenvalues h."""

    @size
    @derivative
    def test_jacobian_is_symmetric(self, n, automatic):
        assert jacobian_asymmetry(bound(Wiener(), n), noise(n), automatic=automatic) < 1e-9

    @size
    def test_equivariances(self, n):
        f, x = bound(Wiener(), n, np.linspace(1, 0, n // 2 + 1)), noise(n)
        assert homogeneity_error(f, x) < 1e-10
        assert scale_error(f, x) < 1e-13
        assert rotation_error(f, x) < 1e-13
        assert offset_error(f, x) == pytest.approx(1 / (n // 2))  # what the filter takes off the mean: 1 - FSC_1
        assert derivative_error(f, x) < 1e-9

    @size
    def test_lipschitz_constant_is_the_largest_factor(self, n):
        fsc = np.array([0.3, 0.3, 0.9, 0.4, 0.2])
        found = lipschitz_estimate(bound(Wiener(), n, fsc), noise(n), iterations=12)
        assert 0.9 * (1 - 1e-3) < found < 0.9 * (1 + 1e-9)

    def test_slope_of_the_truth_is_what_the_filter_leaves(self):
        """With f = h x itself the slope is 1/h on each shell, without any statistics."""
        n, h = 8, np.array([0.8, 0.8, 0.5, 0.4, 0.1])
        x = bound(Wiener(cutoff=0.0), n, np.ones(5)).apply(noise(n))
        found = mmse_consistency(bound(Wiener(), n, h).apply(x), x, bands=4)
        assert found.shells == ((0, 1), (2, 2), (3, 3), (4, 4))
        assert found.slopes == pytest.approx([1 / 0.8, 1 / 0.5, 1 / 0.4, 1 / 0.1])


class TestWhatIsNotSymmetric:
    @size
    @derivative
    def test_a_shift(self, n, automatic):
        """S^T = S^-1 shares no entry with S: |S - S^T|^2 = 2 |S|^2."""
        found = jacobian_asymmetry(lambda x: x.roll(1, 0), noise(n), probes=30, automatic=automatic)
        assert found == pytest.approx(2**0.5, rel=0.15)

    @size
    @derivative
    def test_a_central_difference(self, n, automatic):
        """D^T = -D."""
        f = lambda x: x.roll(1, 0) - x.roll(-1, 0)  # noqa: E731
        found = jacobian_asymmetry(f, noise(n), probes=30, automatic=automatic)
        assert found == pytest.approx(2.0, rel=1e-9 if automatic else 0.2)

    @derivative
    @pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
    def test_a_dense_matrix(self, automatic, share):
        n = 4
        rng = np.random.default_rng(0)
        symmetric, skew = rng.standard_normal((2, n**3, n**3))
        matrix = (symmetric + symmetric.T) + share * (skew - skew.T)
        A = torch.from_numpy(matrix)
        found = jacobian_asymmetry(lambda x: (A @ x.reshape(-1)).reshape(x.shape), noise(n), 24, automatic=automatic)
        exact = np.linalg.norm(matrix - matrix.T) / np.linalg.norm(matrix)
        assert found == pytest.approx(exact, rel=0.12, abs=1e-7)

    @pytest.mark.parametrize(
        "f", [through_numpy(lambda x: x.roll(1, 0)), lambda x: torch.from_numpy(np.roll(x.numpy(), 1, 0))]
    )
    def test_a_denoiser_without_derivative_is_measured_all_the_same(self, f):
        assert math.isnan(derivative_error(f, noise(8)))
        assert jacobian_asymmetry(f, noise(8), probes=30) == pytest.approx(2**0.5, rel=0.15)


@derivative
def test_jacobian_of_what_is_not_linear(automatic):
    """f_i = tanh(x_i) + a x_i x_j with j the next voxel: the Jacobian is known entry by entry."""
    x, a = noise(8), 0.5

    def f(x):
        return torch.tanh(x) + a * x * x.roll(-1, 2)

    # J = diag(1 - tanh^2 + a x_next) + a x_i at (i, next): off the diagonal nothing has a mirror image.
    diagonal = 1 - torch.tanh(x) ** 2 + a * x.roll(-1, 2)
    exact = (2 * (a * x).square().sum() / (diagonal.square().sum() + (a * x).square().sum())).sqrt()
    assert jacobian_asymmetry(f, x, probes=16, automatic=automatic) == pytest.approx(float(exact), rel=0.1)


def test_homogeneity_of_a_power_is_its_degree_less_one():
    assert homogeneity_error(lambda x: x**3, noise(8), step=1e-5) == pytest.approx(2.0, rel=1e-4)
    assert homogeneity_error(torch.relu, noise(8)) < 1e-12
    assert scale_error(lambda x: x**3, noise(8), factors=(2.0,)) == pytest.approx(3.0)


def test_lipschitz_estimate_is_below_the_norm_and_finds_it_where_symmetric():
    n = 4
    rng = np.random.default_rng(1)
    matrix = rng.standard_normal((n**3, n**3))
    for dense, share in ((matrix, 0.4), (matrix + matrix.T, 0.95)):
        A = torch.from_numpy(dense)
        found = lipschitz_estimate(lambda x, A=A: (A @ x.reshape(-1)).reshape(x.shape), noise(n), 2, 30)
        norm = np.linalg.norm(dense, 2)
        assert share * norm < found <= norm * (1 + 1e-9)


def test_lipschitz_estimate_of_nothing():
    assert lipschitz_estimate(torch.zeros_like, noise(8)) == 0.0


def test_offset_and_rotation_of_a_mask():
    """Multiplication by a mask takes from an offset what it takes from the map, and holds to its frame."""
    mask = torch.zeros(8, 8, 8, dtype=torch.float64)
    mask[2:, :, :] = 1.0  # a quarter is lost
    assert offset_error(lambda x: mask * x, noise(8)) == pytest.approx(0.5)
    assert rotation_error(lambda x: mask * x, noise(8)) > 0.3


def test_derivative_error_finds_a_scale_that_is_taken_as_given():
    """f = x / |x|: without the norm's derivative, the one along x is 1 in place of 0."""
    x = noise(8)
    assert derivative_error(lambda x: x / x.norm(), x) < 1e-5
    assert derivative_error(lambda x: x / x.detach().norm(), x) > 0.1


class TestMmse:
    def drawn(self, pairs=6, n=16):
        """Gaussian maps of known spectrum in white noise, and the exact filter."""
        power = torch.exp(-torch.arange(n // 2 + 1, dtype=torch.float64) / 2)
        h = power / (power + 0.1)

        def filtered(factor, x):
            return centred_irfft(radial_expand(factor, n) * centred_rfft(x), n)

        clean = torch.stack([filtered(power.sqrt(), noise(n, 2 * i)) for i in range(pairs)])
        noisy = torch.stack([x + 0.1**0.5 * noise(n, 2 * i + 1) for i, x in enumerate(clean)])
        return clean, torch.stack([filtered(h, y) for y in noisy])

    @pytest.mark.parametrize("factor", [1.0, 2.0, 0.5])
    def test_of_a_gaussian_the_wiener_filter_passes_and_no_multiple(self, factor):
        clean, estimate = self.drawn()
        found = mmse_consistency(factor * estimate, clean)
        assert found.orthogonality == pytest.approx(1 / factor - 1, abs=0.05 / factor)
        assert found.slopes == pytest.approx([1 / factor] * 4, rel=0.1)

    def test_of_one_pair_and_of_bands_without_power(self):
        clean, estimate = self.drawn(pairs=1)
        low = bound(LowPass(30.0, edge=1.0), 16).apply(estimate[0])
        found = mmse_consistency(low, clean[0], bands=8)
        assert math.isnan(found.slopes[-1]) and found.slopes[0] == pytest.approx(1, rel=0.3)

    def test_the_whole_is_a_mean_of_its_bands(self):
        clean, estimate = self.drawn()
        one = mmse_consistency(estimate, clean, bands=1)
        assert one.slopes[0] == pytest.approx(1 + one.orthogonality, rel=0.02)  # but for the corners

    def test_shapes_and_bands_are_checked(self):
        with pytest.raises(InputError, match=r"\(8, 8, 8\) and \(9, 9, 9\)"):
            mmse_consistency(noise(8), noise(9))
        with pytest.raises(InputError, match="found 5 bands, expected 1 to 4"):
            mmse_consistency(noise(8), noise(8), bands=5)


class TestReport:
    def test_of_a_filter(self):
        clean = bound(LowPass(12.0), 16).apply(noise(16))
        noisy = clean + 0.5 * noise(16, 1)
        report = check_denoiser(bound(Wiener(), 16), clean, noisy, probes=3)
        assert report.jacobian_asymmetry < 1e-9 and report.derivative_error < 1e-9
        assert report.error < report.noisy_error == pytest.approx(float((noisy - clean).norm() / clean.norm()))
        values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
        assert values["lipschitz"] == report.lipschitz and len(values["mmse"]["slopes"]) == 4
        lines = str(report).splitlines()
        assert len(lines) == 14 and lines[2].startswith("jacobian asymmetry")

    def test_of_a_denoiser_without_derivative(self):
        x = noise(16)
        report = check_denoiser(bound(TotalVariation(iterations=5), 16), x, x, probes=2)
        assert math.isnan(report.derivative_error) and report.to_dict()["derivative_error"] is None
        assert "derivative error               -" in str(report)
        assert report.scale_error < 1e-12

    def test_a_wrong_automatic_derivative_is_not_trusted(self):
        """To torch the operator is the identity; its values are those of a shift."""
        report = check_denoiser(lambda x: x + (x.roll(1, 0) - x).detach(), noise(8), noise(8), probes=30)
        assert report.jacobian_asymmetry == pytest.approx(2**0.5, rel=0.15) and report.derivative_error > 0.5

    def test_of_a_network_in_single_precision(self):
        torch.manual_seed(0)
        layer = torch.nn.Conv3d(1, 1, 3, padding=1, padding_mode="circular", bias=False)
        net = torch.nn.Sequential(torch.nn.Unflatten(0, (1, -1)), layer, torch.nn.ReLU(), torch.nn.Flatten(0, 1))
        report = check_denoiser(net, noise(8).float(), noise(8, 1).float(), probes=4)
        assert report.scale_error < 1e-5 and report.homogeneity_error < 1e-2 and report.derivative_error < 0.05
        assert 0.1 < report.jacobian_asymmetry < 2

    def test_shapes_are_checked(self):
        with pytest.raises(InputError, match="the clean map has shape"):
            check_denoiser(torch.relu, noise(8), noise(9))
        with pytest.raises(InputError, match="found 1 probes"):
            jacobian_asymmetry(torch.relu, noise(8), probes=1)
