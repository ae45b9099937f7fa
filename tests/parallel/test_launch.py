"""Who a process is, as its environment tells."""

import pytest

from cryoinv.errors import InputError
from cryoinv.parallel import Launch, Processes, joined, launched


@pytest.fixture
def environment(monkeypatch):
    def tell(**values):
        for name, value in ({"MASTER_ADDR": "localhost", "MASTER_PORT": "1"} | values).items():
            monkeypatch.setenv(name, value)

    return tell


def test_torchrun_tells_the_place(environment):
    environment(RANK="5", WORLD_SIZE="8", LOCAL_RANK="1", LOCAL_WORLD_SIZE="4")
    assert launched() == Launch(5, 8, 1, 4)


def test_a_world_size_alone_means_nothing(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert launched() == Launch()


@pytest.mark.parametrize(("rank", "size"), [("2", "2"), ("x", "2"), ("0", "-1")])
def test_a_place_that_cannot_be_is_refused(environment, rank, size):
    environment(RANK=rank, WORLD_SIZE=size)
    with pytest.raises(InputError, match="in the environment, expected"):
        launched()


def test_one_process_is_alone_and_gets_back_what_it_gives(environment):
    environment(RANK="0", WORLD_SIZE="1")
    with joined() as processes:
        assert type(processes) is Processes and processes.first and processes.speaks()
        assert processes.gather({"a": 1}) == [{"a": 1}] and processes.broadcast({"a": 1}) == {"a": 1}
        assert processes.share([lambda: 1, lambda: 2]) == [1, 2]
