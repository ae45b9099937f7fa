"""Device names."""

import logging

import pytest
import torch

from cryoinv.errors import DeviceError, InputError
from cryoinv.spaces import VolumeSpace, resolve_device


def test_cpu_is_cpu():
    assert resolve_device("cpu") == resolve_device(torch.device("cpu")) == "cpu"


def test_auto_says_what_it_chose(caplog):
    with caplog.at_level(logging.INFO, "cryoinv"):
        name = resolve_device()
    assert f"using {name}" in caplog.text
    assert name == ("cuda:0" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("count", [0, 1, 2])
def test_missing_gpu_is_an_error_never_the_cpu(monkeypatch, count):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(DeviceError, match=rf"cuda:{count}"):
        resolve_device(f"cuda:{count}")
    if count:
        assert resolve_device("cuda") == "cuda:0"
    else:
        with pytest.raises(DeviceError, match="no GPU"):
            VolumeSpace(4, device="cuda")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda0", "mps"])
def test_unknown_names_are_refused(name):
    with pytest.raises(InputError, match=name):
        resolve_device(name)
