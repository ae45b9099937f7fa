"""Compositions and averages over rotations."""

import pytest
import torch

from cryoinv.denoisers import (
    Composition,
    Denoiser,
    LowPass,
    RotationAverage,
    TotalVariation,
    Wiener,
    denoiser_from,
)
from cryoinv.errors import InputError
from cryoinv.spaces import cube_rotations, rotate_by_cube

from .denoiser_cases import problem


class Times(Denoiser):
    """Multiplies and adds: whatever the order is, it shows."""

    def __init__(self, factor=1.0, shift=0.0):
        self.factor, self.shift = factor, shift

    def denoise(self, volume, context):
        return self.factor * volume + self.shift


class Crooked(Denoiser):
    """Commutes with no rotation and is not linear."""

    def denoise(self, volume, context):
        ramp = torch.linspace(0.5, 2, len(volume), dtype=volume.dtype)
        return torch.relu(volume * ramp[:, None, None] + 0.3 * volume.roll((1, -2), (1, 2)))


def test_first_acts_first():
    _, x, context = problem(8)
    found = Composition(first=Times(2.0), then=Times(shift=1.0)).denoise(x, context)
    torch.testing.assert_close(found, 2 * x + 1)


def test_specifications_nest():
    spec = "compose,first=(compose,first=wiener,then=(lowpass,resolution=12)),then=(rotations,denoiser=tv,count=4)"
    expected = Composition(Composition(Wiener(), LowPass(12)), RotationAverage(TotalVariation(), 4))
    assert repr(denoiser_from(spec)) == repr(expected)


@pytest.mark.parametrize("n", [8, 9])
@pytest.mark.parametrize("count", [24, 12, 4])
def test_average_commutes_with_its_group(n, count):
    _, x, context = problem(n)
    f = RotationAverage(Crooked(), count)
    value = f.denoise(x, context)
    for rotation in cube_rotations(count):
        turned = f.denoise(rotate_by_cube(x, rotation), context)
        torch.testing.assert_close(turned, rotate_by_cube(value, rotation), rtol=0, atol=1e-14)
    assert (value - Crooked().denoise(x, context)).norm() > 0.1 * value.norm()


def test_a_smaller_group_is_not_the_whole():
    _, x, context = problem(9)
    f, quarter = RotationAverage(Crooked(), 4), cube_rotations()[12:][0]
    turned = f.denoise(rotate_by_cube(x, quarter), context)
    assert (turned - rotate_by_cube(f.denoise(x, context), quarter)).norm() > 1e-3 * turned.norm()


@pytest.mark.parametrize("n", [8, 9])
def test_average_of_what_commutes_is_itself(n):
    _, x, context = problem(n)
    torch.testing.assert_close(RotationAverage(Wiener()).denoise(x, context), Wiener().denoise(x, context))


def test_gradients_pass():
    _, x, context = problem(8)
    x.requires_grad_()
    Composition(Wiener(), RotationAverage(Crooked(), 4)).denoise(x, context).sum().backward()
    assert x.grad.abs().sum() > 0


def test_what_is_made_of_linear_denoisers_is_linear():
    assert Composition(Wiener(), LowPass()).is_linear and RotationAverage(Wiener()).is_linear
    assert not Composition(Wiener(), TotalVariation()).is_linear and not RotationAverage(TotalVariation()).is_linear
    assert Composition(TotalVariation(), Wiener()).needs_whole_box and RotationAverage(TotalVariation()).needs_whole_box
    assert not Composition(LowPass(), Wiener()).needs_whole_box


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("compose,first=wiener", "missing .* 'then'"),
        ("compose,first=wiener,then=winer", "unknown denoiser 'winer'.* did you mean 'wiener'"),
        ("compose,first=wiener,then=(tv,strenth=2)", "no option 'strenth'.* did you mean 'strength'"),
        ("rotations,denoiser=wiener,count=5", "found 5 rotations of the cube, expected one of 1, 4, 12, 24"),
        ("rotations", "missing .* 'denoiser'"),
    ],
)
def test_bad_specifications_are_refused_by_name(spec, said):
    with pytest.raises(InputError, match=said):
        denoiser_from(spec)


@pytest.mark.parametrize(
    "make", [lambda x: Composition(x, Wiener()), lambda x: Composition(Wiener(), x), RotationAverage]
)
def test_what_is_no_denoiser_is_refused(make):
    with pytest.raises(InputError, match="found a str"):
        make("wiener")
