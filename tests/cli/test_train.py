"""``cryoinv train``: what it says, what it writes, and one message for whatever does not suit."""

import functools
import json

import pytest

from cryoinv.denoisers import NetworkDenoiser
from cryoinv.training import Training
from tests.training.corpora import write_folder

from .test_bad_input import check_refused

QUICK = ["--box", 16, "--pixel-size", 8, "--steps", 2, "--pairs", "gaussian", "--device", "cpu"]


@pytest.fixture(scope="module")
def structures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("structures")
    write_folder(folder / "train", 2)
    write_folder(folder / "valid", 2, first=5)
    (folder / "train" / "broken.cif").write_text("data_broken\n")
    return folder


@pytest.fixture
def few(monkeypatch):
    """Few held-out maps: the command has no option for that."""
    monkeypatch.setattr("cryoinv.training.Training", functools.partial(Training, held_out=2, calibrated_on=2))


def test_it_trains_and_says_what_it_came_to(cryoinv, structures, tmp_path, few):
    output = tmp_path / "trained"
    outcome = cryoinv("train", "--structures", structures, "--output", output, *QUICK)
    assert outcome.code == 0, outcome.text
    assert "2 structures fit the box (1 left out), 2 steps of 4 gaussian pairs on cpu" in outcome.err
    assert "on 4 held-out maps: better than the Wiener filter on" in outcome.out
    denoiser = NetworkDenoiser(output / "weights.safetensors")
    assert denoiser.calibration is not None and denoiser.pixel_sizes == (8.0, 8.0)
    refused = cryoinv("train", "--structures", structures, "--output", output, *QUICK)
    check_refused(refused, [str(output), "--resume", "--overwrite"])
    again = cryoinv("train", "--structures", structures, "--output", output, *QUICK, "--resume", "--json")
    assert again.code == 0 and json.loads(again.out)["steps"] == 2 and "going on after step 2" in again.err


def test_it_begins_with_other_weights_but_not_with_those_it_replaces(cryoinv, structures, tmp_path, few):
    folder = tmp_path / "trained"
    assert cryoinv("train", "--structures", structures, "--output", folder, *QUICK).code == 0
    start = ["--start", folder / "weights.safetensors", "--seed", 1]
    outcome = cryoinv("train", "--structures", structures, "--output", tmp_path / "longer", *QUICK, *start)
    assert outcome.code == 0, outcome.text
    before = (folder / "weights.safetensors").read_bytes()
    refused = cryoinv("train", "--structures", structures, "--output", folder, *QUICK, *start, "--overwrite")
    check_refused(refused, ["is in the folder that is to be replaced", "choose another --output"])
    assert (folder / "weights.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--start", "absent.safetensors"], ["absent.safetensors"]),
        (["--preset", "smal"], ["unknown preset 'smal'", "did you mean 'small'"]),
        (["--pairs", "pose"], ["unknown pairs 'pose'", "did you mean 'posed'"]),
        (["--minutes", 1], ["steps and minutes are both given"]),
        (["--finest", 3], ["the finest feature is 3 Å", "16 Å"]),
        (["--device", "cuda:9"], ["cuda"]),
        (["--box", 16, "--pixel-size", 2], ["none of 2 structures fits a box of 32 Å"]),
    ],
)
def test_options_that_do_not_suit(cryoinv, structures, tmp_path, options, words):
    outcome = cryoinv("train", "--structures", structures, "--output", tmp_path / "out", *QUICK, *options)
    check_refused(outcome, words)
    assert not (tmp_path / "out" / "weights.safetensors").exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: None, ["there is no such folder of structures"]),
        (lambda folder: folder.mkdir(), ["holds no structures"]),
        (lambda folder: broken(folder), ["none of", "can be used", "bad"]),
    ],
)
def test_folders_that_do_not_suit(cryoinv, tmp_path, make, words):
    folder = tmp_path / "structures"
    make(folder)
    check_refused(cryoinv("train", "--structures", folder, "--output", tmp_path / "out", *QUICK), words)


def broken(folder):
    folder.mkdir()
    for i in range(30):
        (folder / f"bad{i}.pdb").write_text("no structure")


def test_a_damaged_checkpoint_is_refused(cryoinv, structures, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (output / "checkpoint.safetensors").write_bytes(b"half a checkpoint")
    outcome = cryoinv("train", "--structures", structures, "--output", output, *QUICK, "--resume")
    check_refused(outcome, ["checkpoint.safetensors", "cut short or damaged"])
