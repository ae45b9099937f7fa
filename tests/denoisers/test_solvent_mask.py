"""The automatic solvent mask: keeps the particle, leaves the solvent, and knows when it knows nothing."""

import functools

import numpy as np
import pytest
import torch
from scipy import ndimage

from cryoinv.denoisers import PriorContext, solvent_mask
from cryoinv.errors import InputError
from cryoinv.io import AtomicModel
from cryoinv.operators import soft_sphere
from cryoinv.simulation import demo_structure, potential_map
from cryoinv.simulation.potential import model_diameter
from cryoinv.spaces import centred_irfft, centred_rfft, radial_expand, radial_mean

N, PIXEL = 40, 4.0


@functools.cache
def demo():
    return density(demo_structure())


def density(model):
    volume = torch.as_tensor(potential_map(model, N, PIXEL, b_factor=60.0)).double()
    return volume, 0.5 * model_diameter(model) + 5.0


def noisy(volume, resolution, seed=0):
    """Volume with noise whose power rises as 1/K does, ~|k|, to an FSC of 0.143 at a resolution; and the FSC."""
    n = len(volume)
    spectrum = centred_rfft(volume)
    power = radial_mean(spectrum.abs() ** 2, n)
    shells = torch.arange(n // 2 + 1).double()
    last = n * PIXEL / resolution
    noise = power[round(last)] * (1 - 0.143) / 0.143 * shells.clamp(min=0.5) / last
    white = torch.randn(volume.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    spectrum = spectrum + centred_rfft(white) * radial_expand(noise, n).sqrt()
    return centred_irfft(spectrum, n), power / (power + noise)


def context(resolution, radius, fsc=None, n=N):
    fsc = torch.ones(n // 2 + 1) if fsc is None else fsc
    return PriorContext(n, PIXEL, fsc, torch.ones(n // 2 + 1), resolution, radius)


def assert_suits(mask, volume, radius):
    particle = volume > 0.05 * volume.max()
    assert ((mask * volume) ** 2).sum() >= 0.99 * (volume**2).sum()
    assert mask[~particle].sum() < 2 * particle.sum()
    assert (mask <= soft_sphere(N, radius / PIXEL, 5.0, dtype=torch.float64)).all() and mask.min() >= 0
    assert mask.max() == 1


class TestOfTheDemo:
    @pytest.mark.parametrize("resolution", [8.5, 10, 14, 20])
    @pytest.mark.parametrize("seed", [0, 1])
    def test_it_keeps_the_particle_and_leaves_the_solvent(self, resolution, seed):
        volume, radius = demo()
        x, fsc = noisy(volume, resolution, seed)
        assert_suits(solvent_mask(x, context(resolution, radius, fsc)), volume, radius)

    def test_it_is_blind_to_scale_and_offset_and_keeps_the_type(self):
        volume, radius = demo()
        x, _ = noisy(volume, 10)
        mask = solvent_mask(x, context(10, radius))
        torch.testing.assert_close(solvent_mask(1e-4 * x + 3e-4, context(10, radius)), mask)
        single = solvent_mask(x.float(), context(10, radius))
        assert single.dtype == torch.float32 and (single - mask).abs().mean() < 1e-4

    def test_a_sphere_that_fills_the_box_leaves_no_solvent_to_measure(self):
        volume, _ = demo()
        x, _ = noisy(volume, 10)
        assert_suits(solvent_mask(x, context(10, 10 * N * PIXEL)), volume, 10 * N * PIXEL)

    def test_far_islands_are_left_out(self):
        volume, radius = demo()
        particle = volume > 0.05 * volume.max()
        within = soft_sphere(N, radius / PIXEL - 2, 0.0).numpy()
        distance = within * ndimage.distance_transform_edt(~particle.numpy())
        far = np.unravel_index(distance.argmax(), distance.shape)
        ball = soft_sphere(N, 1.5, 1.0, dtype=torch.float64).roll([int(i) - N // 2 for i in far], (0, 1, 2))
        mask = solvent_mask(noisy(volume, 10)[0] + volume.max() * ball, context(10, radius))
        assert distance.max() > 6 and mask[far] < 0.1

    def test_it_grows_by_its_extension_and_edge(self):
        volume, radius = demo()
        x, _ = noisy(volume, 10)
        masks = [solvent_mask(x, context(10, radius), extend=a, edge=e) for a, e in ((0, 4), (8, 4), (8, 12))]
        assert (masks[0] <= masks[1]).all() and (masks[1] <= masks[2]).all()
        assert masks[0].sum() < 0.8 * masks[1].sum() < 0.64 * masks[2].sum() / 0.8


@pytest.mark.parametrize("n", [24, 25])
@pytest.mark.parametrize("radius", [30.0, 500.0])
@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_where_nothing_stands_out_it_is_the_sphere(n, radius, scale):
    x = scale * torch.randn(n, n, n, generator=torch.manual_seed(0), dtype=torch.float64)
    sphere = soft_sphere(n, radius / PIXEL, 5.0, dtype=torch.float64)
    torch.testing.assert_close(solvent_mask(x, context(20.0, radius, n=n)), sphere)


def test_a_ball_gives_a_ball_of_known_size():
    """Low-passed, a ball's edge is at a quarter of its density about 0.15 d further out than at half of it."""
    x = soft_sphere(N, 6.0, 0.0, dtype=torch.float64)
    mask = solvent_mask(x, context(12.0, 60.0), lowpass=12.0, extend=4.0, edge=8.0)
    line = mask[N // 2, N // 2, N // 2 :] > 0.5
    assert abs(float(line.sum()) - (6.0 + 0.5 + 2.0 + 0.15 * 3)) <= 1.0


@pytest.mark.parametrize("option", [{"lowpass": 0.0}, {"edge": 0.0}, {"extend": -1.0}, {"sigmas": float("nan")}])
def test_options_out_of_range_are_refused(option):
    with pytest.raises(InputError, match=next(iter(option))):
        solvent_mask(torch.zeros(8, 8, 8), context(10.0, 10.0, n=8), **option)


@pytest.mark.shared
@pytest.mark.parametrize("index", [2, 10, 22, 40, 50])
def test_of_real_structures(shared_data, index):
    with np.load(shared_data / "valid" / "structures.npz") as packed:
        part = slice(*packed["offsets"][index : index + 2])
        xyz, z, b = packed["xyz"][part] / 100.0, packed["z"][part], packed["b"][part] / 10.0
    volume, radius = density(AtomicModel(xyz, z, b, np.ones(len(z)), str(index)))
    for resolution in (8.5, 12, 20):
        x, fsc = noisy(volume, resolution)
        assert_suits(solvent_mask(x, context(resolution, radius, fsc)), volume, radius)
