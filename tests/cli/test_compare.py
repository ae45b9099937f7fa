"""`compare` as a command: a process a method, one that dies, one that diverges; going on; bad input."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from cryoinv.cli.folder_lock import refuse_if_locked
from cryoinv.io import read_volume, write_volume

from .conftest import BOX, PIXEL_SIZE, REFINE
from .test_contract import snapshot

# One dies in its second iteration, the first time; one is never finite; one is slow.
PRIORS = """
import os, signal, time
from pathlib import Path
from cryoinv.priors import GaussianPrior

class Dying(GaussianPrior):
    def bind(self, statistics, context):
        if context.iteration == 2 and not Path("died").exists():
            Path("died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().bind(statistics, context)

class Diverging(GaussianPrior):
    def bind(self, statistics, context):
        bound = super().bind(statistics, context)
        bound.precision = bound.precision * float("nan")
        return bound

class Slow(GaussianPrior):
    def bind(self, statistics, context):
        if context.iteration == 2:
            time.sleep(60)
        return super().bind(statistics, context)
"""
LABEL = "<b>two & 'more'</b>"


def arguments(dataset, output, *priors):
    places = ["--reference", dataset / "reference.mrc", "--output", output]
    truth = ["--truth", dataset / "truth.mrc", "--truth-poses", dataset / "truth.star"]
    chosen = [word for prior in priors for word in ("--prior", prior)]
    return ["compare", dataset / "particles.star", *places, *truth, *chosen, *REFINE]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """The working directory, in which third-party priors are."""
    folder, before = tmp_path_factory.mktemp("work"), os.getcwd()
    (folder / "others_priors.py").write_text(PRIORS)
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.fixture(scope="module")
def first(cryoinv, dataset, work):
    """A comparison in which one method is killed, and one diverges."""
    methods = ["gaussian", "others_priors:Dying", "others_priors:Diverging label=nan"]
    return work / "out", cryoinv(*arguments(dataset, work / "out", *methods))


@pytest.fixture(scope="module")
def both(cryoinv, dataset, work, first, tmp_path_factory):
    """The first one as it was, and gone on with: the same methods, and one more."""
    folder, outcome = first
    before = shutil.copytree(folder, tmp_path_factory.mktemp("before") / "out")
    more = f'gaussian,tau2_fudge=2 m-step=closed-form label="{LABEL}"'
    return before, outcome, folder, cryoinv(*arguments(dataset, folder, "gaussian", more), "--resume")


def rows(folder):
    with (folder / "comparison.csv").open(encoding="utf-8", newline="") as file:
        return {row["method"]: row for row in csv.DictReader(file)}


@pytest.mark.slow
def test_failures_are_told_and_the_rest_is_reported(both, refined):
    folder, outcome, _, _ = both
    assert outcome.code == 1 and "2 of 3 methods failed" in outcome.err and "Traceback" not in outcome.text
    table = rows(folder)
    assert [row["status"] for row in table.values()] == ["finished", "failed", "failed"]
    assert "SIGKILL" in table["others_priors:Dying"]["error"] and "finite" in table["nan"]["error"]
    assert table["nan"]["wall_seconds"] == "" and float(table["gaussian"]["wall_seconds"]) > 0
    assert "gaussian" in outcome.out and "report.html" in outcome.out
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "SIGKILL" in report and "http:" not in report and "https:" not in report
    # As `refine` with the same options, but for sums in another order where the number of threads is another.
    found, expected = (read_volume(place / "map.mrc")[0] for place in (folder / "methods" / "gaussian", refined))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
def test_memory_is_that_of_the_methods_process(both):
    peak = float(rows(both[0])["gaussian"]["peak_memory_mib"])
    summary = json.loads((both[0] / "methods" / "gaussian" / "summary.json").read_text())
    assert summary["peak_memory_mib"] == peak and 100 < peak < 3000
    assert summary["prior"] == "gaussian" and summary["label"] == "gaussian" and "m_step" not in summary


@pytest.mark.slow
def test_going_on_runs_only_what_is_left(both):
    before, _, after, outcome = both
    assert outcome.code == 1 and "1 of 4 methods failed" in outcome.err
    assert "gaussian (finished before)" in outcome.err and "taken along: nan, others_priors:Dying" in outcome.err
    table = rows(after)
    assert list(table) == ["gaussian", LABEL, "nan", "others_priors:Dying"]
    assert [row["status"] for row in table.values()] == ["finished", "finished", "failed", "finished"]
    kept = [list(snapshot(folder / "methods" / "gaussian").values()) for folder in (before, after)]
    assert kept[0] and kept[0] == kept[1]
    # Resumed after its first iteration, it ends where the undisturbed one does: it is the same prior.
    maps = [after / "methods" / name / "map.mrc" for name in ("gaussian", "others_priors-Dying")]
    assert maps[0].read_bytes() == maps[1].read_bytes()
    assert "&lt;b&gt;two &amp;" in (after / "report.html").read_text(encoding="utf-8")
    assert "<b>two" not in (after / "report.html").read_text(encoding="utf-8")
    assert json.loads((after / "methods" / table[LABEL]["folder"].split("/")[1] / "method.json").read_text()) == {
        "prior": "gaussian,tau2_fudge=2", "m_step": "closed-form", "solver": "", "denoiser": "", "output_prior": "",
        "output_m_step": "",
        "label": LABEL,
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_comparison_stops_its_method_and_goes_on_later(number, code, dataset, work, tmp_path):
    folder = tmp_path / "out"
    command = [sys.executable, "-m", "cryoinv", *map(str, arguments(dataset, folder, "others_priors:Slow label=a"))]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=work,
        start_new_session=True,
        # A shell lets its background jobs ignore Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not (folder / "methods" / "a" / "checkpoint.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    if number == signal.SIGINT:  # as a terminal does: to all processes
        os.killpg(process.pid, number)
    else:  # as a batch system may: to the first alone
        os.kill(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code and "Traceback" not in errors, errors
    refuse_if_locked(folder)
    refuse_if_locked(folder / "methods" / "a")
    left = {path.name for path in folder.rglob("*") if path.is_file()}
    assert left == {"method.json", "iterations.jsonl", "checkpoint.npz"}


def refused(outcome, output, *words, code=1):
    assert outcome.code == code, outcome.text
    assert "Traceback" not in outcome.text and not output.exists()
    for word in words:
        assert word in outcome.err


@pytest.mark.parametrize(
    ("priors", "words"),
    [
        (["gaussian", "gausian"], ["gausian", "did you mean 'gaussian'"]),
        (["gaussian,tau2_fuge=2"], ["tau2_fuge", "did you mean 'tau2_fudge'"]),
        (["gaussian", "gaussian mstep=closed-form"], ["mstep", "m-step"]),
        (["gaussian", "no_such_module:Prior"], ["no_such_module"]),
        (["gaussian", "cryoinv.priors:Prior label=bare"], ["'bare'", "Prior"]),
    ],
)
def test_a_method_that_cannot_be_made_stops_all(priors, words, cryoinv, dataset, tmp_path):
    refused(cryoinv(*arguments(dataset, tmp_path / "out", *priors)), tmp_path / "out", *words)


def test_wrong_usage(cryoinv, dataset, tmp_path):
    few, output = ["compare", dataset / "particles.star", "--reference", dataset / "reference.mrc"], tmp_path / "out"
    few += ["--output", output]
    refused(cryoinv(*few, "--truth", dataset / "truth.mrc"), output, "--truth-poses", code=2)
    refused(cryoinv(*few, "--truth-poses", dataset / "truth.star"), output, "--truth", code=2)
    refused(cryoinv(*few, "--resume", "--overwrite"), output, "exclude", code=2)


def test_a_truth_that_does_not_fit(cryoinv, dataset, tmp_path):
    output = tmp_path / "out"
    truth, _ = read_volume(dataset / "truth.mrc")
    write_volume(tmp_path / "small.mrc", truth[:16, :16, :16], PIXEL_SIZE)
    write_volume(tmp_path / "coarse.mrc", truth, 2 * PIXEL_SIZE)
    words = arguments(dataset, output, "gaussian")
    for name, said in (("small.mrc", "16"), ("coarse.mrc", "pixel size"), ("none.mrc", "no such")):
        refused(cryoinv(*words, "--truth", tmp_path / name), output, name, said)
    refused(cryoinv(*words, "--truth-poses", dataset / "particles.star"), output, "particles.star")
    lines = (dataset / "truth.star").read_text().splitlines(keepends=True)
    (dataset / "few.star").write_text("".join(line for line in lines if not line.startswith("000003@")))
    refused(cryoinv(*words, "--truth-poses", dataset / "few.star"), output, "few.star", "1 of 24")
    (dataset / "few.star").unlink()
    assert str(BOX) in cryoinv(*words, "--truth", tmp_path / "small.mrc").err


def test_a_folder_that_is_not_empty_is_left_alone(cryoinv, dataset, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    outcome = cryoinv(*arguments(dataset, output, "gaussian"))
    assert outcome.code == 1 and "--resume" in outcome.err and "--overwrite" in outcome.err
    assert [path.name for path in output.iterdir()] == ["notes.txt"]
    copy = shutil.copytree(dataset, tmp_path / "data")
    (copy / "methods" / "gaussian").mkdir(parents=True)
    shutil.move(copy / "reference.mrc", copy / "methods" / "gaussian" / "map.mrc")
    before = snapshot(copy)
    words = arguments(copy, copy, "gaussian")
    words[words.index("--reference") + 1] = copy / "methods" / "gaussian" / "map.mrc"
    outcome = cryoinv(*words, "--overwrite")
    assert outcome.code == 1 and "is an input" in outcome.err and snapshot(copy) == before


@pytest.mark.slow
def test_other_settings_are_not_mixed_in_but_may_replace(cryoinv, dataset, work, both, tmp_path):
    folder = shutil.copytree(both[2], tmp_path / "out")
    before = snapshot(folder)
    outcome = cryoinv(*arguments(dataset, folder, "gaussian"), "--resume", "--seed", 1)
    assert outcome.code == 1 and "seed" in outcome.err and snapshot(folder) == before
    few = ["--max-iterations", "1"]
    outcome = cryoinv(*arguments(dataset, folder, "gaussian label=new"), "--overwrite", "--seed", 1, *few)
    assert outcome.code == 0, outcome.text
    assert list(rows(folder)) == ["new"] and [path.name for path in (folder / "methods").iterdir()] == ["new"]
