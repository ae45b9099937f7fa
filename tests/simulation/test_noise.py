import numpy as np
import pytest

from cryoinv.errors import InputError
from cryoinv.simulation import noise_power
from cryoinv.simulation.noise import draw_noise
from cryoinv.spaces.spectrum import hermitian_weights, shell_indices


@pytest.mark.parametrize("n", [24, 25])
@pytest.mark.parametrize("kind", ["white", "coloured"])
def test_noise_has_its_power_and_unit_variance(n, kind):
    power, count, rng = noise_power(n, 3.0, kind), 400, np.random.default_rng(0)
    images = np.stack([draw_noise(n, power, rng) for _ in range(count)]).astype(float)
    assert abs(images.var(axis=(1, 2)).mean() - 1) < 0.02
    assert abs((images**2).mean() - 1) < 0.02
    shells = shell_indices(n, ndim=2).numpy()
    weights = np.broadcast_to(hermitian_weights(n).numpy(), shells.shape)
    spectra = (np.abs(np.fft.rfft2(images, norm="ortho")) ** 2).mean(axis=0)
    for shell in range(n // 2 + 1):
        members = shells == shell
        measured = np.average(spectra[members], weights=weights[members])
        error = np.sqrt(2 / (count * weights[members].sum()))  # of a mean of chi-squares
        assert abs(measured / power[shell] - 1) < 5 * error


def test_coloured_noise_falls_off_to_a_floor():
    power = noise_power(64, 3.0, "coloured")
    assert (np.diff(power) < 0).all()
    floor = power[0] / 10
    assert np.isclose(np.interp(64 * 3.0 / 40.0, np.arange(len(power)), power), 5.5 * floor, rtol=0.01)


def test_unknown_noise():
    with pytest.raises(InputError, match="'pink', expected one of white, coloured"):
        noise_power(16, 1.0, "pink")
