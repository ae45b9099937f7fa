"""The list of independent Fourier pixels."""

import pytest
import torch

from cryoinv.errors import InputError
from cryoinv.operators.pixels import FourierDisc
from cryoinv.spaces.spectrum import centred_irfft, centred_rfft, frequencies, hermitian_weights, shell_indices


@pytest.mark.parametrize("n", [7, 8])
@pytest.mark.parametrize("r_max", [0, 1, 2, 3])
def test_power_in_the_disc_is_counted_once(n, r_max):
    spectrum = centred_rfft(torch.randn(n, n, dtype=torch.float64), 2)
    full, half = frequencies(n)
    inside = full[:, None] ** 2 + half**2 <= r_max**2
    expected = (hermitian_weights(n) * spectrum.abs() ** 2)[inside].sum()
    disc = FourierDisc(n, r_max)
    assert torch.allclose((disc.weights * spectrum.flatten()[disc.index].abs() ** 2).sum(), expected)


@pytest.mark.parametrize("n", [7, 8])
def test_pixels_name_their_place_in_the_layout(n):
    disc = FourierDisc(n)
    assert torch.equal(disc.pixels[:, 1] % n * (n // 2 + 1) + disc.pixels[:, 0], disc.index)
    assert torch.equal(shell_indices(n, 2).flatten()[disc.index], disc.shells)
    assert int(disc.shells.max()) == (n - 1) // 2


@pytest.mark.parametrize("n", [7, 8])
@pytest.mark.parametrize("r_max", [0, 1, 2])
def test_a_smaller_disc_is_a_prefix(n, r_max):
    disc, smaller = FourierDisc(n), FourierDisc(n, r_max)
    assert disc.within(r_max) == len(smaller)
    assert torch.equal(disc.pixels[: len(smaller)], smaller.pixels)


@pytest.mark.parametrize(("n", "r_max"), [(8, 4), (7, 4), (8, -1)])
def test_radius_beyond_the_disc_is_refused(n, r_max):
    with pytest.raises(InputError, match="expected 0 to 3"):
        FourierDisc(n, r_max)


@pytest.mark.parametrize("n", [7, 8])
@pytest.mark.parametrize("r_max", [0, 1, 3])
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_compiled_placing_and_collecting_are_those_of_torch(n, r_max, dtype):
    disc, generator = FourierDisc(n, r_max), torch.Generator().manual_seed(0)
    values = torch.randn(3, len(disc), dtype=dtype, generator=generator)
    spectra = torch.randn(3, n, n // 2 + 1, dtype=dtype, generator=generator)
    for factors in (None, disc.centring):
        for argument in (values, values.conj(), values[:0]):
            placed = (disc.place(argument, factors, compiled) for compiled in (True, False))
            torch.testing.assert_close(*placed, rtol=1e-6, atol=1e-7)
        for argument in (spectra, spectra.conj(), spectra[:0]):
            torch.testing.assert_close(*(disc.collect(argument, factors, compiled) for compiled in (True, False)))


@pytest.mark.parametrize("n", [7, 8])
def test_centring_puts_the_origin_in_the_middle_of_images(n):
    disc = FourierDisc(n)
    values = torch.randn(2, len(disc), dtype=torch.complex128)
    images = torch.fft.irfft2(disc.place(values, disc.centring), s=(n, n), norm="ortho")
    torch.testing.assert_close(images, centred_irfft(disc.place(values), n, 2))
    spectra = torch.fft.rfft2(images, norm="ortho")
    torch.testing.assert_close(disc.collect(spectra, disc.centring), disc.collect(centred_rfft(images, 2)))


def test_placing_and_collecting_keep_gradients():
    disc = FourierDisc(8)
    values = torch.randn(2, len(disc), dtype=torch.complex128, requires_grad=True)
    spectra = torch.randn(2, 8, 5, dtype=torch.complex128, requires_grad=True)
    placed, collected = disc.place(values), disc.collect(spectra)
    assert placed.requires_grad and collected.requires_grad
    assert torch.equal(placed.detach(), disc.place(values.detach()))
