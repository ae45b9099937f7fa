"""Network architectures, and the files their weights come from."""

from .base import Network
from .critic import ConvolutionalCritic
from .files import ARCHITECTURES, read_network, write_network
from .gated import GatedResidualNetwork
from .placement import Placement

__all__ = [
    "ARCHITECTURES",
    "ConvolutionalCritic",
    "GatedResidualNetwork",
    "Network",
    "Placement",
    "read_network",
    "write_network",
]
