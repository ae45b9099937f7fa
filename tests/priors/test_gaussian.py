"""The Gaussian prior as an ODL functional, and the M-step it has in closed form."""

import numpy as np
import pytest
import torch

from cryoinv.errors import CryoinvError, InputError
from cryoinv.likelihood import SufficientStatistics
from cryoinv.operators.interpolation import NufftInterpolation, TrilinearInterpolation
from cryoinv.priors import BoundPrior, GaussianPrior, Prior, PriorContext, prior_from
from cryoinv.solvers import ClosedForm
from cryoinv.spaces.spectrum import centred_rfft
from cryoinv.testing import assert_gradient

SCHEMES = [TrilinearInterpolation(8, 2), TrilinearInterpolation(9, 1), NufftInterpolation(9)]


def statistics(scheme, seed=0):
    generator = torch.Generator().manual_seed(seed)
    box = scheme.box
    data = centred_rfft(torch.randn(box, box, box, generator=generator, dtype=torch.float64))
    weight = 0.1 + torch.rand(box, box, box // 2 + 1, generator=generator, dtype=torch.float64)
    return SufficientStatistics(scheme, data, weight, None, None, 2.0)


def context(n):
    shells = n // 2 + 1
    return PriorContext(
        n, 2.0, torch.linspace(1, 0, shells), torch.linspace(3, 0.1, shells).double(), 10.0, 20.0
    )


@pytest.mark.parametrize("scheme", SCHEMES, ids=["pad2-even", "pad1-odd", "nufft-odd"])
class TestGaussian:
    def test_gradient_is_that_of_the_value(self, scheme):
        s = statistics(scheme)
        assert_gradient(GaussianPrior().bind(s, context(scheme.n)), s.space.element(s.data))

    def test_proximal_minimises_its_objective(self, scheme):
        s = statistics(scheme)
        bound = GaussianPrior().bind(s, context(scheme.n))
        z, step = s.space.element(s.data), 0.7
        p = bound.proximal(step)(z)
        optimality = (p - z) + step * bound.gradient(p)
        assert optimality.norm() < 1e-12 * z.norm()

    def test_closed_form_solves_the_normal_equation(self, scheme):
        s = statistics(scheme)
        bound = GaussianPrior().bind(s, context(scheme.n))
        x = ClosedForm()(s, bound)
        torch.testing.assert_close(s.curvature() * x + bound.precision * x, s.data)

    def test_closed_form_is_where_proximal_gradient_steps_lead(self, scheme):
        """Descent of <x, Kx>/2 - <B, x> and the prior's proximal in turn, from zero, know nothing of eq. 11."""
        s = statistics(scheme)
        bound = GaussianPrior().bind(s, context(scheme.n))
        curvature = s.curvature()
        step = 1 / float(curvature.max())
        proximal, x = bound.proximal(step), s.space.zero()
        for _ in range(150):
            x = proximal(s.space.element(x.data - step * (curvature * x.data - s.data)))
        torch.testing.assert_close(ClosedForm()(s, bound), x.data, rtol=1e-12, atol=1e-12)

    def test_to_volume_and_from_volume_are_inverse(self, scheme):
        s = statistics(scheme)
        volume = torch.randn(scheme.n, scheme.n, scheme.n, dtype=torch.float64)
        torch.testing.assert_close(s.to_volume(s.from_volume(volume)), volume)


def test_power_is_looked_up_by_image_shell():
    scheme = TrilinearInterpolation(8, 2)
    bound = GaussianPrior(tau2_fudge=2.0).bind(statistics(scheme), context(8))
    tau2 = 2 * context(8).tau2
    assert float(bound.precision[0, 0, 0]) == pytest.approx(1 / float(tau2[0]))
    assert float(bound.precision[0, 0, 4]) == pytest.approx(1 / float(tau2[2]))
    assert float(bound.precision[0, 5, 0]) == pytest.approx(1 / float(tau2[3]))  # 2.5 rounds up
    assert float(bound.precision[8, 8, 8]) == pytest.approx(1 / float(tau2[4]))


def test_priors_that_differ_are_written_differently():
    priors = [GaussianPrior(), GaussianPrior(2.0), *(GaussianPrior(tau2=torch.full((3,), t)) for t in (2.0, 1.0))]
    assert len({repr(prior) for prior in priors}) == 4 and repr(priors[1]) == "GaussianPrior(tau2_fudge=2)"


def test_unknown_prior_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match="did you mean 'gaussian'"):
        prior_from("gausian")


def test_a_prior_that_lacks_what_the_m_step_needs_is_refused_by_name():
    class ScoreOnly(Prior):
        has_gradient = True

    with pytest.raises(InputError, match=r"ClosedForm needs .* precision; ScoreOnly\(\) offers gradient"):
        ClosedForm().check(ScoreOnly())


def test_a_functional_without_a_value_does_not_make_one_up():
    space = statistics(SCHEMES[0]).space
    with pytest.raises(CryoinvError, match="no value"):
        BoundPrior(space)(space.zero())


@pytest.mark.parametrize("fudge", [0.0, -1.0, np.nan])
def test_tau2_fudge_must_be_positive(fudge):
    with pytest.raises(InputError, match="tau2_fudge"):
        GaussianPrior(tau2_fudge=fudge)
