"""The Gaussian prior inside an automatic solvent mask."""

import pytest
import torch

from cryoinv.denoisers import solvent_mask
from cryoinv.errors import InputError
from cryoinv.priors import GaussianPrior, MaskedGaussianPrior
from cryoinv.solvers import ClosedForm

from .prior_cases import SCHEMES, problem


@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_is_the_gaussian_map_times_the_mask_of_the_unregularised_map(scheme):
    statistics, context = problem(scheme)
    masked = MaskedGaussianPrior(2.0, lowpass=10.0, extend=2.0, edge=5.0).bind(statistics, context)
    solution = ClosedForm()(statistics, masked)
    assert torch.equal(solution, ClosedForm()(statistics, GaussianPrior(2.0).bind(statistics, context)))
    mask = solvent_mask(
        statistics.to_volume(statistics.unregularised()), context, lowpass=10.0, extend=2.0, edge=5.0
    )
    volume = statistics.to_volume(solution)
    torch.testing.assert_close(masked.post_process(volume), mask * volume)
    assert 0 < mask.mean() < 0.5


@pytest.mark.parametrize("option", [{"tau2_fudge": 0.0}, {"lowpass": -1.0}, {"edge": 0.0}, {"extend": float("nan")}])
def test_options_out_of_range_are_refused(option):
    with pytest.raises(InputError, match=next(iter(option))):
        MaskedGaussianPrior(**option)
