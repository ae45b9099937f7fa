"""All M-steps find the closed form's solution of a Gaussian prior; which prior each of them takes."""

import numpy as np
import pytest
import torch

from cryoinv.errors import InputError
from cryoinv.geometry import Poses, random_rotations
from cryoinv.likelihood import FourierImages, known_pose_statistics
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators.interpolation import NufftInterpolation, TrilinearInterpolation
from cryoinv.priors import BoundPrior, GaussianPrior, Prior, PriorContext, VolumePrior
from cryoinv.solvers import (
    ADMM,
    LBFGS,
    ClosedForm,
    FixedPoint,
    GradientDescent,
    ProximalGradient,
    REDUpdate,
    m_step_for,
    m_step_from,
)

from ..likelihood.problems import ArrayParticles, random_volume, simulate

SCHEMES = {"pad2-even": TrilinearInterpolation(16), "pad1-odd": TrilinearInterpolation(17, 1), "nufft": NufftInterpolation(16)}


class Hidden(Prior):
    """A Gaussian prior that shows only part of what it has."""

    def __init__(self, *names):
        for name in names:
            setattr(self, f"has_{name}", True)
        self.names = names

    def bind(self, statistics, context):
        return _Hidden(self, GaussianPrior().bind(statistics, context))


class _Hidden(BoundPrior):
    def __init__(self, prior, whole):
        super().__init__(whole.domain)
        self.whole, self.names = whole, prior.names
        self.damping = whole.precision if "correction" in self.names else None

    def offers(self, name):
        return name in self.names

    def _call(self, x):
        assert "value" in self.names
        return self.whole(x)

    @property
    def gradient(self):
        assert "gradient" in self.names
        return self.whole.gradient

    def proximal(self, step):
        assert "proximal" in self.names
        return self.whole.proximal(step)


def made(scheme, dtype=torch.float64, count=150):
    """Statistics of images at random known poses; K falls from the origin and is zero outside the images' disc."""
    n = scheme.n
    images, rotations = simulate(random_volume(n), count, 0.2, seed=1)
    fourier = FourierImages(ArrayParticles(images), dtype=dtype)
    noise = RadialGaussianNoise.white(0.2, n // 2 + 1)
    return known_pose_statistics(fourier, noise, Poses(rotations), scheme)


def context(n, low=1e2, high=1e-3, dead=0):
    """Signal power that falls over five orders of magnitude; the last shells may have none."""
    tau2 = torch.logspace(np.log10(low), np.log10(high), n // 2 + 1, dtype=torch.float64)
    if dead:
        tau2[-dead:] = 1e-30
    return PriorContext(n, 1.0, torch.ones(n // 2 + 1), tau2, 4.0, n / 2)


def error(found, expected):
    return float(torch.linalg.vector_norm(found - expected) / torch.linalg.vector_norm(expected))

if __name__ == "__main__":
    import time
    for name, scheme in SCHEMES.items():
        s = made(scheme)
        K = s.curvature()
        print(name, K.max(), K[K>0].mean(), K[K>0].min(), (K==0).float().mean(), s.shell_mean(K))
        for dead in (0, 2):
            c = context(scheme.n, dead=dead)
            truth = ClosedForm()(s, GaussianPrior().bind(s, c))
            for names, step in [
                (("proximal",), ADMM(5000, tolerance=1e-10)),
                (("proximal",), ADMM(5000, adaptive=True, tolerance=1e-10)),
                (("proximal",), ADMM(5000, 1e-3, True, tolerance=1e-10)),
                (("proximal",), ADMM(5000, 1e3, True, tolerance=1e-10)),
                (("proximal",), ProximalGradient(5000, tolerance=1e-12)),
                (("proximal",), ProximalGradient(5000, False, tolerance=1e-12)),
                (("gradient","value"), ProximalGradient(5000, tolerance=1e-12)),
                (("gradient","correction"), ProximalGradient(5000, tolerance=1e-12)),
                (("gradient","value"), ProximalGradient(5000, False, tolerance=1e-12)),
                (("gradient","value"), GradientDescent(5000, tolerance=1e-12)),
                (("gradient","value", "correction"), GradientDescent(5000, tolerance=1e-12)),
                (("gradient","value"), LBFGS(2000, tolerance=1e-12)),
                (("gradient","value", "correction"), LBFGS(2000, tolerance=1e-12)),
                ]:
                seen = []; t=time.time()
                x = step(s, Hidden(*names).bind(s, c), seen.append)
                print(dead, names, step, len(seen), f'{error(x, truth):.1e} {time.time()-t:.2f}')
