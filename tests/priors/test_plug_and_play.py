"""A denoiser in the place of a proximal map."""

import pytest
import torch

from cryoinv.denoisers import Wiener
from cryoinv.errors import InputError
from cryoinv.priors import PlugAndPlay, SpectralDenoiser, prior_from
from cryoinv.solvers import ClosedForm
from cryoinv.testing import assert_adjoint, assert_linear

from .denoising import SCHEMES, Counted, context, statistics


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
class TestSchemes:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_proximal_is_the_denoiser_whatever_the_step(self, scheme, dtype):
        s = statistics(scheme, dtype=dtype)
        bound = PlugAndPlay(Counted()).bind(s, context(scheme.n))
        z = s.space.element(s.data)
        expected = s.from_volume(torch.tanh(s.to_volume(s.data)))
        for step in (0.1, 10.0):
            assert torch.equal(bound.proximal(step)(z).data, expected)

    def test_a_linear_denoiser_is_a_linear_operator_with_an_adjoint(self, scheme):
        s = statistics(scheme)
        operator = SpectralDenoiser(Wiener(), s, context(scheme.n))
        assert_linear(operator)
        assert_adjoint(operator)


def test_it_offers_a_proximal_map_alone():
    assert PlugAndPlay().offers() == ["proximal"]
    assert repr(prior_from("pnp,denoiser=(lowpass,resolution=9)")) == "PlugAndPlay(denoiser=LowPass(resolution=9))"
    with pytest.raises(InputError, match="precision is lacking"):
        ClosedForm().check(PlugAndPlay())
