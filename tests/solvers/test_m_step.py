"""The closed form of the M-step: eq. 11, and what it tells its caller."""

import numpy as np
import torch

from cryoinv.geometry import Poses, random_rotations
from cryoinv.likelihood import FourierImages, known_pose_statistics
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators.interpolation import interpolation_scheme
from cryoinv.priors import GaussianPrior, PriorContext
from cryoinv.solvers import ClosedForm

from ..likelihood.problems import ArrayParticles

N = 8


def test_the_callback_is_told_the_solution_once():
    rng = np.random.default_rng(0)
    images = FourierImages(ArrayParticles(rng.normal(size=(5, N, N))), dtype=torch.float64)
    noise = RadialGaussianNoise.white(1.0, N // 2 + 1)
    poses = Poses(random_rotations(5, rng))
    statistics = known_pose_statistics(images, noise, poses, interpolation_scheme(N))
    context = PriorContext(N, 1.0, torch.ones(N // 2 + 1), torch.ones(N // 2 + 1), 4.0, 4.0)
    told = []
    solution = ClosedForm()(statistics, GaussianPrior().bind(statistics, context), told.append)
    assert len(told) == 1 and told[0] is solution
    torch.testing.assert_close(solution, statistics.data / (statistics.weight + 1))
