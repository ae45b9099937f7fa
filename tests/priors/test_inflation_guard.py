"""The inflation guard: what half-maps leave of the confidence in a denoiser."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cryoinv.errors import InputError
from cryoinv.metrics import fourier_shell_correlation
from cryoinv.operators import soft_sphere
from cryoinv.priors import trust_factor
from cryoinv.spaces import centred_irfft, centred_rfft, radial_expand

N = 24


def curve(a, b):
    return torch.as_tensor(fourier_shell_correlation(a, b))


@pytest.fixture(scope="module")
def halves():
    generator = torch.Generator().manual_seed(0)
    signal, *noise = (torch.randn(N, N, N, generator=generator, dtype=torch.float64) for _ in range(3))
    fading = radial_expand(torch.linspace(3, 0.1, N // 2 + 1, dtype=torch.float64), N)
    signal = centred_irfft(fading * centred_rfft(signal), N)
    return [signal + each for each in noise]


def test_a_radial_filter_is_trusted(halves):
    falling = radial_expand(torch.linspace(1, 0.01, N // 2 + 1, dtype=torch.float64), N)
    filtered = [centred_irfft(falling * centred_rfft(half), N) for half in halves]
    assert torch.equal(trust_factor(curve(*filtered), curve(*halves)), torch.ones(N // 2 + 1, dtype=torch.float64))


def test_a_sphere_is_trusted_where_both_curves_have_it():
    """A mask clears the noise outside by right, which the guard sees only if it compares like with like."""
    generator = torch.Generator().manual_seed(0)
    signal, *noise = (torch.randn(N, N, N, generator=generator, dtype=torch.float64) for _ in range(3))
    sphere = soft_sphere(N, 8, 2.0, dtype=torch.float64)
    maps = [0.7 * sphere * signal + each for each in noise]
    falling = radial_expand(torch.linspace(1, 0.5, N // 2 + 1, dtype=torch.float64), N)
    denoised = curve(*(sphere * centred_irfft(falling * centred_rfft(each), N) for each in maps))
    assert float(trust_factor(denoised, curve(*(sphere * each for each in maps)))[2:].min()) > 0.99
    assert float(trust_factor(denoised, curve(*maps))[2:].mean()) < 0.8


def test_one_that_writes_the_same_into_both_is_not(halves):
    common = torch.randn(N, N, N, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    inflated = [half + common for half in halves]
    trust = trust_factor(curve(*inflated), curve(*halves))
    assert not trust[-4:].any()  # where there was no signal
    assert (trust[1:4] > 0.5).all()  # where it was strong


@given(st.floats(-1, 2), st.floats(0.01, 0.5))
def test_rule(excess, allowance):
    base = torch.linspace(1, 0, 9, dtype=torch.float64)
    found = trust_factor(base + excess, base, allowance)
    expected = min(max((3 * allowance - excess) / (2 * allowance), 0), 1)
    torch.testing.assert_close(found, torch.full((9,), expected, dtype=torch.float64), rtol=1e-9, atol=1e-9)


def test_the_zeroth_shell_and_single_shells_do_not_decide():
    base = torch.zeros(13)
    single = base.clone()
    single[0], single[6] = 1.0, 0.2
    assert torch.equal(trust_factor(single, base), torch.ones(13, dtype=torch.float64))
    assert trust_factor(single, base, window=1)[6] == 0


@pytest.mark.parametrize(
    ("curves", "options"),
    [
        ((torch.ones(5), torch.ones(6)), {}),
        ((torch.ones(1), torch.ones(1)), {}),
        ((torch.full((5,), torch.nan), torch.ones(5)), {}),
        ((torch.ones(5), torch.ones(5)), {"allowance": 0.0}),
        ((torch.ones(5), torch.ones(5)), {"window": 4}),
    ],
)
def test_curves_and_options_that_do_not_suit_are_refused(curves, options):
    with pytest.raises(InputError):
        trust_factor(*curves, **options)
