"""Sub-pixel shifts."""

import numpy as np
import pytest
import torch
from operator_cases import images, shifts

from cryoinv import testing
from cryoinv.errors import InputError
from cryoinv.operators import FourierDisc, FourierTransform, Shift, shift_at_pixels, shift_values
from cryoinv.spaces import HermitianSpace, ImageSpace, symmetrise


@pytest.mark.parametrize("n", [8, 9])
def test_whole_pixels_roll_the_image(n):
    space = ImageSpace(n, dtype="float64", count=2)
    transform = FourierTransform(space)
    shift = Shift(transform.range, [[2.0, -1.0], [0.0, 3.0]])
    x = testing.random_element(space)
    moved = transform.adjoint(shift(transform(x))).data
    assert torch.allclose(moved[0], x.data[0].roll((-1, 2), (0, 1)))
    assert torch.allclose(moved[1], x.data[1].roll((3, 0), (0, 1)))


@pytest.mark.parametrize("n", [8, 9])
def test_real_images_stay_real(n):
    transform = FourierTransform(ImageSpace(n, dtype="float64", count=3))
    spectra = transform(testing.random_element(transform.domain))
    moved = Shift(transform.range, shifts())(spectra).data
    assert torch.allclose(symmetrise(moved, n, 2), moved, atol=1e-14)


def test_sub_pixel_shift_moves_a_smooth_blob():
    n, t = 33, (1.3, -2.6)
    axis = np.arange(n) - n // 2
    y, x = np.meshgrid(axis, axis, indexing="ij")

    def blob(a, b):
        return torch.from_numpy(np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * 2.0**2)))

    transform = FourierTransform(ImageSpace(n, dtype="float64"))
    moved = transform.adjoint(Shift(transform.range, t)(transform(blob(0, 0))))
    assert torch.allclose(moved.data, blob(*t), atol=1e-7)


@pytest.mark.parametrize("n", [8, 9])
def test_shift_and_back_is_the_identity_below_nyquist(n):
    space = images(n, "float64")
    x = testing.random_element(space)
    back = Shift(space, -shifts())(Shift(space, shifts())(x))
    index = FourierDisc(n).index
    assert torch.allclose(back.data.flatten(1)[:, index], x.data.flatten(1)[:, index])
    testing.assert_isometry(Shift(HermitianSpace(9, 2, dtype="complex128", count=3), shifts()))


@pytest.mark.parametrize("n", [8, 9])
def test_pixels_agree_with_the_layout(n):
    disc = FourierDisc(n)
    layout = shift_values(n, shifts()).flatten(1)[:, disc.index]
    assert torch.allclose(shift_at_pixels(disc.pixels, n, shifts()), layout)


def test_one_shift_serves_all_images_or_a_single_one():
    space = images(8, "float64")
    x = testing.random_element(space)
    assert torch.equal(Shift(space, [1.0, 2.0])(x).data[2], Shift(space.with_count(None), [1.0, 2.0])(x[2]).data)


@pytest.mark.parametrize(
    ("given", "message"), [(np.zeros((2, 2)), "expected"), (np.zeros(3), "expected"), ([np.nan, 0], "NaN")]
)
def test_wrong_shifts_are_named(given, message):
    with pytest.raises(InputError, match=message):
        Shift(images(8, "float64"), given)
