"""A small problem, and one comparison on it in memory: two Gaussian priors, and two priors that fail."""

import numpy as np
import pytest
import torch

from cryoinv.comparison import Method, compare
from cryoinv.errors import CryoinvError
from cryoinv.io import ParticleStack
from cryoinv.operators import low_pass
from cryoinv.priors import GaussianPrior
from cryoinv.refinement import RefinementSettings
from cryoinv.simulation import demo_structure, potential_map, simulate_particles

N, PIXEL, COUNT = 16, 9.0, 60
QUICK = RefinementSettings(max_shift=0.0, orientation_order=1, max_iterations=2, initial_lowpass=45.0)
HOSTILE = "<script>alert(1)</script> & \"co\" | $x$ [a](http://b)"


class Diverging(GaussianPrior):
    """Its map is not finite."""

    def bind(self, statistics, context):
        bound = super().bind(statistics, context)
        bound.precision = torch.full_like(bound.precision, float("nan"))
        return bound


class Refusing(GaussianPrior):
    """Says why it cannot."""

    def bind(self, statistics, context):
        raise CryoinvError("no such thing as <i>prior</i> knowledge")


@pytest.fixture(scope="package")
def problem():
    """Particles, reference, truth, true poses."""
    volume = potential_map(demo_structure(), N, PIXEL)
    data = simulate_particles(volume, PIXEL, COUNT, 2.0, seed=3, max_shift=0.0)
    truth = torch.as_tensor(np.array(data.volume))
    stack = ParticleStack.from_arrays(data.images(np.arange(COUNT)), PIXEL)
    return stack, low_pass(truth, PIXEL, 45.0), truth, data.poses


METHODS = [
    "gaussian",
    Diverging(),
    Method(GaussianPrior(tau2_fudge=2), label=HOSTILE),
    Method(Refusing(), label="gaussian"),
]


@pytest.fixture(scope="package")
def compared(problem, tmp_path_factory):
    """The comparison, written to a folder of its own."""
    folder = tmp_path_factory.mktemp("compared") / "run"
    found = compare(*problem[:2], METHODS, *problem[2:], settings=QUICK, output=folder, device="cpu")
    return found, folder
