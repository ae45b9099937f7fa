"""Particles a second through one iteration's global search, and what share of the device's product rate that is.

One pass over noisy images of the demonstration structure, box 128 at 1.5 Å, with all its parts: transforms, slices,
scores, softmax, sums, insertion. Products are counted as they are made (pairs of orientations half a turn apart share
one) and held against plain products of large matrices on the same device, in TF32 where the pass uses it.

    python benchmarks/global_search.py [--device cuda] [--particles 10000] [--order 2] [--r-max 20] [--json]

The last line of ``--json`` is one object: `particles_per_second`, `product_rate_tflops`, `plain_product_rate_tflops`,
`share_of_product_rate`, `peak_memory_mib`, and on a GPU `peak_device_memory_mib`.
"""

import argparse
import json
import time

import numpy as np
import torch

from cryoinv.geometry import SO3Grid
from cryoinv.io import ParticleStack
from cryoinv.likelihood import ExhaustiveSearch, FourierImages, MarginalLikelihood
from cryoinv.likelihood.tensor_cores import tf32
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators import TrilinearInterpolation
from cryoinv.refinement.output import peak_memory_mib
from cryoinv.simulation import demo_structure, potential_map

SNR = 0.05


def seconds(call, device, rounds):
    """Fastest wall time of a call, what it started on a GPU included."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - start)
    return min(taken)


def problem(options, device):
    """Likelihood of the particles over a global grid, and the map they are of."""
    rng = np.random.default_rng(0)
    volume = torch.as_tensor(potential_map(demo_structure(), options.box, 192.0 / options.box)).float()
    volume = volume * float(SNR**0.5 / volume.sum(0).std())
    clean = torch.stack([volume.sum(axis) for axis in (0, 1, 2)]).numpy().astype(np.float32)
    pictures = rng.standard_normal((options.particles, options.box, options.box), dtype=np.float32)
    pictures += clean[np.arange(options.particles) % 3]
    images = FourierImages(ParticleStack.from_arrays(pictures, 192.0 / options.box), device, cache_bytes=1 << 33)
    search = ExhaustiveSearch(SO3Grid(options.order), options.max_shift)
    noise = RadialGaussianNoise.white(1.0, options.box // 2 + 1)
    memory = options.memory << 20
    scheme = TrilinearInterpolation(options.box)
    likelihood = MarginalLikelihood(images, noise, search, scheme, r_max=options.r_max, memory_bytes=memory)
    return likelihood, volume.to(device)


def plain_rate(device, size):
    """Operations a second of a large matrix product."""
    a, b = torch.randn(2, size, size, device=device)
    out = torch.empty_like(a)
    with tf32(device.type == "cuda"):
        torch.mm(a, b, out=out)
        return 2 * size**3 / seconds(lambda: torch.mm(a, b, out=out), device, 5)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--particles", type=int, default=10_000)
    parser.add_argument("--box", type=int, default=128)
    parser.add_argument("--order", type=int, default=2)
    parser.add_argument("--r-max", type=float, default=20.0, help="shells that are scored")
    parser.add_argument("--max-shift", type=float, default=3.0, help="pixels")
    parser.add_argument("--memory", type=int, default=512, help="MiB")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    options = parser.parse_args()
    device = torch.device(options.device)
    likelihood, volume = problem(options, device)
    likelihood.expectation(volume, np.arange(min(256, options.particles)))  # compiles, fills caches
    taken = seconds(lambda: likelihood.expectation(volume), device, options.rounds)
    search = likelihood.search
    scores = options.particles * len(search.translations) * len(search.rotations)
    operations = 2 * 2 * scores * likelihood.count  # real and imaginary parts, half of the slices; scores and sums
    plain = plain_rate(device, 8192 if device.type == "cuda" else 2048)
    result = {
        "particles_per_second": options.particles / taken,
        "scores_per_second": scores / taken,
        "product_rate_tflops": operations / taken / 1e12,
        "plain_product_rate_tflops": plain / 1e12,
        "share_of_product_rate": operations / taken / plain,
        "peak_memory_mib": peak_memory_mib(),
        "pixels": likelihood.count,
        "threads": torch.get_num_threads(),
        "device": str(device),
    }
    if device.type == "cuda":
        result["device"] = torch.cuda.get_device_name(device)
        result["peak_device_memory_mib"] = torch.cuda.max_memory_allocated(device) / 2**20
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:<28} {value:.4g}" if isinstance(value, float) else f"{name:<28} {value}")


if __name__ == "__main__":
    main()
