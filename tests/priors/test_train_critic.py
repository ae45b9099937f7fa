"""The training script, as users run it, made small."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from cryoinv.io import AtomicModel, write_structure, write_volume
from cryoinv.networks import read_network
from cryoinv.priors import prior_from

SCRIPT = Path(__file__).parents[2] / "examples" / "train_critic.py"

pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="the examples are not beside the tests")


def train(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [SCRIPT.name, *map(str, arguments)])
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_it_trains_on_structures_and_maps_and_goes_on_from_a_file(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    atoms = AtomicModel(8 * rng.normal(size=(60, 3)), np.full(60, 6), np.full(60, 40.0), np.ones(60), "ball")
    large = AtomicModel(90 * rng.normal(size=(9, 3)), np.full(9, 6), np.full(9, 40.0), np.ones(9), "large")
    write_structure(tmp_path / "ball.cif", atoms)
    write_structure(tmp_path / "large.cif", large)
    write_volume(tmp_path / "map.mrc", rng.random((20, 20, 20)).astype(np.float32), 5.0)
    files = [tmp_path / name for name in ("ball.cif", "map.mrc", "large.cif")]
    small = ("--box", 16, "--pixel-size", 6, "--batch", 2, "--steps", 2, "--width", 3)
    train(monkeypatch, *files, "--output", tmp_path / "first.safetensors", *small)
    assert "left out" in (told := capsys.readouterr().out) and "large.cif" in told and "step 1, " in told
    start = ("--start", tmp_path / "first.safetensors")
    train(monkeypatch, files[0], "--output", tmp_path / "second.safetensors", *small, *start)
    networks = [read_network(tmp_path / f"{name}.safetensors", "critic") for name in ("first", "second")]
    for network, metadata in networks:
        assert network.sizes == {"width": 3} and metadata["pixel_sizes"] == (6.0, 6.0)
    assert [metadata["notes"]["maps"] for _, metadata in networks] == [2, 1]
    assert prior_from(f"adversarial,critic={tmp_path}/second.safetensors").pixel_size == 6.0


def test_files_that_give_no_map_are_refused(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="none of the files"):
        train(monkeypatch, tmp_path / "none.cif")
