"""Several processes for real."""

import os
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch

from cryoinv.errors import LostProcessError
from cryoinv.parallel import Launch, Processes, ProcessGroup
from cryoinv.parallel.group import _noticing_losses

WORKER = Path(__file__).with_name("worker.py")


def run(size, what):
    """Exit codes and errors of so many processes."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    place = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": str(size)}
    started = [
        subprocess.Popen([sys.executable, WORKER, what], env=os.environ | place | {"RANK": str(rank)},
                         stderr=subprocess.PIPE, text=True)
        for rank in range(size)
    ]
    errors = [process.communicate(timeout=120)[1] for process in started]
    return [process.returncode for process in started], errors


@pytest.mark.parametrize(("size", "what"), [(3, "twice"), (2, "initialised")])
def test_every_exchange_gives_all_processes_what_it_must(size, what):
    codes, errors = run(size, what)
    assert codes == [0] * size, errors


def test_the_death_of_one_is_noticed_by_the_other_at_once():
    started = time.monotonic()
    codes, errors = run(2, "lose")
    assert codes == [7, -9], errors
    assert time.monotonic() - started < 60


@pytest.fixture
def port(monkeypatch):
    """A socket at the port where the processes are to meet."""
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        monkeypatch.setenv("MASTER_ADDR", "localhost")
        monkeypatch.setenv("MASTER_PORT", str(taken.getsockname()[1]))
        yield taken


@pytest.mark.parametrize("case", ["taken", "no number", "nobody comes"])
def test_processes_that_do_not_meet_say_where_they_were_to(case, port, monkeypatch):
    monkeypatch.setattr("cryoinv.parallel.group._MEETING", timedelta(seconds=1))
    if case == "taken":
        port.listen()
    elif case == "no number":
        monkeypatch.setenv("MASTER_PORT", "x")
    else:
        port.close()
    with pytest.raises(LostProcessError, match=f"process 0 of 2 .* at localhost:{os.environ['MASTER_PORT']} "):
        ProcessGroup(Launch(0, 2, 0, 2))
    assert not torch.distributed.is_initialized()


def test_a_gpu_that_is_full_is_no_lost_process():
    with pytest.raises(torch.cuda.OutOfMemoryError), _noticing_losses(Processes()):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    with pytest.raises(LostProcessError), _noticing_losses(Processes()):
        raise RuntimeError("Connection closed by peer")
