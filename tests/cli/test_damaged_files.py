"""Damaged files through the commands themselves: an answer or one message, never a traceback."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from .conftest import REFINE


def load_mutations():
    """The ways to damage a file, which live with the tests of the readers."""
    path = Path(__file__).parents[1] / "io" / "mutations.py"
    spec = importlib.util.spec_from_file_location("mutations", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


mutations = load_mutations()


def check_answer(outcome, folder):
    """One line of error and exit 1, or none and exit 0; no traceback, no surprise, no temporary file."""
    assert outcome.code in (0, 1), outcome.text
    errors = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == outcome.code, outcome.err
    assert "Traceback" not in outcome.text and "unexpected" not in outcome.err and "--debug" not in outcome.err
    assert not [path for path in folder.rglob(".*") if path.is_file()]


CASES = {
    "fsc": ("truth.mrc", mutations.damage_header, 25),
    "denoise": ("truth.mrc", mutations.damage_header, 15),
    "reconstruct-star": ("truth.star", mutations.damage_structure, 30),
    "reconstruct-stack": ("particles.mrcs", mutations.damage_header, 20),
    "refine-star": ("particles.star", mutations.damage_structure, 8),
    "refine-reference": ("reference.mrc", mutations.damage_header, 5),
    "evaluate": ("truth.star", mutations.damage_structure, 10),
}


@pytest.mark.parametrize("case", CASES)
def test_damaged_files(case, cryoinv, dataset, refined, copy, tmp_path):
    name, kind, count = CASES[case]
    raw = (copy / name).read_bytes()
    out = tmp_path / "out"
    truth = ["--truth", copy / "truth.mrc", "--truth-poses", copy / "truth.star"]
    refine = ["refine", copy / "particles.star", "--reference", copy / "reference.mrc", "--output", out, *REFINE]
    denoise = ["denoise", copy / "truth.mrc", "--resolution", 30, "--denoiser", "wiener"]
    line = {
        "fsc": ["fsc", copy / "truth.mrc", dataset / "truth.mrc", "--csv", out / "c.csv"],
        "denoise": [*denoise, "--output", out / "m.mrc", "--overwrite"],
        "reconstruct": ["reconstruct", copy / "truth.star", "--output", out / "m.mrc", "--overwrite"],
        "refine": [*refine, "--max-iterations", 1, "--overwrite"],
        "evaluate": ["evaluate", refined, *truth],
    }[case.split("-")[0]]
    if case == "evaluate":  # particles are matched by their file
        (copy / "particles.mrcs").unlink()
        (copy / "particles.mrcs").symlink_to(dataset / "particles.mrcs")
    out.mkdir()
    refused = 0
    for number in range(count):
        (copy / name).write_bytes(kind(raw, np.random.default_rng([8, number])))
        outcome = cryoinv(*line)
        check_answer(outcome, tmp_path)
        refused += outcome.code
    assert 0 < refused < count
