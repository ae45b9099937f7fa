"""`refine` under torchrun, killed and resumed: one voice, one folder, one map."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cryoinv.io import read_volume
from cryoinv.refinement.output import OUTPUT_FILES

from .conftest import REFINE
from .test_process import COMMAND

MANY = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node"]
LONG = [*REFINE, "--max-iterations", "4", "--threads", "1"]


def refine(dataset, folder, ranks, *more):
    """Start a refinement by so many processes."""
    command = [*COMMAND] if ranks == 1 else [*MANY, str(ranks), "-m", "cryoinv"]
    command += ["refine", dataset / "particles.star", "--reference", dataset / "reference.mrc", "--output", folder]
    return subprocess.Popen(
        [str(part) for part in (*command, *more)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished(process):
    out, errors = process.communicate(timeout=240)
    return process.returncode, out, errors


def until_saved(process, folder, iteration):
    """Wait for the checkpoint of an iteration."""
    log = folder / "iterations.jsonl"
    deadline = time.monotonic() + 120
    while not (log.is_file() and len(log.read_text().splitlines()) >= iteration):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def worker(launcher, rank):
    """Process of a rank that torchrun has started."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                told = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if parent == launcher.pid and b"RANK=%d" % rank in told:
                return int(folder.name)
    raise AssertionError("no such process")


def errors_of(text):
    return [line for line in text.splitlines() if line.startswith("error:")]


def iterations(folder):
    return [json.loads(line)["iteration"] for line in (folder / "iterations.jsonl").read_text().splitlines()]


def difference(folder, other):
    a, b = (read_volume(place / "map.mrc")[0] for place in (folder, other))
    return np.linalg.norm(a - b) / np.linalg.norm(b)


@pytest.fixture(scope="module")
def undisturbed(cryoinv, dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    outcome = cryoinv(
        "refine", dataset / "particles.star", "--reference", dataset / "reference.mrc", "--output", folder, *LONG
    )
    assert outcome.code == 0, outcome.text
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_many_processes_make_the_map_of_one_and_speak_with_one_voice(ranks, undisturbed, dataset, tmp_path):
    code, out, errors = finished(refine(dataset, tmp_path / "run", ranks, *LONG))
    assert code == 0, errors
    assert out.count("resolution, half-maps") == 1 and errors.count("iteration  1:") == 1
    assert {str(p.relative_to(tmp_path / "run")) for p in (tmp_path / "run").rglob("*") if p.is_file()} == set(
        OUTPUT_FILES
    )
    assert difference(tmp_path / "run", undisturbed) < 1e-5
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["processes"] == ranks and len(summary["waiting_seconds"]) == ranks


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_dies_ends_the_run_and_another_number_goes_on(victim, undisturbed, dataset, tmp_path):
    folder = tmp_path / "run"
    process = refine(dataset, folder, 2, *LONG)
    until_saved(process, folder, 1)
    os.kill(worker(process, victim), signal.SIGKILL)
    killed = time.monotonic()
    code, _, errors = finished(process)
    assert code != 0 and time.monotonic() - killed < 60
    (told,) = errors_of(errors)
    assert "another process of this run" in told and "--resume goes on" in told
    ranks = 1 if victim else 3
    code, _, errors = finished(refine(dataset, folder, ranks, *LONG, "--resume"))
    assert code == 0 and "resuming after iteration" in errors, errors
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} == set(OUTPUT_FILES)
    assert difference(folder, undisturbed) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("iteration", [0, 1, 2])
def test_a_killed_run_is_resumed_to_the_same_map(iteration, undisturbed, dataset, tmp_path):
    folder = tmp_path / "run"
    process = refine(dataset, folder, 1, *LONG)
    until_saved(process, folder, iteration)
    process.kill()
    process.communicate()
    code, _, errors = finished(refine(dataset, folder, 1, *LONG, "--resume"))
    assert code == 0, errors
    resumed = re.search(r"resuming after iteration (\d+)", errors)  # on a busy machine it may have got further
    assert int(resumed[1]) >= iteration if resumed else iteration == 0 and "starting afresh" in errors
    assert difference(folder, undisturbed) == 0
    assert iterations(folder) == iterations(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["image", "option", "command"])
def test_what_is_wrong_is_said_once_and_all_end(case, copy, tmp_path):
    more = list(LONG)
    if case == "image":  # the last one: it is the second process's alone
        with (copy / "particles.mrcs").open("r+b") as file:
            file.seek(-400 * 4, os.SEEK_END)
            file.write(b"\xff\xff\xff\x7f" * 400)
    if case == "option":
        more += ["--max-shift", "-1"]
    process = refine(copy, tmp_path / "run", 2, *more)
    if case == "command":
        process.kill()
        process.communicate()
        process = subprocess.Popen(
            [*MANY, "2", "-m", "cryoinv", "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    code, _, errors = finished(process)
    (told,) = errors_of(errors)
    assert {"image": "NaN", "option": "max_shift is -1", "command": "2 processes, expected one"}[case] in told
    assert code != 0 and 'cryoinv/' not in errors.replace(str(tmp_path), "")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_first_process_that_starts_late_still_says_what_is_wrong(tmp_path):
    script = tmp_path / "late.py"
    script.write_text(
        "import os, time\n"
        "time.sleep(4 * (os.environ['RANK'] == '0'))\n"
        "from cryoinv.cli.main import run\n"
        "run()\n"
    )
    process = subprocess.Popen([*MANY, "2", script, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    began = time.monotonic()
    code, _, errors = finished(process)
    (told,) = errors_of(errors)
    assert "2 processes, expected one" in told and code != 0 and time.monotonic() - began < 25


@pytest.mark.parametrize(
    ("rank", "code", "waits"), [(1, 1, True), (1, 2, True), (1, 143, False), (1, 130, False), (0, 1, False)]
)
def test_only_errors_of_those_that_may_not_speak_wait_for_the_first(rank, code, waits, monkeypatch):
    """A process that is told to end must not stay, or torchrun waits as long before it kills."""
    from cryoinv.cli import main, ranks

    def ended(**_):
        raise SystemExit(code)

    slept = []
    monkeypatch.setattr(main, "app", ended)
    monkeypatch.setattr(main, "silence_all_but_the_first", lambda: None)
    monkeypatch.setattr(main.signal, "signal", lambda *_: None)
    monkeypatch.setattr(ranks.time, "sleep", slept.append)
    place = {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "MASTER_ADDR": "localhost", "MASTER_PORT": 29500}
    for name, value in place.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(SystemExit) as found:
        main.run()
    assert found.value.code == code and bool(slept) == waits


def test_a_finished_run_is_left_alone_and_one_with_a_file_missing_is_completed(cryoinv, undisturbed, dataset):
    command = ["refine", dataset / "particles.star", "--reference", dataset / "reference.mrc", "--output", undisturbed]
    before = {p: p.stat().st_mtime_ns for p in undisturbed.rglob("*")}
    outcome = cryoinv(*command, *LONG, "--resume")
    assert outcome.code == 0 and "is finished" in outcome.err and "resolution" in outcome.out
    assert {p: p.stat().st_mtime_ns for p in undisturbed.rglob("*")} == before
    content = (undisturbed / "half1.mrc").read_bytes()
    (undisturbed / "half1.mrc").unlink()
    outcome = cryoinv(*command, *LONG, "--resume")
    assert outcome.code == 0 and f"resuming after iteration {iterations(undisturbed)[-1]}" in outcome.err
    assert (undisturbed / "half1.mrc").read_bytes() == content


@pytest.mark.parametrize("content", ["[1]", "no JSON"])
def test_a_finished_run_with_a_damaged_summary_is_completed(content, cryoinv, refined, dataset, tmp_path):
    folder = shutil.copytree(refined, tmp_path / "run")
    (folder / "summary.json").write_text(content)
    command = ["refine", dataset / "particles.star", "--reference", dataset / "reference.mrc", "--output", folder]
    outcome = cryoinv(*command, *REFINE, "--resume")
    assert outcome.code == 0 and "resuming after iteration 2" in outcome.err
    assert json.loads((folder / "summary.json").read_text())["iterations"] == 2


def test_other_images_under_the_same_names_are_refused(cryoinv, refined, copy, tmp_path):
    folder = shutil.copytree(refined, tmp_path / "run")
    command = ["refine", copy / "particles.star", "--reference", copy / "reference.mrc", "--output", folder, *REFINE]
    outcome = cryoinv(*command, "--resume")  # the same data set in another place
    assert outcome.code == 0 and "is finished" in outcome.err
    with (copy / "particles.mrcs").open("r+b") as file:
        file.seek(-400 * 4, os.SEEK_END)
        file.write(np.random.default_rng(0).normal(size=400).astype("<f4").tobytes())
    outcome = cryoinv(*command, "--resume")
    assert outcome.code == 1 and "differs in images;" in outcome.err


def test_a_full_disk_says_what_it_needs_and_where_it_goes_on(cryoinv, dataset, tmp_path, monkeypatch):
    ordinary, calls = np.savez, []

    def full(*arguments, **arrays):
        calls.append(arrays)
        if len(calls) == 2:
            raise OSError(28, os.strerror(28))
        return ordinary(*arguments, **arrays)

    monkeypatch.setattr("numpy.savez", full)
    command = ["refine", dataset / "particles.star", "--reference", dataset / "reference.mrc"]
    outcome = cryoinv(*command, "--output", tmp_path / "run", *LONG)
    assert outcome.code == 1
    (told,) = errors_of(outcome.err)
    assert "it needs 0.1 MiB" in told and "--resume goes on after iteration 1 saved in" in told
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"checkpoint.npz", "iterations.jsonl"}


@pytest.mark.parametrize("name", ["particles.star", "fsc.csv", "figures/fsc.png", "summary.json"])
def test_a_disk_that_is_full_in_the_end_says_where_it_goes_on(name, cryoinv, dataset, tmp_path, monkeypatch):
    folder, ordinary = tmp_path / "run", os.replace

    def full(source, target):
        if str(target).endswith(f"run/{name}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return ordinary(source, target)

    command = ["refine", dataset / "particles.star", "--reference", dataset / "reference.mrc", "--output", folder]
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        outcome = cryoinv(*command, *REFINE, "--max-iterations", "1")
    (told,) = errors_of(outcome.err)
    assert outcome.code == 1 and "No space left" in told and "--resume goes on after iteration 1 saved in" in told
    assert "it needs" in told or name in ("particles.star", "figures/fsc.png")


def test_many_processes_measure_the_same_of_what_comes_back(dataset, tmp_path):
    """The same particles are asked, whoever holds them; their statistics are summed in another order."""
    options = [*LONG, "--max-iterations", "9", "--prior", "red,denoiser=(lowpass,resolution=20),guard=true"]
    found = []
    for ranks in (1, 2):
        code, _, errors = finished(refine(dataset, tmp_path / str(ranks), ranks, *options))
        assert code == 0, errors
        rows = (tmp_path / str(ranks) / "iterations.jsonl").read_text().splitlines()
        found.append([value for value in (json.loads(row)["retention_highest"] for row in rows) if value is not None])
    assert len(found[0]) == 1 and found[1] == pytest.approx(found[0], abs=0.01)
