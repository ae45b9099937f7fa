"""Whole refinements mix no devices, on a machine without a GPU (`tests/claimed_gpu.py`)."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from odl.backends.arrays.pytorch_tensors import pytorch_array_backend

from cryoinv.comparison import method_from
from cryoinv.io import OpticsGroup, ParticleStack
from cryoinv.likelihood import expectation
from cryoinv.operators import CTF, ForwardModel, FourierSlice, Shift, ctf_values
from cryoinv.refinement import RefinementSettings, refine
from cryoinv.simulation import demo_structure, potential_map, simulate_particles
from cryoinv.spaces import VolumeSpace

from ..claimed_gpu import ClaimedGpu

N, PIXEL, COUNT = 16, 9.0, 4
README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def one_gpu(monkeypatch):
    """PyTorch and ODL find one."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(pytorch_array_backend, "available_devices", ["cpu", "cuda:0"])


@pytest.fixture
def passes(monkeypatch):
    """Names of the passes that E-steps make."""
    made = []

    def noting(name, original):
        def noted(*arguments):
            made.append(name)
            return original(*arguments)

        return noted

    step = expectation.Expectation
    for owner, name in ((expectation, "local_pass"), (expectation, "oversampled_pass"), (step, "_exhaustive")):
        monkeypatch.setattr(owner, name, noting(name, getattr(owner, name)))
    return made


def problem():
    volume = potential_map(demo_structure(), N, PIXEL)
    images = simulate_particles(volume, PIXEL, COUNT, 1.0, seed=3, max_shift=5.0).images(np.arange(COUNT))
    defocus = np.linspace(1e4, 2e4, COUNT)[:, None] * [1.0, 0.9, 0.0]
    optics = [OpticsGroup("one", PIXEL, 300.0, 2.7, 0.1)]
    return volume, ParticleStack.from_arrays(images, PIXEL, optics=optics, defocus=defocus)


@pytest.fixture
def readme_prior(tmp_path):
    """The prior that README writes, as it stands there."""
    if not README.is_file():
        pytest.skip("README.md is not beside the tests")
    text = README.read_text(encoding="utf-8")
    code = tmp_path / "prior.py"
    code.write_text(re.search(r"^(from cryoinv.priors import VolumePrior.*?)^result = ", text, re.M | re.S)[1])
    return runpy.run_path(str(code))["SparsePrior"](strength=1e-3)  # of very few images


@pytest.mark.parametrize("variant", ["plain", "masked, CTF, parts, prior of one's own"])
def test_refinement_mixes_no_devices(variant, one_gpu, passes, readme_prior):
    volume, particles = problem()
    plain = variant == "plain"
    prior = None if plain else readme_prior
    settings = RefinementSettings(
        max_shift=PIXEL,
        use_ctf=not plain,
        initial_lowpass=40.0,
        padding=1,
        orientation_order=0,
        global_iterations=1,
        max_iterations=3,
        max_orientations=3,
        noise_estimation="unmasked" if plain else "masked",
        memory_bytes=1 << 29 if plain else 3 << 19,
    )
    with ClaimedGpu():
        result = refine(particles, volume, prior, settings=settings, device="cuda")
        assert result.map.device.type == "cuda"
        found = result.map.cpu()
    assert {"_exhaustive", "oversampled_pass"} == set(passes[:-4]) and passes[-4:] == ["local_pass"] * 4
    expected = refine(particles, volume, prior, settings=settings, device="cpu").map
    assert float((found - expected).norm() / expected.norm()) < 1e-2


# Not networks: a module that moves sets its parameters' data, which forgets what they claim.
METHODS = [
    "masked-gaussian",
    "wilson",
    "tv m-step=fista,iterations=3",
    "red,denoiser=solvent,guard=true solver=kgrad,batches=2",
    "cw-red,rule=30:1;15:0.5 denoiser=tv",
    "score-matching m-step=fixed-point,iterations=2",
    "consensus solver=adam,batches=2",
    "pnp m-step=admm,iterations=2 denoiser=wavelet",
    "pnp m-step=admm,iterations=2 denoiser=nlm",
    "blush,denoiser=(rotations,denoiser=wiener,count=4)",
    "blush,acts_on=map solver=sgd,batches=2",
    "gaussian m-step=l-bfgs,iterations=3",
    "gaussian m-step=gradient,iterations=3",
    "red,denoiser=(patches,denoiser=wiener,tile=8),amplitude=mix output-prior=masked-gaussian",
]


@pytest.mark.parametrize("words", METHODS)
def test_no_method_mixes_devices(words, one_gpu):
    volume, particles = problem()
    settings = RefinementSettings(
        max_shift=0.0,
        use_ctf=False,
        initial_lowpass=40.0,
        padding=1,
        orientation_order=0,
        global_iterations=1,
        max_iterations=2,
        max_orientations=3,
    )
    with ClaimedGpu():
        result = refine(particles, volume, settings=settings, device="cuda", **method_from(words).arguments())
        assert result.map.device.type == "cuda"
        found = result.map.cpu()
    expected = refine(particles, volume, settings=settings, device="cpu", **method_from(words).arguments()).map
    assert float((found - expected).norm() / expected.norm()) < 1e-2


def test_models_of_batches_mix_no_devices(one_gpu):
    rotations, shifts = torch.eye(3).repeat(3, 1, 1), [[0.5, 0.0], [1.0, -1.0], [0.0, 2.0]]
    with ClaimedGpu():
        slices = FourierSlice(VolumeSpace(8, device="cuda:0"), rotations)
        ctf = CTF(slices.range, ctf_values(8, 3.0, [1e4, 1.5e4, 2e4], 1e4, 0, 300, 2.7, 0.1, device="cuda:0"))
        model = ForwardModel(slices, ctf, Shift(slices.range, shifts))
        for batch in ([2, 0], torch.tensor([2, 0]), torch.tensor([2, 0], device="cuda:0")):
            part = model.at(batch)
            assert part.shift.shifts.tolist() == [shifts[2], shifts[0]]
            assert part.apply(torch.ones(8, 8, 8, device="cuda:0")).shape == (2, 8, 5)
