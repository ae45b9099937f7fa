"""The checks of every denoiser that ships, on a noisy half-map of known truth.

Two half-maps are reconstructed at the true poses from simulated particles with CTF, of the structure that ships with
the package or of one given. The denoisers meet the first of them, and the FSC of the two. Prints the tables of
`doc/denoisers.rst`, or all figures as JSON.

    python benchmarks/denoiser_checks.py [--structure FILE] [--box 48] [--particles 1000] [--snr 0.05] [--seed 0]
                                         [--denoiser SPEC ...] [--network FILE] [--json]

No network ships; with `--network FILE` that of the file is checked as well.
"""

import argparse
import json
import math
import time

import numpy as np
import torch

from cryoinv.denoisers import DENOISERS, PriorContext, denoiser_from
from cryoinv.io import OpticsGroup, ParticleStack, read_structure
from cryoinv.likelihood import FourierImages, known_pose_statistics
from cryoinv.metrics import check_denoiser, fourier_shell_correlation, resolution_at
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators import TrilinearInterpolation
from cryoinv.simulation import CtfDistribution, demo_structure, model_diameter, potential_map, simulate_particles
from cryoinv.spaces import VolumeSpace, centred_rfft, radial_mean

# What a denoiser made of others is shown with; any other name stands for its defaults.
MADE_OF_OTHERS = {
    "compose": "compose,first=tv,then=(solvent,filtered=false)",
    "rotations": "rotations,denoiser=(wavelet,shifts=0)",
    "bands": "bands,denoisers=(solvent;wiener),edges=12",
    "patches": "patches,denoiser=wiener,tile=24",
}

PROPERTIES = {
    "asymmetry": lambda r: r.jacobian_asymmetry,
    "derivative": lambda r: r.derivative_error,
    "homogeneity": lambda r: r.homogeneity_error,
    "Lipschitz": lambda r: r.lipschitz,
    "scale": lambda r: r.scale_error,
    "offset": lambda r: r.offset_error,
    "rotation": lambda r: r.rotation_error,
}


def half_maps(model, n, pixel_size, particles, snr, seed=0):
    """Truth and two unregularised half-maps in its grey scale (double precision), and their context."""
    optics = CtfDistribution()
    drawn = simulate_particles(potential_map(model, n, pixel_size), pixel_size, 2 * particles, snr, seed, ctf=optics)
    group = OpticsGroup("1", pixel_size, optics.voltage, optics.spherical_aberration, optics.amplitude_contrast)
    stack = ParticleStack.from_arrays(
        drawn.images(np.arange(len(drawn))), pixel_size, optics=[group], defocus=drawn.defocus
    )
    noise = RadialGaussianNoise.white(1.0, n // 2 + 1)
    halves = [
        known_pose_statistics(
            FourierImages(stack), noise, drawn.poses, TrilinearInterpolation(n, 2), np.arange(half, len(drawn), 2)
        )
        for half in range(2)
    ]
    maps = [half.to_volume(half.unregularised()).double() for half in halves]
    fsc = fourier_shell_correlation(*maps)
    power = radial_mean(centred_rfft(maps[0]).abs() ** 2, n)
    resolution = resolution_at(fsc, 0.143, n, pixel_size).angstrom
    radius = min(model_diameter(model) / 2 + 3 * pixel_size, n * pixel_size / 2)
    context = PriorContext(n, pixel_size, fsc, fsc.clamp(1e-3, 0.999) * power, resolution, radius)
    return torch.from_numpy(drawn.volume).double(), maps, context


def measured(specs, truth, half, context, seed):
    """Report of every denoiser, and seconds of its second call."""
    space = VolumeSpace(context.n, context.pixel_size, "float64")
    results = {}
    for spec in specs:
        operator = denoiser_from(spec).bind(space, context)
        operator.apply(half)  # imports
        begin = time.perf_counter()
        operator.apply(half)
        seconds = time.perf_counter() - begin
        results[spec] = check_denoiser(operator, truth, half, seed=seed), seconds
    return results


def print_tables(results, n, pixel_size):
    """Two tables in reStructuredText: what the denoisers are, and how near to the truth they come."""
    first = next(iter(results.values()))[0].mmse
    ends = [f"{n * pixel_size / last:.1f} Å" for _, last in first.shells]
    rows = [[f"``{spec}``", *(number(each(report)) for each in PROPERTIES.values())]
            for spec, (report, _) in results.items()]
    print_table(["denoiser", *PROPERTIES], rows)
    rows = [[f"``{spec}``", number(report.error), number(report.mmse.orthogonality), *map(number, report.mmse.slopes),
             f"{seconds:.2f}"] for spec, (report, seconds) in results.items()]
    print_table(["denoiser", "error", "orthogonality", *(f"slope to {end}" for end in ends), "seconds"], rows)


def print_table(head, rows):
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    for line in (rule, head, rule, *rows, rule):
        print(line if isinstance(line, str) else "  ".join(map(str.ljust, line, widths)).rstrip())
    print()


def number(value):
    """Three decimals; rounding is 0, and what there is not a dash."""
    if math.isnan(value):
        return "-"
    return "0" if abs(value) < 1e-6 else f"{value:.3f}" if abs(value) >= 5e-4 else "<0.001"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structure", help="PDB or mmCIF file in place of the demonstration structure")
    parser.add_argument("--box", type=int, default=48)
    parser.add_argument("--pixel-size", type=float, default=3.0)
    parser.add_argument("--particles", type=int, default=1000, help="in each half")
    parser.add_argument("--snr", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--denoiser", action="append", help="specification; all that ship, where none is given")
    parser.add_argument("--network", metavar="FILE", help=".safetensors file of a denoising network")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    model = read_structure(options.structure) if options.structure else demo_structure()
    truth, halves, context = half_maps(
        model, options.box, options.pixel_size, options.particles, options.snr, options.seed
    )
    specs = list(options.denoiser or (MADE_OF_OTHERS.get(name, name) for name in DENOISERS if name != "network"))
    specs += [options.network] if options.network else []
    results = measured(specs, truth, halves[0], context, options.seed)
    if options.json:
        print(json.dumps({spec: {**report.to_dict(), "seconds": s} for spec, (report, s) in results.items()}))
        return
    noisy = next(iter(results.values()))[0].noisy_error
    print(f"{model.name}, box {options.box} at {options.pixel_size:g} Å, {options.particles} particles a half at SNR "
          f"{options.snr:g}, seed {options.seed}: half-maps to {context.resolution:.1f} Å, error of the noisy map "
          f"{noisy:.3f}, torch {torch.__version__}\n")
    print_tables(results, options.box, options.pixel_size)


if __name__ == "__main__":
    main()
