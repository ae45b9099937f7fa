"""What denoisers are told: the FSC inside the particle's sphere, and curves that change together."""

from dataclasses import replace

import pytest
import torch

from cryoinv.denoisers import (
    Composition,
    NetworkDenoiser,
    PriorContext,
    ResolutionBands,
    RotationAverage,
    TotalVariation,
    Wiener,
    sphere_transfer,
)
from cryoinv.metrics import fourier_shell_correlation
from cryoinv.networks import GatedUNet
from cryoinv.operators import soft_sphere


def test_what_the_box_tells_of_the_sphere_is_what_halves_have_in_it():
    """White signal in a sphere and white noise everywhere: the FSC of both, over many shells."""
    n, radius, pixel_size = 40, 12.0, 2.0
    generator = torch.Generator().manual_seed(0)
    signal, first, second = torch.randn(3, n, n, n, generator=generator, dtype=torch.float64)
    sphere = soft_sphere(n, radius, 0.01).double()
    halves = [sphere * signal + 0.7 * noise for noise in (first, second)]
    whole, masked = (float(fourier_shell_correlation(*(m * h for h in halves))[5:20].mean()) for m in (1.0, sphere))
    told = PriorContext(n, pixel_size, torch.full((21,), whole), torch.ones(21), 4.0, radius * pixel_size).fsc_inside
    assert whole < 0.25 and 0.64 < masked < 0.7  # 1 / (1 + 0.49)
    torch.testing.assert_close(told, torch.full((21,), masked), rtol=0.03, atol=0)


def test_what_was_measured_is_taken_as_it_is():
    context = PriorContext.nominal(16, 3.0, 9.0, 10.0)
    assert torch.equal(context.fsc_inside, context.fsc)
    curve = torch.linspace(1, -0.1, 9)
    assert replace(context, fsc_masked=curve).fsc_inside is curve


@pytest.mark.parametrize("radius", [1e3, 24.0 * 3 ** 0.5])
def test_a_sphere_around_the_box_is_the_box(radius):
    context = PriorContext(16, 3.0, torch.linspace(1, 0, 9), torch.ones(9), 9.0, radius)
    torch.testing.assert_close(context.fsc_inside, context.fsc)


def test_curves_change_together():
    context = replace(PriorContext.nominal(8, 3.0, 9.0), trust=torch.ones(5))
    moved = context.to("meta")
    assert {each.device.type for each in (moved.fsc, moved.tau2, moved.trust, moved.fsc_masked)} == {"meta"}
    doubled = replace(context, trust=None).with_curves(lambda curve: 2 * curve, iteration=3)
    assert torch.equal(doubled.tau2, 2 * context.tau2) and doubled.trust is None and doubled.iteration == 3


def test_the_filter_of_networks_averages_neighbours_and_ends():
    fsc = torch.tensor([-0.4, 0.9, 0.5, 0.6, -0.1, 0.07, 0.3, 0.0], dtype=torch.float64)
    found = sphere_transfer(fsc, cutoff=0.1)
    inner = [(1.8 + 0.9 + 0.5) / 4, (0.9 + 1.0 + 0.6) / 4, (0.5 + 1.2 - 0.1) / 4, (0.6 - 0.2 + 0.07) / 4]
    torch.testing.assert_close(found, torch.tensor([inner[0], *inner, 0, 0, 0], dtype=torch.float64))
    assert torch.equal(sphere_transfer(torch.stack([fsc, 0 * fsc]), 0.1), torch.stack([found, 0 * found]))
    # Where no frequencies were used nothing is passed, whatever the shell before.
    assert sphere_transfer(torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0])).tolist() == [1.0, 1.0, 0.75, 0.0, 0.0]


def test_priors_that_undo_a_filter_are_told_which_it_was_also_by_what_denoisers_are_made_of():
    context = replace(PriorContext.nominal(24, 3.0, 9.0), fsc_masked=torch.linspace(1, 0.2, 13, dtype=torch.float64))
    network, inside = NetworkDenoiser(GatedUNet(2, 1)), sphere_transfer(context.fsc_masked)
    assert torch.equal(TotalVariation().target_fsc(context), context.fsc)
    for denoiser in (network, RotationAverage(network), Composition(network, Wiener())):
        assert torch.equal(denoiser.target_fsc(context), inside)
    assert torch.equal(Composition(Wiener(), network).target_fsc(context), context.fsc)
    mixed = ResolutionBands([network, Wiener()], edges=11.0, width=0.0).target_fsc(context)
    torch.testing.assert_close(mixed, torch.where(torch.arange(13) <= 6, inside, context.fsc))
