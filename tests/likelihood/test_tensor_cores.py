"""The choice of TF32: by what it changes, and for the products of the E-step only."""

from types import SimpleNamespace

import pytest
import torch

from cryoinv.likelihood.tensor_cores import MOST_NATS, is_harmless, tf32, tf32_error


class Grid:
    """Whose evidence depends on the precision of products."""

    def __init__(self, change):
        self.change = change

    def posterior(self, terms):
        reduced = torch.backends.cuda.matmul.allow_tf32
        evidence = torch.tensor([10.0, 20.0]) + reduced * torch.tensor([0.0, self.change])
        return SimpleNamespace(summary=SimpleNamespace(log_evidence=evidence, max_probability=torch.ones(2)))


def test_error_is_the_largest_of_the_block_and_decides():
    assert tf32_error(Grid(-0.25), None) == pytest.approx(0.25)
    assert is_harmless(Grid(0.5 * MOST_NATS), None)
    assert not is_harmless(Grid(2 * MOST_NATS), None)


def test_the_setting_is_put_back_even_after_an_error():
    before = torch.backends.cuda.matmul.allow_tf32
    with pytest.raises(ValueError), tf32(not before):
        assert torch.backends.cuda.matmul.allow_tf32 is not before
        raise ValueError
    assert torch.backends.cuda.matmul.allow_tf32 is before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_tf32_on_a_gpu_changes_posteriors_by_less_than_the_bound():
    import numpy as np

    from cryoinv.geometry import SO3Grid
    from cryoinv.likelihood import ExhaustiveSearch, FourierImages, MarginalLikelihood
    from cryoinv.likelihood.scores import image_terms
    from cryoinv.noise import RadialGaussianNoise
    from cryoinv.operators import TrilinearInterpolation

    from .problems import ArrayParticles, random_volume, simulate

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
