"""Checkpoints: damaged ones, full disks, what killed runs leave."""

import errno
import os
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from cryoinv.errors import InputError
from cryoinv.geometry import Poses
from cryoinv.io import ParticleStack
from cryoinv.likelihood import PoseMoments
from cryoinv.noise import RadialGaussianNoise
from cryoinv.parallel import Processes
from cryoinv.refinement import Refinement, RefinementSettings
from cryoinv.refinement.fingerprint import different_parts
from cryoinv.refinement.output import CHECKPOINT, IterationLog
from cryoinv.refinement.schedule import Schedule
from cryoinv.refinement.state import RefinementState
from cryoinv.refinement.together import check_same_run

RUN = {"particles": "abc", "settings": "def"}


def state(n=4, iteration=1):
    poses = Poses(Rotation.random(3, random_state=0).as_matrix())
    return RefinementState(
        (torch.randn(n, n, n), torch.randn(n, n, n)), RadialGaussianNoise.white(2.0, 3),
        PoseMoments.isotropic(poses, 1.0, 1.0), Schedule(), 3.0, iteration, [{"iteration": iteration}],
    )


@pytest.mark.parametrize("damage", ["empty", "half", "one byte", "text", "other arrays"])
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    path = tmp_path / CHECKPOINT
    state().save(path, RUN)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    whole = path.read_bytes()
    if damage == "other arrays":
        np.savez(path, text=np.load(path)["text"])
    else:
        kinds = {"empty": b"", "half": whole[: len(whole) // 2], "one byte": bytes(content), "text": b"text"}
        path.write_bytes(kinds[damage])
    with pytest.raises(InputError, match=r"not a readable checkpoint .*--overwrite"):
        RefinementState.load(path, RUN)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MiB, where the system lets us have one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


def check_full_disk(path, larger):
    state(iteration=1).save(path, RUN)
    with pytest.raises(InputError) as failure:
        larger.save(path, RUN)
    for part in (CHECKPOINT, "No space left", "it needs 1.1 MiB", "MiB are free"):
        assert part in str(failure.value)
    assert [p.name for p in path.parent.iterdir()] == [CHECKPOINT]
    assert RefinementState.load(path, RUN).iteration == 1


def test_a_full_disk_keeps_the_last_checkpoint(small_disk):
    check_full_disk(small_disk / CHECKPOINT, state(52))


@pytest.mark.parametrize("where", ["numpy.savez", "os.fsync"])
def test_a_disk_that_is_full_when_the_data_get_there_keeps_the_last_checkpoint(tmp_path, monkeypatch, where):
    state(iteration=1).save(tmp_path / CHECKPOINT, RUN)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(where, full)
    with pytest.raises(InputError, match=r"No space left on device: it needs 1\.1 MiB, .* are free"):
        state(52).save(tmp_path / CHECKPOINT, RUN)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == [CHECKPOINT]
    assert RefinementState.load(tmp_path / CHECKPOINT, RUN).iteration == 1


def test_what_killed_runs_left_half_written_goes_and_nothing_else(tmp_path):
    (tmp_path / "figures").mkdir()
    left = [".0123456789ab.checkpoint.npz", "figures/.0123456789ab.fsc.png", "summary.json"]
    others = [".0123456789ab.notes.txt", ".checkpoint.npz", ".cryoinv.lock", "map.mrc"]
    for name in left + others:
        (tmp_path / name).write_text("x")
    IterationLog(tmp_path, [{"iteration": 1}]).stage("iteration 2", 10)
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()} == {*others, "iterations.jsonl"}


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "Permission denied"), OSError(errno.EIO, "I/O error")])
def test_a_checkpoint_that_cannot_be_read_is_not_called_damaged(error, tmp_path, monkeypatch):
    state().save(tmp_path / CHECKPOINT, RUN)

    def refuse(*_, **__):
        raise error

    monkeypatch.setattr("numpy.load", refuse)
    with pytest.raises(InputError, match=rf"{CHECKPOINT}: the checkpoint cannot be read \({error.strerror}\)$"):
        RefinementState.load(tmp_path / CHECKPOINT, RUN)


def test_too_little_memory_says_nothing_against_a_checkpoint(tmp_path, monkeypatch):
    state().save(tmp_path / CHECKPOINT, RUN)

    def refuse(*_, **__):
        raise MemoryError

    monkeypatch.setattr("numpy.load", refuse)
    with pytest.raises(MemoryError):
        RefinementState.load(tmp_path / CHECKPOINT, RUN)


def test_a_checkpoint_of_another_version_or_run_is_named_so(tmp_path, monkeypatch):
    path = tmp_path / CHECKPOINT
    state().save(path, RUN)
    with pytest.raises(InputError, match="differs in settings, images; resume with the same"):
        RefinementState.load(path, RUN | {"settings": "other", "images": "new"})
    monkeypatch.setattr("cryoinv.refinement.state._VERSION", 3)
    state().save(path, RUN)
    monkeypatch.undo()
    with pytest.raises(InputError, match="another version of cryoinv .format 3, expected 6"):
        RefinementState.load(path, RUN | {"settings": "other"})


def small_problem():
    rng = np.random.default_rng(0)
    images, reference = rng.normal(size=(8, 48, 48)), rng.normal(size=(48, 48, 48))
    return images.astype(np.float32), reference.astype(np.float32), RefinementSettings(particle_diameter=100.0)


def fingerprint(images, reference, settings):
    particles = ParticleStack.from_arrays(images, 3.0)
    return Refinement(particles, reference, settings=settings, device="cpu").fingerprint


def test_a_run_is_the_same_run_with_another_number_of_threads():
    before, prints = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        prints.append(fingerprint(*small_problem()))
    torch.set_num_threads(before)
    assert prints[0] == prints[1] == prints[2]


def test_a_run_differs_in_what_it_was_given():
    images, reference, settings = small_problem()
    run = fingerprint(images, reference, settings)
    for part, other in {
        "images": (images * 2, reference, settings),
        "reference": (images, reference * 2, settings),
        "max_shift": (images, reference, replace(settings, max_shift=1.0)),
    }.items():
        assert different_parts(run, fingerprint(*other)) == [part]
    assert fingerprint(images, reference, replace(settings, max_iterations=1)) == run


def test_processes_that_differ_are_told_in_what():
    class Others(Processes):
        """This process, and one that gives something else."""

        def __init__(self, **told):
            super().__init__()
            self.told = {name: np.frombuffer(text.encode(), np.uint8) for name, text in told.items()}

        def gather(self, arrays):
            return [arrays, {**arrays, **self.told}]

    cpu = torch.device("cpu")
    check_same_run(RUN, cpu, Others())
    with pytest.raises(InputError, match=r"process 1 .*differs from process 0 in settings"):
        check_same_run(RUN, cpu, Others(settings="longer than the other"))
    with pytest.raises(InputError, match=r"process 1 .*computes on cuda, process 0 on cpu, .*--device"):
        check_same_run(RUN, cpu, Others(**{"kind of device": "cuda"}))
