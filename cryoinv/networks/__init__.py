"""Network architectures, and the files their weights come from."""

from .apply import NetworkInputs, apply_denoising, network_inputs, peak_scale
from .base import DenoisingNetwork, Network
from .critic import ConvolutionalCritic
from .files import ARCHITECTURES, RECONSTRUCTOR, read_network, write_network
from .gated import GatedResidualNetwork
from .gated_unet import GatedUNet
from .placement import Placement
from .residual_unet import ResidualUNet

__all__ = [
    "ARCHITECTURES",
    "RECONSTRUCTOR",
    "ConvolutionalCritic",
    "DenoisingNetwork",
    "GatedResidualNetwork",
    "GatedUNet",
    "Network",
    "NetworkInputs",
    "Placement",
    "ResidualUNet",
    "apply_denoising",
    "network_inputs",
    "peak_scale",
    "read_network",
    "write_network",
]
