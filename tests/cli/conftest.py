"""A tiny data set and one refinement of it, and a way to run commands in this process."""

import shutil

import pytest
import torch
from typer.testing import CliRunner

from cryoinv.cli.main import app
from cryoinv.io import write_structure
from cryoinv.simulation import demo_structure

BOX, PIXEL_SIZE, COUNT = 20, 7.0, 24
REFINE = ["--max-iterations", "2", "--max-shift", "0", "--device", "cpu"]


class Outcome:
    """Exit code and both streams of a command."""

    def __init__(self, arguments):
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        self.code, self.out, self.err = result.exit_code, result.stdout, result.stderr
        self.text = self.out + self.err


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    """Problems this small get slower with more, most of all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def cryoinv():
    def run(*arguments):
        return Outcome(arguments)

    return run


@pytest.fixture(scope="session")
def structure(tmp_path_factory):
    path = tmp_path_factory.mktemp("structure") / "2xhe.cif"
    write_structure(path, demo_structure())
    return path


@pytest.fixture(scope="session")
def dataset(cryoinv, structure, tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "new" / "data"
    outcome = cryoinv(
        "simulate",
        structure,
        "--box",
        BOX,
        "--pixel-size",
        PIXEL_SIZE,
        "--particles",
        COUNT,
        "--snr",
        "1",
        "--max-shift",
        "0",
        "--output",
        folder,
    )
    assert outcome.code == 0, outcome.text
    return folder


@pytest.fixture(scope="session")
def refinement(cryoinv, dataset, tmp_path_factory):
    """A folder that `refine` wrote, and what it said."""
    folder = tmp_path_factory.mktemp("refined") / "run"
    outcome = cryoinv(
        "refine", dataset / "particles.star", "--reference", dataset / "reference.mrc", "--output", folder, *REFINE
    )
    assert outcome.code == 0, outcome.text
    return folder, outcome


@pytest.fixture(scope="session")
def refined(refinement):
    return refinement[0]


@pytest.fixture
def copy(dataset, tmp_path):
    """The data set in a folder of its own, to be spoilt."""
    return shutil.copytree(dataset, tmp_path / "data")
