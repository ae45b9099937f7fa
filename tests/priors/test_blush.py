"""Denoiser, mask and spectral trailing after the Gaussian M-step."""

import pytest
import torch

from cryoinv.denoisers import Denoiser, PriorContext, solvent_mask
from cryoinv.errors import InputError
from cryoinv.priors import BlushStyle, GaussianPrior
from cryoinv.solvers import ClosedForm
from cryoinv.spaces import centred_irfft, centred_rfft, radial_expand

from .prior_cases import SCHEMES, problem


class Cube(Denoiser):
    """Makes up high frequencies."""

    def denoise(self, volume, context):
        return volume**3


class Wrong(Denoiser):
    def denoise(self, volume, context):
        return volume[1:]


@pytest.mark.parametrize("acts_on", ["map", "unregularised"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_map_is_denoised_masked_and_trailed(scheme, acts_on):
    statistics, context = problem(scheme)
    prior = BlushStyle(Cube(), acts_on, cutoff=0.4, margin=1)
    bound = prior.bind(statistics, context)
    solution = ClosedForm()(statistics, bound)
    assert torch.equal(solution, ClosedForm()(statistics, GaussianPrior().bind(statistics, context)))
    volume = statistics.to_volume(solution)
    unregularised = statistics.to_volume(statistics.unregularised())
    source = volume if acts_on == "map" else unregularised
    spectrum = centred_rfft(solvent_mask(unregularised, context) * source**3)
    factor = radial_expand(prior.trailing(context), scheme.n, outside=0.0)
    torch.testing.assert_close(bound.post_process(volume), centred_irfft(factor * spectrum, scheme.n))


def test_nothing_passes_beyond_the_end_of_the_fsc_and_its_margin():
    fsc = torch.tensor([0.0, 0.9, 0.8, 0.5, 0.04, 0.3, 0.3, 0.3, 0.3])  # what comes back is chance
    context = PriorContext(16, 2.0, fsc, torch.ones(9), 8.0, 12.0)
    factor = BlushStyle(margin=2).trailing(context)
    assert (factor[:4] == 1).all() and (factor[6:] == 0).all()
    torch.testing.assert_close(factor[4:6], torch.tensor([0.75, 0.25], dtype=torch.float64))
    assert (BlushStyle(margin=0).trailing(context)[4:] == 0).all()


def test_the_whole_spectrum_passes_where_the_fsc_never_ends():
    context = PriorContext(16, 2.0, torch.ones(9), torch.ones(9), 8.0, 12.0)
    assert (BlushStyle().trailing(context) == 1).all()


def test_a_denoiser_that_returns_another_shape_is_named():
    statistics, context = problem(SCHEMES[0])
    with pytest.raises(InputError, match="Wrong"):
        BlushStyle(Wrong()).bind(statistics, context).post_process(torch.zeros(12, 12, 12))


@pytest.mark.parametrize("option", [{"acts_on": "maps"}, {"cutoff": 1.0}, {"margin": -1}, {"lowpass": 0.0}])
def test_options_out_of_range_are_refused(option):
    with pytest.raises(InputError, match=next(iter(option))):
        BlushStyle(**option)
