"""Networks from files: made again as they were, and refused where the file is not what is asked for."""

import pytest
import torch

from cryoinv.errors import InputError
from cryoinv.io import read_weights, write_weights
from cryoinv.networks import (
    ARCHITECTURES,
    ConvolutionalCritic,
    GatedResidualNetwork,
    Network,
    Placement,
    apply_denoising,
    read_network,
    write_network,
)

from .networks_at_random import SMALL, at_random, drawn


def small(kind):
    torch.manual_seed(0)
    network = {"critic": lambda: ConvolutionalCritic(2), "denoiser": lambda: GatedResidualNetwork(3, 2)}[kind]()
    with torch.no_grad():
        for weights in network.parameters():
            weights.add_(0.1 * torch.randn(weights.shape))
    return network


@pytest.mark.parametrize("kind", ["critic", "denoiser"])
def test_a_network_comes_back_as_it_was(tmp_path, kind):
    network = small(kind)
    write_network(tmp_path / "n.safetensors", network, (2.5, 3), {"maps": 7})
    found, metadata = read_network(tmp_path / "n.safetensors", kind)
    assert type(found) is type(network) and found.sizes == network.sizes and not found.training
    assert metadata["pixel_sizes"] == (2.5, 3.0) and metadata["notes"] == {"maps": 7}
    x = torch.randn(2, 9, 9, 9) if kind == "critic" else torch.randn(1, 2, 9, 9, 9)
    torch.testing.assert_close(found(x), network(x), rtol=0, atol=0)


@pytest.mark.parametrize("name", SMALL)
def test_every_denoiser_comes_back_as_it_was(tmp_path, name):
    """Running averages of batches and how many there were among it."""
    network = at_random(SMALL[name]())
    write_network(tmp_path / "n.safetensors", network, (2.5, 3))
    found, metadata = read_network(tmp_path / "n.safetensors", "denoiser")
    assert type(found) is type(network) and found.sizes == network.sizes and metadata["architecture"] == name
    assert {key: tensor.dtype for key, tensor in found.state_dict().items()} == {
        key: tensor.dtype for key, tensor in network.state_dict().items()
    }
    x, transfer = drawn(1, 9, 9, 9, dtype=torch.float32), torch.ones(5)
    assert torch.equal(apply_denoising(found, x, transfer), apply_denoising(network, x, transfer))


def test_architectures_state_what_files_ask_for():
    for name, architecture in ARCHITECTURES.items():
        assert architecture.name == name and architecture.kind in ("denoiser", "critic")
        assert architecture.normalisation and architecture.version >= 1
        assert architecture().sizes  # made without arguments, so with defaults worth having


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "critic"}, "is a critic, expected a denoiser"),
        ({"kind": None}, "file of unknown kind"),
        ({"architecture": "gated-residua"}, "unknown architecture .* did you mean 'gated-residual'"),
        ({"architecture": "convolutional-critic"}, "unknown architecture .* expected one of: .*gated-residual"),
        ({"version": 1}, "version of gated-residual is 1, expected 2"),
        ({"normalisation": "none"}, "normalisation of gated-residual is 'none'"),
        ({"sizes": [3, 2]}, "expected numbers by name"),
        ({"sizes": {"width": 3, "depth": 2, "height": 1}}, "do not fit gated-residual"),
        ({"sizes": {"width": 4, "depth": 2}}, "do not fit gated-residual.*size mismatch"),
        ({"sizes": {"width": 3, "depth": 3}}, "do not fit gated-residual.*Missing"),
        ({"sizes": {"width": 3.5, "depth": 2}}, "positive whole number"),
        ({"pixel_sizes": [3, 2]}, "pixel sizes"),
        ({"pixel_sizes": None}, "pixel sizes"),
        ({"pixel_sizes": ["a", "b"]}, "pixel sizes"),
    ],
)
def test_what_does_not_suit_is_refused(tmp_path, change, message):
    path = tmp_path / "n.safetensors"
    write_network(path, small("denoiser"), (3.0, 3.0))
    tensors, metadata = read_weights(path)
    write_weights(path, tensors, metadata | change)
    with pytest.raises(InputError, match=f"(?s){path.name}.*{message}|{message}"):
        read_network(path, "denoiser")


def test_weights_that_are_not_finite_are_refused(tmp_path):
    network = small("critic")
    next(network.parameters()).data[0] = torch.nan
    write_network(tmp_path / "n.safetensors", network, (3.0, 3.0))
    with pytest.raises(InputError, match=r"weights 'layers.0.weight' are not finite"):
        read_network(tmp_path / "n.safetensors", "critic")


def test_running_averages_that_are_not_finite_are_refused(tmp_path):
    network = at_random(SMALL["residual-unet"]())
    network.down[0][1].running_mean[0] = torch.inf
    write_network(tmp_path / "n.safetensors", network, (3.0, 3.0))
    with pytest.raises(InputError, match=r"weights 'down.0.1.running_mean' are not finite"):
        read_network(tmp_path / "n.safetensors", "denoiser")


def test_only_known_architectures_are_written(tmp_path):
    class Other(Network):
        name, kind, normalisation = "other", "critic", "none"

    for network in (Other(), torch.nn.Linear(1, 1)):
        with pytest.raises(InputError, match="cannot write a .*expected one of: convolutional-critic, gated-residual"):
            write_network(tmp_path / "n.safetensors", network, (3.0, 3.0))
    with pytest.raises(InputError, match="expected a range"):
        write_network(tmp_path / "n.safetensors", small("critic"), (3.0, 2.0))


def test_a_placement_keeps_its_own_weights():
    module = torch.nn.Linear(2, 1)
    place = Placement(module)
    before = place(torch.zeros(1)).weight.clone()
    module.weight.data.zero_()
    assert torch.equal(place(torch.zeros(1)).weight, before) and module.weight.requires_grad
    assert place(torch.zeros(1)) is place(torch.ones(3)) and not place(torch.zeros(1)).weight.requires_grad
    assert place(torch.zeros(1, dtype=torch.float64)).weight.dtype == torch.float64


def test_a_placement_keeps_running_averages_and_their_types():
    network = at_random(SMALL["residual-unet"]()).train()
    place = Placement(network)
    network(torch.randn(2, 2, 8, 8, 8))  # takes part in the averages of the network, not of the copy
    copy = place(torch.zeros(1, dtype=torch.float64))
    before = {key: tensor.clone() for key, tensor in copy.state_dict().items()}
    assert not copy.training and copy.reach == network.reach
    copy(drawn(2, 2, 8, 8, 8))
    assert all(torch.equal(tensor, before[key]) for key, tensor in copy.state_dict().items())
    assert {tensor.dtype for tensor in before.values()} == {torch.float64, torch.int64}
    assert int(before["down.0.1.num_batches_tracked"]) == 7


@pytest.mark.parametrize("n", [8, 9, 16, 21])
def test_the_critic_takes_any_box_and_its_slope_is_that_of_its_mean(n):
    critic = small("critic").double()
    x = torch.randn(2, n, n, n, dtype=torch.float64)
    assert critic(x).shape == (2,)
    assert torch.autograd.gradcheck(lambda t: critic(x + t), torch.zeros((), dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        (["a", "list"], "the notes are a list, expected entries by name"),
        ({"names": "abc"}, "the structures learned from are 'abc', expected a list of names"),
        ({"names": [{}]}, "expected a list of names"),
        ({"finest": "8"}, "the finest features are '8', expected a positive number in Å"),
        ({"finest": True}, "expected a positive number in Å"),
        ({"finest": -1.0}, "expected a positive number in Å"),
        ({"calibration": [1]}, "the calibration is a list, expected tables by name"),
    ],
)
def test_notes_of_the_wrong_type_are_refused(tmp_path, notes, message):
    path = tmp_path / "network.safetensors"
    write_network(path, SMALL["gated-unet"](), (3.0, 3.0))
    tensors, metadata = read_weights(path)
    write_weights(path, tensors, metadata | {"notes": notes})
    with pytest.raises(InputError, match=message):
        read_network(path, "denoiser")
