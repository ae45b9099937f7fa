"""One run at a time in a folder."""

import json
import os
import subprocess
import sys

import pytest

from cryoinv.cli.folder_lock import LOCK, folder_lock, refuse_if_locked
from cryoinv.errors import InputError

from .conftest import REFINE

HOLD = """
import sys, time
from pathlib import Path
from cryoinv.cli.folder_lock import folder_lock
with folder_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def held(tmp_path):
    """A folder that another process holds, and that process."""
    folder = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield folder, process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("option", [[], ["--overwrite"], ["--resume"]])
def test_a_second_run_is_refused_and_told_who_holds_the_folder(held, option, cryoinv, dataset):
    folder, process = held
    outcome = cryoinv(
        "refine", dataset / "particles.star", "--reference", dataset / "reference.mrc", "--output", folder, *REFINE,
        *option,
    )
    assert outcome.code == 1 and outcome.err.count("\n") == 1
    assert f"process {process.pid} on " in outcome.err and "another refinement" in outcome.err
    assert [p.name for p in folder.iterdir()] == [LOCK]


def test_a_killed_run_holds_nothing(held):
    folder, process = held
    process.kill()
    process.wait()
    assert (folder / LOCK).exists()
    refuse_if_locked(folder)
    with folder_lock(folder):
        assert json.loads((folder / LOCK).read_text())["process"] == os.getpid()
    assert not list(folder.iterdir())


def test_a_folder_made_for_nothing_goes_again_and_one_with_files_stays(tmp_path):
    with folder_lock(tmp_path / "a" / "b"):
        pass
    assert not list(tmp_path.iterdir())
    with folder_lock(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "map.mrc").touch()
    assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["map.mrc"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made"), folder_lock(tmp_path / "file" / "run"):
        pass
