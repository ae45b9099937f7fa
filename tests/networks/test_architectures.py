"""Denoising networks: any box, what they are before training, what reaches a voxel, and grids folded into channels."""

import itertools

import pytest
import torch

from cryoinv.errors import InputError
from cryoinv.networks import DenoisingNetwork, GatedResidualNetwork, GatedUNet, ResidualUNet
from cryoinv.networks.blocks import fold_to_depth, pad_to_multiple, unfold_from_depth

from .networks_at_random import SMALL, at_random, channels, drawn, run


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("n", [1, 5, 8, 10, 13])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_box_will_do(name, n, dtype):
    network = at_random(SMALL[name]()).to(dtype)
    assert isinstance(network, DenoisingNetwork) and network.name == name and network.kind == "denoiser"
    found = run(network, drawn(2, channels(network), n, n, n, dtype=dtype))
    assert found.shape == (2, n, n, n) and found.dtype == dtype and bool(torch.isfinite(found).all())


@pytest.mark.parametrize("name", SMALL)
def test_maps_of_a_batch_are_denoised_alone(name):
    network = at_random(SMALL[name]()).double()
    maps = drawn(3, channels(network), 9, 9, 9)
    alone = torch.cat([run(network, each[None]) for each in maps])
    torch.testing.assert_close(run(network, maps), alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", [7, 12])
def test_before_training_nothing_is_added_and_nothing_taken_off(n):
    maps, bands = drawn(1, 2, n, n, n), drawn(1, 4, n, n, n)
    torch.testing.assert_close(run(GatedUNet(2, 3, 2).double(), bands), bands[:, 1:].sum(1))
    gate = 1 / (1 + torch.exp(torch.tensor(-2.0, dtype=torch.float64)))
    torch.testing.assert_close(GatedResidualNetwork(3, 2).double()(maps), gate * maps[:, 1])
    assert torch.equal(ResidualUNet(2, 2).double().eval()(maps), maps[:, 0])


def test_the_residual_network_sees_the_noisy_map_alone():
    network, maps = at_random(ResidualUNet(2, 2)).double(), drawn(1, 2, 8, 8, 8)
    changed = torch.stack([maps[:, 0], drawn(1, 8, 8, 8, seed=1)], 1)
    assert torch.equal(network(maps), network(changed)) and not torch.equal(network(maps), maps[:, 0])
    assert network.unit == "noisy" and GatedUNet.unit == GatedResidualNetwork.unit == "filtered"


def test_what_a_network_is_told_matters_everywhere():
    network, maps = at_random(GatedUNet(2, 2, 1)).double(), drawn(1, 4, 8, 8, 8)
    torch.nn.init.zeros_(network.everywhere.weight)  # it must not be that alone
    assert ((run(network, maps) - run(network, maps, seed=6)).abs() > 1e-6).all()


def test_bands_sum_to_the_filter_and_are_ordered_by_how_well_shells_are_known():
    transfer = torch.linspace(1, 0, 9, dtype=torch.float64).expand(2, -1)
    bands = GatedUNet(2, 1).filters(transfer)
    torch.testing.assert_close(bands.sum(1), transfer)
    middle = (bands * torch.arange(9)).sum(2) / bands.sum(2)
    assert bands.min() >= 0 and bool((middle[:, 1:] > middle[:, :-1]).all())


@pytest.mark.parametrize(("depth", "blocks"), [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)])
def test_reach_is_that_of_the_farthest_voxel_that_matters(depth, blocks):
    """A perturbed plane of a long box changes what is `reach` voxels away, on one side or the other, and no more."""
    network = at_random(GatedUNet(2, depth, blocks)).double()
    assert max(changed_voxels(network, network.period)) == network.reach


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_reach_of_the_residual_network_is_not_exceeded(depth):
    """The largest of a pool need not be that which is perturbed: what is found may be less."""
    network = at_random(ResidualUNet(3, depth)).double()
    assert network.reach / 2 < max(changed_voxels(network, network.period)) <= network.reach


def changed_voxels(network, period):
    """Distance of the farthest voxel that changes with a plane, for each place of that within a period."""
    side, length = period, 2 * (network.reach + 2 * period) // period * period + 2 * period
    maps = drawn(1, channels(network), side, side, length)
    with torch.no_grad():
        before = run(network, maps)
        for place in range(length // 2, length // 2 + period):
            maps_now = maps.clone()
            maps_now[..., place] += 10.0
            changed = (run(network, maps_now) != before).any(1).any(1)[0].nonzero()[:, 0]
            assert int(changed[0]) > 0 and int(changed[-1]) < length - 1  # the box is long enough to tell
            yield int((changed - place).abs().max())


@pytest.mark.parametrize("network", [GatedUNet(2, 2, 1), ResidualUNet(2, 2)], ids=lambda each: each.name)
def test_shifts_by_the_period_shift_the_result(network):
    network, shift = at_random(network).double(), network.period
    maps = drawn(1, channels(network), 4, 4, 4 * (network.reach // 4 * 2 + 6))
    inner = slice(network.reach + shift, -network.reach - shift)
    whole, shifted = run(network, maps), run(network, maps.roll(shift, -1))
    torch.testing.assert_close(shifted.roll(-shift, -1)[..., inner], whole[..., inner], rtol=1e-12, atol=1e-12)
    assert shift == 4 and GatedResidualNetwork(2, 1).period == 1 and GatedResidualNetwork(2, 1).reach is None
    by_one = run(network, maps.roll(1, -1)).roll(-1, -1)
    assert (by_one - whole)[..., inner].abs().max() > 1e-3  # and by less than the period they do not


def test_a_folded_channel_is_one_corner_of_all_cubes():
    maps = drawn(2, 3, 4, 6, 8)
    folded = fold_to_depth(maps)
    assert torch.equal(unfold_from_depth(folded, 3), maps)
    corners = itertools.product(range(3), range(2), range(2), range(2))
    for channel, (c, z, y, x) in enumerate(corners):
        assert torch.equal(folded[:, channel], maps[:, c, z::2, y::2, x::2])


def test_padding_is_zero_and_behind():
    maps = drawn(1, 2, 5, 8, 9)
    padded, inner = pad_to_multiple(maps, 4)
    assert padded.shape == (1, 2, 8, 8, 12) and torch.equal(padded[inner], maps)
    assert torch.equal(padded[..., :5, :8, :9], maps) and float(padded.abs().sum()) == float(maps.abs().sum())
    assert pad_to_multiple(maps[..., :5, :5, :5], 5)[0].shape == (1, 2, 5, 5, 5)


@pytest.mark.parametrize("architecture", [GatedUNet, ResidualUNet, GatedResidualNetwork])
def test_sizes_are_positive_whole_numbers(architecture):
    for size in (0, 1.5, True):
        with pytest.raises(InputError, match=f"the depth of {architecture.__name__} is {size}"):
            architecture(2, size)
