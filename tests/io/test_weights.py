"""Weights in safetensors files: what is written is read back, and what is not one is refused by name."""

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from cryoinv.errors import InputError
from cryoinv.io import read_weights, write_weights


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "net.safetensors"
    write_weights(path, torch.nn.Conv3d(1, 2, 3).state_dict(), {"kind": "test", "sizes": {"width": 2}, "ü": [1.5]})
    return path


def test_round_trip_keeps_every_bit_type_and_name(tmp_path):
    state = {
        "half": torch.randn(3).half(),
        "double": torch.randn(2, 2, dtype=torch.float64),
        "whole": torch.arange(4),
        "turned": torch.randn(2, 3).T,  # not contiguous
    }
    state["again"] = state["double"]  # shares its memory
    metadata = {"kind": "test", "nested": {"a": [1, 2.5, "text", None, True]}}
    write_weights(tmp_path / "w.safetensors", state, metadata)
    tensors, found = read_weights(tmp_path / "w.safetensors")
    assert found == metadata and tensors.keys() == state.keys()
    for name, tensor in state.items():
        assert tensors[name].dtype == tensor.dtype and torch.equal(tensors[name], tensor)


def test_the_file_may_be_read_by_whoever_may_read_others(written, tmp_path):
    (tmp_path / "other").write_bytes(b"x")
    assert written.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_parameters_that_need_gradients_are_written(tmp_path):
    write_weights(tmp_path / "w.safetensors", {"a": torch.ones(2, requires_grad=True)}, {})
    assert not read_weights(tmp_path / "w.safetensors")[0]["a"].requires_grad


@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 0.99])
def test_a_file_cut_short_is_refused(written, part):
    whole = written.read_bytes()
    written.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(InputError, match=written.name):
        read_weights(written)


def test_every_byte_of_the_header_may_be_damaged(written):
    whole = written.read_bytes()
    for place in range(0, min(len(whole), 400), 7):
        written.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            read_weights(written)
        except InputError as error:
            assert written.name in str(error)


def test_a_pickle_is_refused_and_not_run(tmp_path):
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return (open, (str(ran), "w"))

    path = tmp_path / "net.safetensors"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match="no safetensors file"):
        read_weights(path)
    assert not ran.exists()


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="there is no such file of weights"):
        read_weights(tmp_path / "none.safetensors")
    with pytest.raises(InputError, match="is a folder"):
        read_weights(tmp_path)


@pytest.mark.parametrize("metadata", [None, {"other": "x"}, {"cryoinv": "{"}, {"cryoinv": json.dumps([1])}])
def test_tensors_that_do_not_say_what_they_are_are_refused(tmp_path, metadata):
    save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors", metadata)
    with pytest.raises(InputError, match="metadata entry 'cryoinv'"):
        read_weights(tmp_path / "a.safetensors")


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"ends in \.safetensors"):
        write_weights(tmp_path / "net.pt", {}, {})
    for value in (object(), float("nan")):
        with pytest.raises(InputError, match="what JSON can hold"):
            write_weights(tmp_path / "net.safetensors", {}, {"a": value})
    with pytest.raises(InputError, match="there is no folder"):
        write_weights(tmp_path / "no" / "net.safetensors", {}, {})
    assert not list(tmp_path.iterdir())
