"""How networks are applied: scales, bands, and what they must not depend on."""

import numpy as np
import pytest
import torch

from cryoinv.errors import InputError
from cryoinv.networks import GatedUNet, apply_denoising, network_inputs, peak_scale
from cryoinv.spaces import centred_irfft, centred_rfft, radial_mean

from .networks_at_random import SMALL, at_random, drawn


def small(name="gated-unet", dtype=torch.float64):
    return at_random(SMALL[name]()).to(dtype)


def falling(n, last):
    """A filter that ends before the last shell."""
    shells = torch.arange(n // 2 + 1, dtype=torch.float64)
    return torch.exp(-0.1 * shells) * (shells <= last)


def filtered_directly(transfer, volume):
    """Shells multiplied by the transfer function, from the full spectrum of NumPy's transform."""
    n = len(volume)
    axis = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)
    shells = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).sqrt().round().long()
    factors = torch.cat([transfer, transfer.new_zeros(n)])[shells]
    return torch.fft.ifftn(factors * torch.fft.fftn(volume)).real


def description(smooth, transfer):
    """W at sixteen frequencies, and the logarithm of the power there in units of its mean below Nyquist's."""
    n = len(smooth)
    axis = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)
    radii = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).sqrt().round().long()
    spectrum = torch.fft.fftn(smooth).abs() ** 2
    power = np.array([float(spectrum[radii == shell].mean()) for shell in range(n // 2 + 1)])
    shells = np.arange(n // 2 + 1)
    power /= sum(power * (shells / n) ** 2) / n
    at = np.arange(1, 17) / 16 * (n / 2)
    logarithm = np.interp(at, shells, np.log(power.clip(1e-4) / 100) / 5)
    return torch.from_numpy(np.concatenate([np.interp(at, shells, transfer.numpy()), logarithm]))[None]


def ball(n, width=2.0):
    axis = torch.arange(n, dtype=torch.float64) - n // 2
    return torch.exp(-(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) / (2 * width**2))


@pytest.mark.parametrize("n", [10, 13])
@pytest.mark.parametrize("name", SMALL)
def test_it_is_the_formula(n, name):
    x, network, transfer = 50 * drawn(n, n, n), small(name), falling(n, 3)
    smooth = filtered_directly(transfer, x)
    s = float((smooth**4).sum() / (smooth**2).sum()) ** 0.5
    c = max(1.0, float((x / s).std()))
    gated = name == "gated-unet"
    bands = [transfer**8, transfer**2 - transfer**8, transfer - transfer**2] if gated else [transfer]
    maps = torch.stack([x / s / c, *(filtered_directly(band, x) / s for band in bands)])[None]
    h = network(maps, description(smooth, transfer))[0] if gated else network(maps)[0]
    expected = s * (c if name == "residual-unet" else 1) * filtered_directly((transfer > 0).double(), h)
    torch.testing.assert_close(apply_denoising(network, x[None], transfer)[0], expected, rtol=1e-9, atol=1e-9)
    assert c > 1  # so that it counts


def test_the_scale_of_noise_is_at_least_that_of_the_particle():
    x = ball(16, 1.0)[None]
    inputs = network_inputs(small(), x, torch.ones(9))
    assert float(inputs.noise_scale) == 1 and float((x / inputs.scale).std()) < 0.5
    torch.testing.assert_close(inputs.maps[:, 0], x / inputs.scale)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scaled_maps_give_scaled_results(name, dtype):
    x, network, transfer = drawn(1, 9, 9, 9, dtype=dtype), small(name, dtype), falling(9, 3)
    once = apply_denoising(network, x, transfer)
    for power in (-90, -30, -1, 3, 40, 60):  # to the last bit
        assert torch.equal(apply_denoising(network, 2.0**power * x, transfer), 2.0**power * once)
    tolerance = 1e-4 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(apply_denoising(network, 0.3 * x, transfer), 0.3 * once, rtol=0, atol=tolerance)


def test_nothing_is_in_the_result_where_the_filter_is_zero():
    x = apply_denoising(small(), drawn(1, 12, 12, 12), falling(12, 3))[0]
    power = radial_mean(centred_rfft(x).abs() ** 2, 12)
    assert power[:4].min() > 1e-6 and power[4:].max() < 1e-25


@pytest.mark.parametrize("name", SMALL)
def test_an_empty_map_stays_empty_in_a_batch_of_others(name):
    x, network, transfer = drawn(3, 9, 9, 9), small(name), falling(9, 3)
    x[1] = 0
    found = apply_denoising(network, x, transfer)
    assert not found[1].any() and found[0].any() and bool(torch.isfinite(found).all())
    assert not apply_denoising(network, x[:1], torch.zeros(5)).any()


@pytest.mark.parametrize("name", SMALL)
def test_a_batch_is_each_alone_with_its_own_filter(name):
    x, network = drawn(3, 9, 9, 9) * torch.tensor([1.0, 1e3, 1e-3])[:, None, None, None], small(name)
    transfers = torch.stack([falling(9, last) for last in (2, 3, 4)])
    found = apply_denoising(network, x, transfers)
    for each, volume, transfer in zip(found, x, transfers, strict=True):
        expected = apply_denoising(network, volume[None], transfer)[0]
        torch.testing.assert_close(each, expected, rtol=1e-9, atol=1e-12 * float(expected.detach().abs().max()))


def test_the_peak_scale_is_that_of_the_particle_in_any_box():
    scales = [peak_scale(7 * ball(n)[None]) for n in (24, 25, 48)]
    for scale in scales:  # integrals of Gaussians: the width to the third over 4^(3/2) and 2^(3/2)
        torch.testing.assert_close(scale.squeeze(), torch.tensor(7 / 2**0.75, dtype=torch.float64), rtol=1e-7, atol=0)
    assert float(peak_scale(torch.full((1, 2, 2, 2), -3e30))) == pytest.approx(3e30)  # beyond fourth powers of its type
    assert float(peak_scale(torch.zeros(1, 2, 2, 2))) == 0


def test_empty_solvent_makes_no_difference():
    network = at_random(GatedUNet(2, 1, 1)).double()  # reaches 9 voxels, and depends on shifts by 2 only
    boxes = [network_inputs(network, ball(n)[None], torch.ones(n // 2 + 1)) for n in (32, 48)]
    small, large = (network(each.maps, boxes[0].description)[0] for each in boxes)
    inner = (slice(10, -10),) * 3  # faces of the box are within reach of the others
    torch.testing.assert_close(small[inner], large[8:-8, 8:-8, 8:-8][inner], rtol=1e-6, atol=1e-6)


def test_nor_does_it_for_the_description():
    filters = [torch.exp(-((torch.arange(n // 2 + 1) / (0.2 * n)) ** 2)) for n in (32, 48)]
    told = [network_inputs(small(), ball(n)[None], w).description for n, w in zip((32, 48), filters, strict=True)]
    torch.testing.assert_close(*told, rtol=0, atol=0.1)  # steep spectra between shells
    assert float(told[0].std()) > 0.5


def test_odd_boxes_are_described_as_even_ones():
    told = [network_inputs(small(), ball(n)[None], torch.ones(n // 2 + 1)).description for n in (32, 33)]
    torch.testing.assert_close(*told, rtol=0, atol=0.12)


@pytest.mark.parametrize("name", SMALL)
def test_it_can_be_differentiated_by_the_map_and_by_the_weights(name):
    network, transfer = small(name), falling(6, 2)
    x = drawn(2, 6, 6, 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: apply_denoising(network, v, transfer), x, fast_mode=True)
    loss = apply_denoising(network, x.detach(), transfer).square().sum()
    loss.backward()
    gradients = {key: weights.grad for key, weights in network.named_parameters()}
    key, weights = next((k, w) for k, w in network.named_parameters() if k.startswith("last"))
    with torch.no_grad():
        step, values = 1e-6, []
        for sign in (1, -1):
            weights.flatten()[0].add_(sign * step)
            values.append(float(apply_denoising(network, x, transfer).square().sum()))
            weights.flatten()[0].sub_(sign * step)
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(float(gradients[key].flatten()[0]), rel=1e-5)
    assert all(bool(torch.isfinite(each).all()) for each in gradients.values())


@pytest.mark.parametrize("name", SMALL)
def test_half_the_bits_move_the_result_a_little(name):
    network, x, transfer = small(name, torch.float32), drawn(1, 16, 16, 16, dtype=torch.float32), falling(16, 7)
    full, half = (apply_denoising(network, x, transfer, precision=each).detach() for each in ("full", "bfloat16"))
    assert half.dtype == torch.float32 and 1e-5 < float((half - full).norm() / full.norm()) < 0.02
    assert torch.equal(apply_denoising(network, 2.0**20 * x, transfer, precision="bfloat16"), 2.0**20 * half)


def test_a_network_that_returns_another_shape_is_refused():
    both = torch.nn.Identity()
    with pytest.raises(InputError, match=r"Identity returned shape \(1, 2, 8, 8, 8\) .* expected \(1, 8, 8, 8\)"):
        apply_denoising(both, drawn(1, 8, 8, 8), torch.ones(5))


def test_the_filter_of_the_tests_is_that_of_the_package():
    x, transfer = drawn(9, 9, 9), falling(9, 4)
    shells = torch.arange(5)
    inside = centred_rfft(filtered_directly(transfer, x)).abs()
    power = radial_mean(inside**2, 9) / radial_mean(centred_rfft(x).abs() ** 2, 9)
    torch.testing.assert_close(power[shells < 4], (transfer**2)[shells < 4])
    torch.testing.assert_close(centred_irfft(centred_rfft(x), 9), x)
