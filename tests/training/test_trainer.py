"""The loop: it learns, it stops anywhere and goes on bit for bit, and it refuses what is another training's."""

import numpy as np
import pytest
import torch

from cryoinv.errors import InputError
from cryoinv.io import write_weights
from cryoinv.networks import GatedUNet, ResidualUNet, apply_denoising
from cryoinv.training import GaussianPairs, HeldOut, PairStream, Trainer, TrainingPlan, held_out_pairs

from .corpora import CPU, truth_maker


@pytest.fixture(scope="module")
def stream():
    return PairStream([GaussianPairs(truth_maker(16, 6.0), resolutions=(12.0, 16.0))], [1], 2, seed=1)


def trainer(stream, steps=6, architecture=GatedUNet, sizes=(4, 2, 1), **plan):
    torch.manual_seed(0)
    return Trainer(architecture(*sizes), stream, TrainingPlan(steps, **plan), CPU)


@pytest.mark.parametrize(("architecture", "sizes"), [(GatedUNet, (4, 2, 1)), (ResidualUNet, (2, 2))])
def test_an_interrupted_training_ends_as_an_uninterrupted_one(stream, tmp_path, architecture, sizes):
    whole = trainer(stream, architecture=architecture, sizes=sizes)
    whole.run()
    first = trainer(stream, architecture=architecture, sizes=sizes)
    first.run(until=3)
    first.save(tmp_path / "c.safetensors", {"data": "heaps"})
    second = trainer(stream, architecture=architecture, sizes=sizes)
    second.restore(tmp_path / "c.safetensors", {"data": "heaps"})
    assert second.step == 3
    second.run()
    for name, tensor in whole.averaged().state_dict().items():
        assert torch.equal(tensor, second.averaged().state_dict()[name]), name
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, second.network.state_dict()[name]), name


def test_steps_are_told_and_the_rate_rises_and_falls(stream):
    told = []
    trainer(stream).run(callback=told.append)
    assert [each["step"] for each in told] == [1, 2, 3, 4, 5, 6]
    assert all(np.isfinite(each["loss"]) and each["seconds"] > 0 for each in told)
    plan = TrainingPlan(1000, rate=1.0)
    rates = [plan.rate_at(step) for step in range(1000)]
    assert rates.index(max(rates)) == 49 and max(rates) == pytest.approx(1.0, rel=1e-3)
    assert rates[-1] == pytest.approx(0.01, abs=1e-3) and all(np.diff(rates[50:]) < 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"notes": {"data": "others"}}, "with data 'heaps', this one has 'others'"),
        ({"steps": 7}, "with steps 6, this one has 7"),
        ({"sizes": (6, 2, 1)}, "does not fit the network"),
    ],
)
def test_another_trainings_checkpoint_is_refused(stream, tmp_path, change, message):
    path = tmp_path / "c.safetensors"
    trainer(stream).save(path, {"data": "heaps"})
    other = trainer(stream, change.get("steps", 6), sizes=change.get("sizes", (4, 2, 1)))
    with pytest.raises(InputError, match=message):
        other.restore(path, change.get("notes", {"data": "heaps"}))


def test_a_file_of_weights_is_no_checkpoint(stream, tmp_path):
    path = tmp_path / "w.safetensors"
    write_weights(path, {"a": torch.zeros(1)}, {"kind": "denoiser"})
    with pytest.raises(InputError, match="is a denoiser, expected the checkpoint of a training"):
        trainer(stream).restore(path, {})


@pytest.mark.parametrize("error", [MemoryError(), torch.cuda.OutOfMemoryError("CUDA out of memory")])
def test_too_little_memory_says_what_needs_less(error, stream, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("cryoinv.training.trainer.apply_denoising", fail)
    with pytest.raises(InputError, match=r"cpu ran out of memory in step 1, with 2 maps .* --box or --preset$"):
        trainer(stream).run()


def test_a_loss_that_is_not_finite_names_step_and_maps(stream):
    made = trainer(stream)
    with torch.no_grad():
        made.network.first.weight.fill_(torch.nan)
    with pytest.raises(InputError, match=r"step 1: the loss is nan, on maps of heap"):
        made.run()


def test_the_average_is_what_is_kept(stream):
    made = trainer(stream, steps=3, rate=1e-2)
    made.run()
    kept = made.averaged()
    assert not kept.training and any(
        not torch.equal(a, b)
        for a, b in zip(kept.state_dict().values(), made.network.state_dict().values(), strict=True)
    )


@pytest.mark.slow
def test_a_short_training_beats_the_wiener_filter(stream):
    held = HeldOut(held_out_pairs([GaussianPairs(truth_maker(16, 6.0), resolutions=(12.0, 16.0))], 6))
    made = trainer(stream, steps=120, sizes=(8, 2, 1), rate=3e-3)

    def summary():
        network = made.averaged()
        return held.summary(held.measure(lambda x, w: apply_denoising(network, x, w), CPU))

    before = summary()
    made.run()
    after = summary()
    assert after["l2_ratio_to_wiener"] < 0.75 < before["l2_ratio_to_wiener"]
    assert after["fraction_better_than_wiener"] == 1.0 and after["mean_fsc_gain_over_wiener"] > 0
