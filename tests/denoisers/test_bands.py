"""Denoisers in resolution bands."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cryoinv.denoisers import Denoiser, LowPass, PriorContext, ResolutionBands, Wiener, denoiser_from
from cryoinv.errors import InputError
from cryoinv.spaces import centred_rfft, shell_indices


class Gain(Denoiser):
    is_linear = True

    def __init__(self, gain):
        self.gain = gain

    def denoise(self, volume, context):
        return self.gain * volume


def noise(n, dtype=torch.float64):
    return torch.randn(n, n, n, generator=torch.Generator().manual_seed(0), dtype=dtype)


@given(st.lists(st.floats(3, 60), min_size=1, max_size=4, unique=True), st.floats(0, 8))
def test_bands_sum_to_one_and_are_not_negative(edges, width):
    edges = sorted(edges, reverse=True)
    bands = ResolutionBands([Wiener()] * (len(edges) + 1), edges, width)
    parts = bands.partition(PriorContext.nominal(24, 2.0, 8.0))
    torch.testing.assert_close(parts.sum(0), torch.ones(13, dtype=torch.float64), rtol=1e-15, atol=1e-15)
    assert float(parts.min()) >= 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [12, 13])
def test_bands_of_one_denoiser_are_that_denoiser(n, dtype):
    context, volume = PriorContext.nominal(n, 2.0, 8.0), noise(n, dtype)
    found = ResolutionBands([Wiener()] * 3, "12;6").denoise(volume, context)
    assert found.dtype == dtype and torch.equal(found, Wiener().denoise(volume, context))


@pytest.mark.parametrize("n", [16, 17])
def test_each_band_is_its_own_denoisers(n):
    context = PriorContext.nominal(n, 2.0, 8.0)
    bands = ResolutionBands([Gain(1.0), Gain(2.0), Gain(3.0)], (2 * n / 2.5, 2 * n / 5.5), width=0)
    volume = noise(n)
    ratio = (centred_rfft(bands.denoise(volume, context)) / centred_rfft(volume)).real
    shells = shell_indices(n)
    expected = (1 + (shells > 2).long() + (shells > 5)).double()
    torch.testing.assert_close(ratio, expected)


def test_it_is_linear_if_all_are():
    class Other(Gain):
        is_linear = False

    assert ResolutionBands([Gain(1.0), Gain(2.0)]).is_linear
    assert not ResolutionBands([Gain(1.0), Other(2.0)]).is_linear


def test_specification():
    made = denoiser_from("bands,denoisers=(lowpass,resolution=20;bands,denoisers=(wiener;lowpass);wiener),edges=12;6")
    assert len(made.denoisers) == 3 and isinstance(made.denoisers[1].denoisers[1], LowPass)
    assert made.edges == (12.0, 6.0) and isinstance(denoiser_from("bands"), ResolutionBands)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"denoisers": [Wiener()]}, "1 denoisers and 1 edges"),
        ({"denoisers": [Wiener()] * 3, "edges": (6, 12)}, "descending"),
        ({"edges": "12;x"}, "numbers in Å"),
        ({"edges": -3}, "positive"),
        ({"edges": None}, "numbers in Å"),
        ({"width": -1}, "width"),
        ({"denoisers": ["wiener", "lowpass"]}, "a str, expected a Denoiser"),
    ],
)
def test_options_that_do_not_suit_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        ResolutionBands(**options)
