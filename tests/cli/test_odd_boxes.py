"""Odd boxes go the whole way: simulated, refined, reconstructed, compared."""

import json

import pytest

from cryoinv.io import ParticleStack, read_volume

from .conftest import REFINE


@pytest.mark.parametrize("box", [15, 17])
def test_odd_boxes(box, cryoinv, structure, tmp_path):
    def run(*arguments):
        outcome = cryoinv(*arguments)
        assert outcome.code == 0, outcome.text
        return outcome

    data, folder, pixel_size = tmp_path / "data", tmp_path / "run", 140 / box
    run("simulate", structure, "--box", box, "--pixel-size", pixel_size, "--particles", 24, "--snr", 10, "--max-shift",
        0, "--output", data)  # fmt: skip
    run("refine", data / "particles.star", "--reference", data / "reference.mrc", "--output", folder, *REFINE)
    assert read_volume(folder / "map.mrc")[0].shape == (box,) * 3
    assert ParticleStack.from_star(folder / "particles.star").n == box
    run("reconstruct", data / "truth.star", "--output", tmp_path / "m.mrc")
    found = json.loads(run("fsc", tmp_path / "m.mrc", data / "truth.mrc", "--json").out)
    assert len(found["fsc"]) == box // 2 + 1 and min(found["fsc"][:5]) > 0.9
    truth = ("--truth", data / "truth.mrc", "--truth-poses", data / "truth.star")
    assert json.loads(run("evaluate", folder, *truth, "--json").out)["angle_error_median_degrees"] < 20
