"""The environment's word on the place of a process, heard by threads, messages and commands alike."""

import os

import pytest

from cryoinv.cli import options, ranks
from cryoinv.errors import InputError

PLACE = {"MASTER_ADDR": "localhost", "MASTER_PORT": "1", "RANK": "1", "WORLD_SIZE": "2"}


@pytest.fixture
def environment(monkeypatch):
    def tell(values):
        for name in (*PLACE, "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return tell


@pytest.mark.parametrize(
    ("told", "sharing"),
    [
        ({}, None),
        ({"LOCAL_WORLD_SIZE": "4"}, None),  # of a launcher that says nothing else
        (PLACE | {"WORLD_SIZE": "4"}, 4),
        (PLACE | {"WORLD_SIZE": "4", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}, 2),
        (PLACE | {"WORLD_SIZE": "4", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}, None),
    ],
)
def test_processes_of_a_machine_share_its_cores(told, sharing, environment, monkeypatch):
    environment(told)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert options._share_of_cores() == (None if sharing is None else 8 // sharing)
    assert ranks.alone() == ("RANK" not in told)


def test_a_command_that_does_not_share_its_work_is_refused(environment):
    environment(PLACE)
    with pytest.raises(InputError, match="fsc was started as 2 processes, expected one"):
        ranks.only_alone("fsc")


@pytest.mark.parametrize("command", ["fsc", "refine"])
def test_a_place_that_cannot_be_is_said(command, environment, cryoinv, dataset, tmp_path):
    environment(PLACE | {"RANK": "x"})
    truth = dataset / "truth.mrc"
    more = {"fsc": [truth], "refine": ["--reference", truth, "--output", tmp_path / "run"]}
    outcome = cryoinv(command, truth, *more[command])
    assert outcome.code == 1 and outcome.err.count("\n") == 1 and "RANK is 'x'" in outcome.err
