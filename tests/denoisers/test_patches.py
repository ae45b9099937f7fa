"""Denoising tile by tile."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cryoinv.denoisers import (
    Composition,
    Denoiser,
    NetworkDenoiser,
    Patchwise,
    PriorContext,
    TotalVariation,
    Wiener,
    denoiser_from,
)
from cryoinv.denoisers.patches import tile_context
from cryoinv.denoisers.tiles import tile_windows
from cryoinv.errors import InputError
from cryoinv.networks import GatedResidualNetwork
from cryoinv.spaces import centred_rfft, radial_mean


class Clip(Denoiser):
    def denoise(self, volume, context):
        assert volume.shape == (context.n,) * 3 and volume.is_contiguous()
        return volume.clamp(-0.5, 0.5)


class Identity(Denoiser):
    def denoise(self, volume, context):
        return volume


class Blur(Denoiser):
    """Three taps along each axis, periodic in whatever box it is given."""

    def denoise(self, volume, context):
        for axis in range(3):
            volume = 0.5 * volume + 0.25 * (volume.roll(1, axis) + volume.roll(-1, axis))
        return volume


def noise(n, seed=0):
    return torch.randn(n, n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(4, 40), st.integers(4, 20), st.floats(0, 0.5))
def test_weights_sum_to_one_and_are_positive(n, tile, share):
    overlap = int(share * tile)
    if tile >= n:
        return
    total = torch.zeros(n, dtype=torch.float64)
    windows = tile_windows(n, tile, overlap, total)
    for start, weight in windows:
        assert 0 <= start <= n - tile and len(weight) == tile and bool((weight > 0).all())
        total[start : start + tile] += weight
    assert float((total - 1).abs().max()) < 1e-14
    shared = [a + tile - b for (a, _), (b, _) in itertools.pairwise(windows)]
    assert min(shared, default=overlap) >= overlap


@given(st.integers(33, 120), st.integers(32, 60), st.integers(0, 10), st.sampled_from([1, 2, 4, 8]))
def test_margins_are_not_used_and_tiles_begin_at_the_period(n, tile, margin, period):
    overlap = min(2 * margin + 3, tile - period)
    if tile >= n:
        return
    total = torch.zeros(n, dtype=torch.float64)
    windows = tile_windows(n, tile, overlap, total, margin, period)
    for start, weight in windows:
        assert start % period == 0 and len(weight) <= tile and start + len(weight) <= n
        assert start == 0 or not weight[:margin].any()
        assert start + len(weight) == n or not weight[len(weight) - margin :].any()
        total[start : start + tile] += weight
    assert windows[0][0] == 0 and windows[-1][0] + len(windows[-1][1]) == n
    assert float((total - 1).abs().max()) < 1e-14


@pytest.mark.parametrize("n", [12, 13, 17])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_identity_and_pointwise_denoisers_are_themselves(n, dtype):
    x, tolerance = noise(n).to(dtype), 1e-14 if dtype == torch.float64 else 1e-6
    context = PriorContext.nominal(n, 3.0, 12.0)
    for f in (Identity(), Clip()):
        for tile, overlap in ((6, None), (7, 2), (5, 0), (32, None)):
            found = Patchwise(f, tile, overlap).denoise(x, context)
            torch.testing.assert_close(found, f.denoise(x, context), rtol=0, atol=tolerance)


def test_local_denoisers_err_little_at_the_edges_of_tiles():
    """What wraps around in a tile has a small weight; in the box's own faces it has not."""
    x = noise(24)
    context = PriorContext.nominal(24, 3.0, 12.0)
    inner = (slice(2, -2),) * 3
    whole = Blur().denoise(x, context)[inner]
    smooth, hard = (Patchwise(Blur(), 12, overlap).denoise(x, context)[inner] for overlap in (6, 0))
    assert (smooth - whole).norm() < 0.1 * whole.norm() < (hard - whole).norm()


def test_a_tile_as_wide_as_the_box_is_the_box():
    x = noise(12)
    context = PriorContext.nominal(12, 3.0, 12.0)
    assert torch.equal(Patchwise(Wiener(), 12).denoise(x, context), Wiener().denoise(x, context))


@pytest.mark.parametrize(("n", "tile"), [(24, 12), (24, 16), (25, 12), (33, 8), (12, 11)])
def test_context_of_a_tile_has_the_same_frequencies(n, tile):
    shells = torch.arange(n // 2 + 1, dtype=torch.float64)
    frequency = shells / (n * 3.0)
    context = PriorContext(n, 3.0, 1 - 5 * frequency, 2 + frequency, 10.0, 20.0, trust=frequency)
    found = tile_context(context, tile)
    expected = torch.arange(tile // 2 + 1, dtype=torch.float64) / (tile * 3.0)
    expected = expected.clamp(max=frequency[-1])  # an odd box ends before the Nyquist frequency
    torch.testing.assert_close(found.fsc, 1 - 5 * expected)
    torch.testing.assert_close(found.tau2, 2 + expected)
    torch.testing.assert_close(found.trust, expected)
    assert (found.n, found.pixel_size, found.resolution) == (tile, 3.0, 10.0)
    assert found.particle_radius >= 3.0 * tile * 3**0.5 / 2 * 0.999
    assert tile_context(replace(context, trust=None), tile).trust is None


def test_power_of_a_coefficient_is_that_of_a_tile():
    whole, tile = noise(32), noise(32)[:12, :12, :12]
    powers = [float(radial_mean(centred_rfft(x).abs() ** 2, len(x))[3:].mean()) for x in (whole, tile)]
    assert powers[0] == pytest.approx(powers[1], rel=0.1)


def test_what_needs_the_whole_box_is_refused():
    for f in (TotalVariation(), Composition(Wiener(), TotalVariation())):
        with pytest.raises(InputError, match=r"TotalVariation.* needs the whole box"):
            Patchwise(f)
    for text in ("bands,denoisers=(wiener;tv)", "rotations,denoiser=(bands,denoisers=(wiener;solvent))"):
        with pytest.raises(InputError, match="needs the whole box"):
            Patchwise(denoiser_from(text))
    with pytest.raises(InputError, match="needs the whole box"):
        Patchwise(NetworkDenoiser(GatedResidualNetwork(2, 1)))
    with pytest.raises(InputError, match=r"SolventFlattening\(\) needs the whole box"):
        denoiser_from("patches,denoiser=solvent")


@pytest.mark.parametrize(("tile", "overlap"), [(3, None), (8, 5), (8, -1)])
def test_tiles_out_of_range_are_refused(tile, overlap):
    with pytest.raises(InputError, match=f"tiles of {tile} voxels"):
        Patchwise(Wiener(), tile, overlap)
    with pytest.raises(InputError, match="found a int"):
        Patchwise(3)


def test_gradients_pass():
    x = noise(12).requires_grad_()
    Patchwise(Wiener(), 8).denoise(x, PriorContext.nominal(12, 3.0, 12.0)).square().sum().backward()
    assert torch.isfinite(x.grad).all() and x.grad.abs().sum() > 0
