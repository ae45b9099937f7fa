"""The training script, as users run it, made small."""

import runpy
import sys
from pathlib import Path

import pytest

from cryoinv.errors import InputError
from cryoinv.networks import read_network
from cryoinv.priors import prior_from

from ..training.corpora import write_folder

SCRIPT = Path(__file__).parents[2] / "examples" / "train_critic.py"

pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="the examples are not beside the tests")

SMALL = ("--box", 16, "--pixel-size", 8, "--batch", 2, "--steps", 2, "--width", 3, "--held-out", 2)


def train(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [SCRIPT.name, *map(str, arguments)])
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_it_trains_on_a_corpus_and_goes_on_from_a_file(tmp_path, monkeypatch, capsys):
    write_folder(tmp_path / "structures" / "train", 2)
    write_folder(tmp_path / "structures" / "valid", 2, first=5)
    (tmp_path / "structures" / "train" / "broken.cif").write_text("data_broken\n")
    corpus, first = ("--structures", tmp_path / "structures"), tmp_path / "first.safetensors"
    train(monkeypatch, *corpus, "--output", first, *SMALL)
    told = capsys.readouterr().out
    assert "step 1, " in told and "4 held-out maps: " in told
    train(monkeypatch, *corpus, "--output", tmp_path / "second.safetensors", *SMALL, "--start", first, "--seed", 1)
    for name in ("first", "second"):
        network, metadata = read_network(tmp_path / f"{name}.safetensors", "critic")
        assert network.sizes == {"width": 3} and metadata["pixel_sizes"] == (8.0, 8.0)
        assert len(metadata["notes"]["names"]) == 2 and 0 <= metadata["notes"]["told_apart"] <= 1
    assert prior_from(f"adversarial,critic={tmp_path}/second.safetensors").pixel_size == 8.0


def test_a_folder_that_gives_no_map_is_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="none"):
        train(monkeypatch, "--structures", tmp_path / "none")
