"""The command as a process: start, interruption, the unforeseen."""

import os
import signal
import subprocess
import sys
import time

import pytest

from .conftest import REFINE

COMMAND = [sys.executable, "-m", "cryoinv"]


def test_help_needs_no_heavy_import():
    code = "import sys, cryoinv.cli.main; print(sorted({'torch', 'numpy', 'odl', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_names_every_command():
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True)
    for name in ("simulate", "refine", "compare", "reconstruct", "denoise", "fsc", "evaluate", "demo"):
        assert name in done.stdout


def test_the_unforeseen_is_one_line_and_a_traceback_only_on_request(cryoinv, dataset, tmp_path, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("what nobody foresaw")

    monkeypatch.setattr("cryoinv.metrics.fourier_shell_correlation", fail)
    arguments = ["fsc", dataset / "truth.mrc", dataset / "truth.mrc"]
    outcome = cryoinv(*arguments)
    assert outcome.code == 1 and outcome.err.count("\n") == 1
    assert "ZeroDivisionError" in outcome.err and "--debug" in outcome.err and "Traceback" not in outcome.err
    monkeypatch.setenv("CRYOINV_DEBUG", "1")
    assert "Traceback" in cryoinv(*arguments).err


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_process_leaves_a_checkpoint_and_no_temporary_files(number, code, dataset, tmp_path):
    arguments = [
        "refine",
        dataset / "particles.star",
        "--reference",
        dataset / "reference.mrc",
        "--output",
        tmp_path / "run",
        *REFINE,
        "--max-iterations",
        "20",
        "--threads",
        "1",
    ]
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        # A shell lets its background jobs ignore Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "checkpoint.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code and "Traceback" not in errors
    assert {p.name for p in (tmp_path / "run").iterdir()} <= {"checkpoint.npz", "iterations.jsonl"}


@pytest.mark.slow
def test_demo(cryoinv, tmp_path, monkeypatch):
    import cryoinv.cli.demo as demo

    for name, value in (("_BOX", 20), ("_PIXEL_SIZE", 7.0), ("_PARTICLES", 30), ("_SNR", 1.0), ("_MAX_SHIFT", 0.0)):
        monkeypatch.setattr(demo, name, value)
    outcome = cryoinv("demo", "--output", tmp_path / "demo", "--device", "cpu")
    assert outcome.code == 0, outcome.text
    for word in ("half-maps", "truth", "angular error", "shift error", "time", "figures"):
        assert word in outcome.out
    assert len(list((tmp_path / "demo" / "figures").glob("*.png"))) == 7
    again = cryoinv("demo", "--output", tmp_path / "demo")
    assert again.code == 1 and "--overwrite" in again.err
