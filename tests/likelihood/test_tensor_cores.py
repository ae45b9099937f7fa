"""The choice of TF32: by what it changes, and for the products of the E-step only."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cryoinv.geometry import PointGroup, SO3Grid
from cryoinv.likelihood import ExhaustiveSearch, FourierImages, MarginalLikelihood
from cryoinv.likelihood import tensor_cores as module
from cryoinv.likelihood.expectation import Expectation
from cryoinv.likelihood.tensor_cores import MOST_NATS, is_harmless, tf32, tf32_error
from cryoinv.operators import FourierDisc, TrilinearInterpolation

from .problems import ArrayParticles, random_noise, random_volume, simulate

PRODUCTS = torch.backends.cuda.matmul
HAS_NEWER_NAME = hasattr(PRODUCTS, "fp32_precision")
NAME = "fp32_precision" if HAS_NEWER_NAME else "allow_tf32"


@pytest.fixture(autouse=True)
def setting():
    """Torch's own setting is put back, by the name that leaves no mixture of names behind."""
    before = getattr(PRODUCTS, NAME)
    yield
    setattr(PRODUCTS, NAME, before)


def allowed():
    """Whether products may use TF32, read in the way that works after any other."""
    return getattr(PRODUCTS, NAME) in (True, "tf32")


class Grid:
    """Whose evidence depends on the precision of products."""

    def __init__(self, change):
        self.change = change

    def posterior(self, terms):
        reduced = allowed()
        evidence = torch.tensor([10.0, 20.0]) + reduced * torch.tensor([0.0, self.change])
        return SimpleNamespace(summary=SimpleNamespace(log_evidence=evidence, max_probability=torch.ones(2)))


def test_error_is_the_largest_of_the_block_and_decides():
    assert tf32_error(Grid(-0.25), None) == pytest.approx(0.25)
    assert is_harmless(Grid(0.5 * MOST_NATS), None)
    assert not is_harmless(Grid(2 * MOST_NATS), None)


@pytest.mark.parametrize("newer", [True, False])
@pytest.mark.parametrize("before", [True, False])
def test_the_setting_is_put_back_even_after_an_error(before, newer, monkeypatch):
    if newer and not HAS_NEWER_NAME:
        pytest.skip("this torch has the older name only")
    monkeypatch.setattr(module, "_has_newer_name", lambda: newer)
    PRODUCTS.allow_tf32 = before
    with pytest.raises(ValueError), tf32(not before):
        assert allowed() is not before
        raise ValueError
    assert PRODUCTS.allow_tf32 is before


@pytest.mark.skipif(not HAS_NEWER_NAME, reason="this torch has the older name only")
def test_a_caller_may_use_the_newer_name_of_the_setting():
    PRODUCTS.fp32_precision = "tf32"  # from now on torch refuses to read the older one
    with tf32(False):
        assert PRODUCTS.fp32_precision == "ieee"
    assert PRODUCTS.fp32_precision == "tf32"
    likelihood, volume = problem()
    assert likelihood.expectation(volume).data.isfinite().all()
    assert likelihood.posterior(volume, np.arange(3)).isfinite().all()
    assert PRODUCTS.fp32_precision == "tf32"


def problem(n=8):
    volume = random_volume(n).float()
    pictures, _ = simulate(volume.double(), 3, 0.5, seed=1)
    images = FourierImages(ArrayParticles(pictures), dtype=torch.float32)
    return MarginalLikelihood(images, random_noise(n), ExhaustiveSearch(SO3Grid(0)), TrilinearInterpolation(n)), volume


@pytest.mark.parametrize(("device", "inside"), [("cuda", False), ("cpu", True)])
def test_nothing_of_an_e_step_on_a_gpu_uses_a_tf32_that_the_caller_allows(device, inside, monkeypatch):
    seen = []

    def one_pass(step, search, indices):
        seen.append(allowed())

    monkeypatch.setattr(Expectation, "_exhaustive", one_pass)
    PRODUCTS.allow_tf32 = True
    images = SimpleNamespace(device=torch.device(device), disc=FourierDisc(8))
    scheme = TrilinearInterpolation(8)
    Expectation(images, random_noise(8), scheme, None, 5, PointGroup("C1")).run(ExhaustiveSearch(SO3Grid(0)), None)
    assert seen == [inside] and PRODUCTS.allow_tf32


def test_an_e_step_that_has_not_run_has_sums_and_begins_afresh_each_time():
    likelihood, volume = problem()
    step = likelihood._step(likelihood._prepared(volume))
    assert not step.accumulator.residuals.total.any()
    totals = [step.run(likelihood.search, np.arange(3))[0].residuals.total for _ in range(2)]
    assert totals[0].any() and torch.equal(*totals)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_tf32_on_a_gpu_changes_posteriors_by_less_than_the_bound():
    from cryoinv.likelihood.scores import image_terms
    from cryoinv.noise import RadialGaussianNoise

    volume = random_volume(16).float().cuda()
    pictures, _ = simulate(volume.double().cpu(), 8, 0.5, seed=1)
    images = FourierImages(ArrayParticles(pictures), "cuda", torch.float32)
    likelihood = MarginalLikelihood(
        images,
        RadialGaussianNoise.white(0.5, 9),
        ExhaustiveSearch(SO3Grid(1), 1.0),
        TrilinearInterpolation(16),
    )
    step = likelihood._step(likelihood._prepared(volume))
    grid = step.shared_grid(likelihood.search)
    assert tf32_error(grid, image_terms(images, likelihood.noise, 0, np.arange(8), step.count)) <= MOST_NATS
