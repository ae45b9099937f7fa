"""Amplitude gain per shell of reconstructions from noise-free projections at known poses.

1,000 exact projections (NUFFT) of the demonstration structure or of maps given, box 64 at 3 Å. Compared are B/K on
trilinear grids, B/K of the NUFFT, and the least-squares solution of the exact model by ODL's conjugate gradients.

    python benchmarks/gain.py [--map TRUTH.mrc ...] [--json]
"""

import argparse
import json

import numpy as np
import torch
from odl.solvers import conjugate_gradient_normal

from cryoinv.geometry import Poses, random_rotations
from cryoinv.io import ParticleStack, read_volume
from cryoinv.likelihood import FourierImages, known_pose_statistics
from cryoinv.metrics import fourier_shell_correlation, shell_gain
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators import FourierSlice, NufftInterpolation, TrilinearInterpolation
from cryoinv.simulation import demo_structure, potential_map
from cryoinv.spaces import VolumeSpace, centred_irfft

SCHEMES = {
    "trilinear pad 1": TrilinearInterpolation(64, 1),
    "trilinear pad 2": TrilinearInterpolation(64, 2),
    "trilinear pad 2 radial": TrilinearInterpolation(64, 2, "radial"),
    "nufft B/K": NufftInterpolation(64, 1e-7),
}


def reconstructions(truth, count, seed, iterations):
    """Yield (name, map) of every method."""
    n = truth.shape[0]
    rotations = random_rotations(count, np.random.default_rng(seed))
    model = FourierSlice(VolumeSpace(n, 3.0), rotations, "nufft", tolerance=1e-6)
    data = model.apply(truth)
    images = ParticleStack.from_arrays(centred_irfft(data, n, ndim=2).numpy(), 3.0)
    noise = RadialGaussianNoise.white(1.0, n // 2 + 1)
    for name, scheme in SCHEMES.items():
        statistics = known_pose_statistics(FourierImages(images), noise, Poses(rotations), scheme)
        yield name, statistics.to_volume(statistics.unregularised())
    x = model.domain.zero()
    conjugate_gradient_normal(model, x, model.range.element(data), niter=iterations)
    yield f"nufft CG ({iterations} iterations)", x.data


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--map", action="append", help="MRC map (box 64) in place of the demonstration structure")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    truths = {path: read_volume(path)[0] for path in options.map or []}
    truths = truths or {"demo": potential_map(demo_structure(), 64, 3.0)}
    results = {}
    for source, truth in truths.items():
        truth = torch.as_tensor(np.array(truth))
        for name, volume in reconstructions(truth, options.count, options.seed, options.iterations):
            last = (truth.shape[0] - 1) // 2
            gain = np.asarray(shell_gain(volume, truth))[: last + 1]
            fsc = np.asarray(fourier_shell_correlation(volume, truth))[1 : last + 1]
            worst = 1 + int(np.abs(gain[1:] - 1).argmax())
            results[f"{source}: {name}"] = {
                "dc": float(gain[0]), "worst_shell": worst, "worst_gain": float(gain[worst]),
                "gains": [round(float(g), 4) for g in gain], "lowest_fsc": float(fsc.min()),
            }
    if options.json:
        print(json.dumps(results))
        return
    for name, r in results.items():
        print(f"{name:<40} DC {r['dc']:.4f}  worst shell {r['worst_shell']:>2}: {r['worst_gain']:.4f}  "
              f"lowest FSC {r['lowest_fsc']:.4f}")
        print("   ", *r["gains"])


if __name__ == "__main__":
    main()
