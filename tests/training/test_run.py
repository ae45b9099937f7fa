"""A whole training: what it writes, that it goes on after a kill as if nothing had been, and what it refuses."""

import csv
import functools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from cryoinv.denoisers import NetworkDenoiser, PriorContext
from cryoinv.denoisers.filters import radial_filter
from cryoinv.errors import InputError, InputWarning
from cryoinv.io import read_weights
from cryoinv.networks import read_network, write_network
from cryoinv.spaces import centred_irfft, centred_rfft, radial_expand, radial_mean
from cryoinv.training import IntermediateMaker, Preset, Training, TrainingObserver, preset_of

from .corpora import write_folder

TINY = Preset("gated-unet", {"width": 4, "depth": 2, "blocks": 1}, box=16, pixel_size=8.0, batch=2, steps=6)


@pytest.fixture(scope="module")
def structures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("structures")
    write_folder(folder / "train", 4)
    write_folder(folder / "valid", 2, first=10)
    return folder


def training(structures, output, **options):
    few = {"held_out": 2, "calibrated_on": 3, "measure_every": 3, "save_every": 2}
    options = {"pairs": "gaussian", "device": "cpu"} | few | options
    return Training(structures, output, options.pop("preset", TINY), **options)


class Told(TrainingObserver):
    def __init__(self, stop_at=None):
        self.rows, self.facts, self.stop_at = [], None, stop_at

    def prepared(self, facts):
        self.facts = facts

    def measured(self, row):
        self.rows.append(row)
        if row["step"] == self.stop_at:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole(structures, tmp_path_factory):
    output, told = tmp_path_factory.mktemp("whole"), Told()
    summary = training(structures, output, observer=told).run()
    return output, summary, told


def test_it_writes_weights_with_a_card(whole):
    output, summary, told = whole
    network, metadata = read_network(output / "weights.safetensors", "denoiser")
    assert network.sizes == TINY.sizes and metadata["pixel_sizes"] == (8.0, 8.0)
    card = metadata["notes"]
    assert {"pairs", "reconstructor", "target", "steps", "held_out", "licence", "version", "seed"} <= set(card)
    assert len(card["calibration"]["a"]) == len(card["calibration"]["resolution_ends"])
    assert NetworkDenoiser(output / "weights.safetensors").calibration == card["calibration"]
    assert card["structures"] == 4 and card["pairs"] == "gaussian" and card["steps"] == 6
    assert json.loads((output / "summary.json").read_text()) == summary
    assert {"fraction_better_than_wiener", "l2_ratio_to_masked_wiener", "maps"} <= set(summary["held_out"])
    assert told.facts["structures"] == 4 and len(told.rows) == 6


def test_the_log_has_a_row_a_step_and_held_out_figures(whole):
    rows = list(csv.DictReader((whole[0] / "log.csv").open()))
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [bool(row["l2_ratio_to_wiener"]) for row in rows] == [False, False, True, False, False, True]
    assert any((whole[0] / "tensorboard").iterdir())


def test_what_it_wrote_denoises(whole):
    denoiser = NetworkDenoiser(whole[0] / "weights.safetensors")
    x = torch.randn(16, 16, 16, generator=torch.Generator().manual_seed(0))
    assert denoiser.denoise(x, PriorContext.nominal(16, 8.0, 24.0)).isfinite().all()


def test_stopped_anywhere_it_ends_as_if_it_had_not_been(whole, structures, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        training(structures, tmp_path, observer=Told(stop_at=5)).run()  # saved after step 4
    told = Told()
    training(structures, tmp_path, observer=told).run(resume=True)
    assert told.facts["step"] == 4 and [row["step"] for row in told.rows] == [5, 6]
    first, _ = read_weights(whole[0] / "weights.safetensors")
    second, _ = read_weights(tmp_path / "weights.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)
    steps = [row["step"] for row in csv.DictReader((tmp_path / "log.csv").open())]
    assert steps == ["1", "2", "3", "4", "5", "6"]


def test_another_trainings_checkpoint_is_refused(whole, structures, tmp_path):
    (tmp_path / "checkpoint.safetensors").write_bytes((whole[0] / "checkpoint.safetensors").read_bytes())
    with pytest.raises(InputError, match="with pairs 'gaussian', this one has 'posed'"):
        training(structures, tmp_path, pairs="posed").run(resume=True)


def test_it_begins_with_weights_of_an_earlier_training(whole, structures, tmp_path):
    start, told = whole[0] / "weights.safetensors", Told(stop_at=1)
    with pytest.raises(KeyboardInterrupt):
        training(structures, tmp_path / "a", start=start, seed=1, observer=told).run()
    earlier = told.facts["started_from"]
    assert earlier["steps"] == 6 and earlier["pairs"] == "gaussian" and len(earlier["weights"]) == 16
    # One step at a rate that has hardly risen leaves the weights where they were, not where chance puts them.
    first, _ = read_weights(start)
    plan = training(structures, tmp_path / "c", start=start, seed=1, steps=1, preset=replace(TINY, rate=1e-9))
    plan.run()
    then, metadata = read_weights(tmp_path / "c" / "weights.safetensors")
    for name in first:
        torch.testing.assert_close(then[name], first[name], rtol=0, atol=1e-6)
    names = earlier.pop("names")
    assert metadata["notes"]["started_from"] == earlier and metadata["notes"]["names"] == sorted(names)
    with pytest.warns(InputWarning, match="the seed 0 is that of .* which has seen the same pairs"):
        training(structures, tmp_path / "d", start=start, steps=1).run()


def test_what_began_with_other_weights_goes_on_without_them(whole, structures, tmp_path):
    start = tmp_path / "start.safetensors"
    start.write_bytes((whole[0] / "weights.safetensors").read_bytes())
    ended = training(structures, tmp_path / "a", start=start, seed=1, steps=4).run()
    with pytest.raises(KeyboardInterrupt):
        training(structures, tmp_path / "b", start=start, seed=1, steps=4, observer=Told(stop_at=3)).run()
    start.unlink()
    assert training(structures, tmp_path / "b", seed=1).run(resume=True) == ended
    first, second = (read_weights(tmp_path / name / "weights.safetensors")[0] for name in "ab")
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": preset_of("small")}, "is a gated-unet of .* expected gated-unet of"),
        ({"preset": replace(TINY, pixel_size=9.0)}, "learned with pixels of 8 to 8 Å, expected 9 Å"),
        ({"finest": 32.0}, "knows features of all sizes, expected none finer than 32 Å"),
    ],
)
def test_weights_that_do_not_suit_are_no_beginning(options, message, whole, structures, tmp_path):
    with pytest.raises(InputError, match=message):
        training(structures, tmp_path, start=whole[0] / "weights.safetensors", **options).run()
    assert not list(tmp_path.iterdir())  # nothing was begun


def test_weights_that_have_seen_what_is_held_out_are_no_beginning(whole, structures, tmp_path):
    swapped = tmp_path / "swapped"
    swapped.mkdir()
    (swapped / "train").symlink_to(structures / "valid")
    (swapped / "valid").symlink_to(structures / "train")
    out = tmp_path / "out"
    out.mkdir()
    (out / "log.csv").write_text("there already")
    with pytest.raises(InputError, match="learned from 4 structures that are held out here"):
        training(swapped, out, start=whole[0] / "weights.safetensors").run(overwrite=True)
    assert (out / "log.csv").read_text() == "there already"  # nothing is taken away for a training that cannot begin


def test_weights_that_do_not_say_what_they_have_seen_are_warned_of(whole, structures, tmp_path):
    network, metadata = read_network(whole[0] / "weights.safetensors", "denoiser")
    write_network(tmp_path / "w.safetensors", network, (8.0, 8.0), {**metadata["notes"], "names": None})
    with pytest.warns(InputWarning, match="does not say what it learned from"):
        training(structures, tmp_path / "out", start=tmp_path / "w.safetensors", seed=1, steps=1).run()


def test_minutes_are_turned_into_steps_that_stay(structures, tmp_path):
    told = Told(stop_at=14)
    with pytest.raises(KeyboardInterrupt):
        training(structures, tmp_path, minutes=0.1, steps=None, observer=told).run()
    steps = told.facts["steps"]
    assert steps >= 12
    again = Told(stop_at=15)
    with pytest.raises(KeyboardInterrupt):
        training(structures, tmp_path, minutes=0.1, observer=again).run(resume=True)
    assert again.facts["steps"] == steps and again.facts["step"] == 14


@pytest.mark.slow
def test_it_learns_from_its_own_refinements(structures, tmp_path, monkeypatch):
    quick = functools.partial(IntermediateMaker, particles=(60, 80), snr=(1.0, 2.0))
    monkeypatch.setattr("cryoinv.training.run.IntermediateMaker", quick)
    preset = Preset("gated-unet", {"width": 4, "depth": 2, "blocks": 1}, box=16, pixel_size=8.0, batch=2, steps=2)
    summary = training(structures, tmp_path, preset=preset, pairs="intermediate", intermediates=2).run()
    assert summary["refinements"] + summary["lost_refinements"] == 2
    assert len(list((tmp_path / "intermediates").glob("train-*/run-*.safetensors"))) == 2


def test_it_learns_in_half_the_bits(structures, tmp_path):
    summary = training(structures, tmp_path, precision="bfloat16", steps=3).run()
    tensors, _ = read_weights(tmp_path / "weights.safetensors")
    assert summary["precision"] == "bfloat16" and all(each.dtype == torch.float32 for each in tensors.values())
    with pytest.raises(InputError, match="with precision 'bfloat16', this one has 'full'"):
        training(structures, tmp_path).run(resume=True)
    with pytest.raises(InputError, match="unknown precision 'half'"):
        training(structures, tmp_path, precision="half")


def test_the_coarse_network_knows_nothing_finer(structures, tmp_path):
    """Its output has the power of the Wiener-filtered map beyond that resolution, and no more."""
    summary = training(structures, tmp_path, finest=32.0, steps=4).run()
    denoiser = NetworkDenoiser(tmp_path / "weights.safetensors")
    assert summary["finest"] == denoiser.finest == 32.0
    x = torch.randn(16, 16, 16, generator=torch.Generator().manual_seed(0))
    context = PriorContext.nominal(16, 8.0, 18.0)
    maps = denoiser.denoise(x, context), radial_filter(x, denoiser.target_fsc(context))
    found, filtered = (radial_mean(centred_rfft(each).abs() ** 2, 16) for each in maps)
    torch.testing.assert_close(found[5:8], filtered[5:8])
    # What is finer has no say in what is coarser either.
    changed = x + centred_irfft(radial_expand(torch.tensor([0.0] * 5 + [1.0] * 4), 16) * centred_rfft(2 * x), 16)
    moved = radial_mean(centred_rfft(denoiser.denoise(changed, context) - denoiser.denoise(x, context)).abs() ** 2, 16)
    assert moved[:5].max() < 1e-8 * moved[5:].max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairs": "pose"}, "unknown pairs 'pose'.*did you mean 'posed'"),
        ({"steps": 3, "minutes": 1.0}, "steps and minutes are both given"),
        ({"steps": 0}, "expected a positive number"),
        ({"minutes": -1.0}, "expected a positive number"),
        ({"finest": 5.0}, "finest feature is 5 Å, expected one from 16 Å"),
        ({"device": "cuda:7"}, "cuda"),
    ],
)
def test_what_does_not_suit_is_refused(structures, tmp_path, options, message):
    from cryoinv.errors import CryoinvError

    with pytest.raises(CryoinvError, match=message):
        training(structures, tmp_path, **options)


def test_presets_have_names():
    assert preset_of("small").network(0).sizes == preset_of("small").sizes
    first, second = (preset_of("small").network(3).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(InputError, match="unknown preset 'larg'"):
        preset_of("larg")


@pytest.mark.slow
def test_killed_from_the_command_line_it_goes_on(structures, tmp_path):
    """SIGKILL at any time: --resume ends with the weights of a training that was not killed."""

    def command(output, *more):
        line = [sys.executable, "-m", "cryoinv", "train", "--structures", structures, "--output", output, "--box", "16"]
        line += ["--pixel-size", "8", "--steps", "120", "--pairs", "gaussian", "--threads", "1", *more]
        return subprocess.Popen([str(each) for each in line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    first = command(whole)
    out, _ = first.communicate(timeout=400)
    assert first.returncode == 0 and "held-out maps" in out
    run = command(killed)
    end = time.monotonic() + 300
    while not (killed / "checkpoint.safetensors").is_file() and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    assert not (killed / "weights.safetensors").exists()
    refused = command(killed)
    assert "use --resume" in refused.communicate()[1] and refused.returncode == 1
    again = command(killed, "--resume")
    _, told = again.communicate(timeout=400)
    assert again.returncode == 0 and "going on after step 100" in told
    one, two = (read_weights(folder / "weights.safetensors")[0] for folder in (whole, killed))
    assert all(torch.equal(one[name], two[name]) for name in one)
