"""The softmax over poses: against a dense one, in place, and within the memory it may take."""

import numpy as np
import pytest
import torch

from cryoinv.geometry import SO3Grid
from cryoinv.likelihood import ExhaustiveSearch, FourierImages, MarginalLikelihood, posterior
from cryoinv.likelihood.posterior import normalise
from cryoinv.likelihood.scores import image_terms
from cryoinv.operators import TrilinearInterpolation

from .memory import Memory
from .problems import ArrayParticles, random_noise, random_volume, simulate


@pytest.mark.parametrize("copied", [1, 70, 1 << 22], ids=["one", "some", "all"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_softmax_is_in_place_and_does_not_depend_on_how_much_is_copied(dtype, copied, monkeypatch):
    monkeypatch.setattr(posterior, "_COPIED", copied)
    scores = 60 * torch.randn(5, 3, 7, generator=torch.Generator().manual_seed(0)).to(dtype)
    flat = scores.double().clone().flatten(1)
    expected = flat.softmax(1)
    found = normalise(scores)
    assert found.weights.data_ptr() == scores.data_ptr()
    tolerance = {"rtol": 1e-5, "atol": 1e-30} if dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-30}
    torch.testing.assert_close(scores.flatten(1).double(), expected, **tolerance)
    torch.testing.assert_close(found.log_evidence, flat.logsumexp(1), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.entropy, torch.special.entr(expected).sum(1), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.max_probability, expected.max(1)[0], rtol=1e-5, atol=0)
    torch.testing.assert_close(found.mean_probability.double(), (expected**2).sum(1), rtol=1e-5, atol=0)
    assert torch.equal(found.best, flat.argmax(1))


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_of_a_block_fit_into_the_memory_allowed(paired, dtype, monkeypatch):
    monkeypatch.setattr(posterior, "_COPIED", 1, raising=False)
    monkeypatch.setattr("cryoinv.likelihood.paired_grid._compiled", lambda: False)
    n, allowed, search = 16, 1 << 22, ExhaustiveSearch(SO3Grid(1), 2.0)
    volume = random_volume(n)
    pictures, _ = simulate(volume, 120, 1.0, seed=1)
    images = FourierImages(ArrayParticles(pictures), dtype=dtype)
    if not paired:
        search.pairs = None
    likelihood = MarginalLikelihood(images, random_noise(n), search, TrilinearInterpolation(n), memory_bytes=allowed)
    step = likelihood._step(likelihood._prepared(volume))
    grid, size = step.shared_grid(search), step.block_size(search)
    terms = image_terms(images, likelihood.noise, 0, np.arange(size), step.count)
    with Memory() as memory:
        grid.posterior(terms)
    table = size * len(search.translations) * len(search.rotations) * dtype.itemsize
    assert 4 < size < 120 and table < memory.most <= allowed
