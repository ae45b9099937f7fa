"""RED with several denoisers."""

import torch

from cryoinv.denoisers import LowPass, ResolutionBands, Wiener
from cryoinv.priors import RED, ConsensusOfDenoisers, prior_from
from cryoinv.solvers import REDUpdate

from .denoising import SCHEMES, context, statistics


def test_it_is_red_with_bands():
    s, c = statistics(SCHEMES["pad2-even"]), context(8)
    pair = (LowPass(7.0), Wiener())
    found = REDUpdate()(s, ConsensusOfDenoisers(pair, 6.0, weight=0.7).bind(s, c))
    assert torch.equal(found, REDUpdate()(s, RED(ResolutionBands(pair, 6.0), 0.7).bind(s, c)))
    assert ConsensusOfDenoisers().offers() == RED().offers()


def test_specification_on_the_command_line():
    prior = prior_from("consensus,denoisers=(lowpass,resolution=20;wiener;lowpass),edges=12;6,weight=0.5")
    assert [repr(each) for each in prior.denoiser.denoisers] == ["LowPass(resolution=20)", "Wiener()", "LowPass()"]
    assert prior.denoiser.edges == (12, 6) and prior.weight == 0.5
