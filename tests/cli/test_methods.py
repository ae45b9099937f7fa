"""Priors, M-steps and solvers from the command line: one's own, by name, and those that are refused."""

import ast
from pathlib import Path

import pytest

from cryoinv.networks import GatedUNet, write_network

from .conftest import PIXEL_SIZE, REFINE

EXAMPLES = Path(__file__).parents[2] / "examples"


def refine(cryoinv, dataset, folder, *more):
    inputs = [dataset / "particles.star", "--reference", dataset / "reference.mrc"]
    return cryoinv("refine", *inputs, "--output", folder, *REFINE, *more)


def test_a_prior_of_ones_own_is_named_by_its_module(cryoinv, dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(EXAMPLES)
    method = ["--prior", "own_prior:SparsePrior,strength=0.5", "--m-step", "admm,iterations=3"]
    outcome = refine(cryoinv, dataset, tmp_path / "own", *method)
    assert outcome.code == 0, outcome.text
    assert (tmp_path / "own" / "map.mrc").is_file()


def test_the_example_prior_is_short():
    source = (EXAMPLES / "own_prior.py").read_text(encoding="utf-8")
    assert len([line for line in source.splitlines() if line.strip()]) <= 20
    ast.parse(source)


def test_a_prior_has_the_m_step_solver_and_denoiser_that_are_asked_for(cryoinv, dataset, tmp_path):
    outcome = refine(
        cryoinv,
        dataset,
        tmp_path / "red",
        *("--prior", "red,weight=0.5", "--denoiser", "lowpass,resolution=20", "--m-step", "fixed-point,iterations=2"),
        *("--solver", "kgrad,batches=2", "--output-prior", "gaussian"),
    )
    assert outcome.code == 0, outcome.text


def test_a_denoiser_is_a_network_of_a_file(cryoinv, dataset, tmp_path):
    file = tmp_path / "denoiser.safetensors"
    write_network(file, GatedUNet(2, 1), (PIXEL_SIZE, PIXEL_SIZE))
    outcome = refine(cryoinv, dataset, tmp_path / "network", "--prior", "red", "--denoiser", file)
    assert outcome.code == 0, outcome.text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--prior", "gausian"], ["unknown prior 'gausian'", "did you mean 'gaussian'?"]),
        (["--prior", "gaussian,tau_fudge=2"], ["has no option 'tau_fudge'", "did you mean 'tau2_fudge'?"]),
        (["--prior", "red,weight=1.5"], ["prior 'red'", "1.5", "[0, 1]"]),
        (["--prior", "tv", "--m-step", "closed-form"], ["ClosedForm needs a prior with precision", "TotalVariation"]),
        (["--prior", "pnp", "--solver", "adam"], ["solver Adam needs a prior with gradient", "PlugAndPlay"]),
        (["--m-step", "adm"], ["unknown M-step 'adm'", "did you mean 'admm'?"]),
        (["--solver", "adm"], ["unknown solver 'adm'", "did you mean 'adam'?"]),
        (["--denoiser", "wiener"], ["GaussianPrior() takes no denoiser, or has its own; found 'wiener'"]),
        (["--prior", "red", "--denoiser", "wienre"], ["unknown denoiser 'wienre'", "did you mean 'wiener'?"]),
        (["--prior", "red", "--denoiser", "none.safetensors"], ["none.safetensors"]),
        (["--prior", "no_module:Prior"], ["cannot be imported"]),
        (["--prior", "cryoinv.priors:PriorContext"], ["cannot be made"]),
        (["--output-prior", "redd"], ["unknown prior 'redd'"]),
    ],
)
def test_what_does_not_exist_or_fit_is_refused(cryoinv, dataset, tmp_path, options, words):
    outcome = refine(cryoinv, dataset, tmp_path / "refused", *options)
    assert outcome.code == 1
    assert "Traceback" not in outcome.text
    for word in words:
        assert word in " ".join(outcome.err.split()), outcome.err
    assert not (tmp_path / "refused").exists()


def test_a_prior_that_fails_stops_the_run_and_says_where(cryoinv, dataset, tmp_path, monkeypatch):
    (tmp_path / "broken_prior.py").write_text(
        "from cryoinv.priors import GaussianPrior\n"
        "class Loud(GaussianPrior):\n"
        "    def bind(self, statistics, context):\n"
        "        bound = super().bind(statistics, context)\n"
        "        bound.post_process = lambda volume: 100 * volume if context.iteration == 2 else volume\n"
        "        return bound\n"
    )
    monkeypatch.chdir(tmp_path)
    outcome = refine(cryoinv, dataset, tmp_path / "stopped", "--prior", "broken_prior:Loud")
    text = " ".join(outcome.err.split())
    assert outcome.code == 1 and "Traceback" not in text
    assert "iteration 2, half 1" in text and "Loud" in text and "grey scale" in text
    assert "--resume goes on after iteration 1" in text
    assert not (tmp_path / "stopped" / "map.mrc").exists()


def test_a_reconstruction_needs_a_prior_for_an_m_step(cryoinv, dataset, tmp_path):
    inputs = ["reconstruct", dataset / "truth.star", "--output", tmp_path / "m.mrc"]
    outcome = cryoinv(*inputs, "--m-step", "admm")
    assert outcome.code == 1 and "go with a --prior" in outcome.err
    outcome = cryoinv(*inputs, "--prior", "tv", "--particle-diameter", "1000")
    assert outcome.code == 1 and "particle_diameter is 1000 Å" in outcome.err
    outcome = cryoinv(*inputs, "--prior", "tv", "--m-step", "fista,iterations=3", "--particle-diameter", "90")
    assert outcome.code == 0, outcome.text
