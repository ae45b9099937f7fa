"""Several processes for real."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

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
