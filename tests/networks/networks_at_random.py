"""Networks whose every weight is drawn, so that nothing is zero that training would fill."""

import torch

from cryoinv.networks import GatedResidualNetwork, GatedUNet, ResidualUNet
from cryoinv.networks.apply import DESCRIBED_AT

SMALL = {
    "gated-unet": lambda: GatedUNet(2, 2, 1),
    "residual-unet": lambda: ResidualUNet(2, 2),
    "gated-residual": lambda: GatedResidualNetwork(3, 2),
}


def at_random(network, seed=0):
    """The network in evaluation mode, with weights and running averages of order one over the square root of inputs."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            tensor.fill_(7)
        elif name.endswith("running_var"):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
        else:
            tensor.copy_(torch.randn(tensor.shape, generator=generator) / max(tensor[0].numel(), 1) ** 0.5)
    return network.eval()


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def channels(network):
    """Maps that a network is given of each: the noisy one and its bands."""
    return 1 + network.filters(torch.ones(1, 3)).shape[1]


def run(network, maps, seed=5):
    """The network of maps, with descriptions at random if it asks for any."""
    description = drawn(1, 2 * DESCRIBED_AT, seed=seed).to(maps).expand(len(maps), -1)
    return network(maps, description) if network.takes_description else network(maps)
