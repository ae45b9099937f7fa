"""The E-step over a shared grid against a plain matrix product of the same shape and type, in one run.

Images of the demonstration structure, box 64 at 3 Å, are scored at order 2 (15°, 4,608 orientations) times 29
translations and about 400 Fourier pixels. Three things take turns: a plain product of shifted images and slices; scores
with their softmax; and these with the sums per orientation. A score is one (image, orientation, translation). The best
of the rounds counts, so that other jobs on the machine disturb least. Blocks have the size that an E-step gives them.
With ``--ctf`` every image has a defocus, and so weights of its own.

    python benchmarks/e_step.py [--threads 1] [--rounds 7] [--ctf] [--json]

The last line of ``--json`` is one object: `scores_per_second_per_core`, `em_scores_per_second_per_core`,
`plain_gemm_scores_per_second_per_core`, `score_over_gemm`, `em_over_gemm`, `peak_memory_mib`, `largest_error_nat` (of
the log-evidence and of the log of the largest mass, against double precision and the readable form of the grid).
"""

import argparse
import json
import time

import numpy as np
import torch

from cryoinv.geometry import SO3Grid
from cryoinv.io import OpticsGroup, ParticleStack
from cryoinv.likelihood import ExhaustiveSearch, FourierImages, MarginalLikelihood
from cryoinv.likelihood.exhaustive import SharedGrid
from cryoinv.likelihood.expectation import GroupSums
from cryoinv.likelihood.scores import as_real, image_terms
from cryoinv.noise import RadialGaussianNoise
from cryoinv.operators import TrilinearInterpolation
from cryoinv.refinement.output import peak_memory_mib
from cryoinv.simulation import demo_structure, potential_map

BOX, PIXEL_SIZE, R_MAX, MAX_SHIFT, SNR = 64, 3.0, 16, 3.0, 0.1


def problem(images, ctf, dtype=torch.float32):
    """Likelihood of noisy images, and a volume in their grey scale."""
    rng = np.random.default_rng(0)
    volume = torch.as_tensor(potential_map(demo_structure(), BOX, PIXEL_SIZE)).to(dtype)
    volume = volume * float(SNR**0.5 / (volume.sum(0).std()))
    search = ExhaustiveSearch(SO3Grid(2), MAX_SHIFT)
    noise = rng.standard_normal((images, BOX, BOX)).astype(np.float32)
    clean = torch.stack([volume.sum(axis) for axis in (0, 1, 2)]).numpy()
    pictures = noise + clean[np.arange(images) % 3].astype(np.float32)
    defocus = np.stack([rng.uniform(1e4, 2e4, images), np.full(images, 1e4), np.zeros(images)], 1)
    optics = {"optics": [OpticsGroup("300 kV", PIXEL_SIZE, 300.0, 2.7, 0.1)], "defocus": defocus} if ctf else {}
    stack = ParticleStack.from_arrays(pictures, PIXEL_SIZE, **optics)
    white = RadialGaussianNoise.white(1.0, BOX // 2 + 1)
    scheme = TrilinearInterpolation(BOX)
    return MarginalLikelihood(FourierImages(stack, dtype=dtype), white, search, scheme, r_max=R_MAX), volume


def seconds(call, images, size):
    """Wall seconds of going through all images block by block."""
    start = time.perf_counter()
    for first in range(0, images, size):
        call(np.arange(first, min(first + size, images)))
    return time.perf_counter() - start


def measure(images, rounds, ctf):
    """Fastest seconds of the three, and how many scores they gave."""
    likelihood, volume = problem(images, ctf)
    step = likelihood._step(likelihood._prepared(volume))
    grid = step.shared_grid(likelihood.search)
    sums = None
    terms = {}

    def prepared(block):
        key = (block[0], len(block))
        if key not in terms:
            terms[key] = image_terms(step.images, step.noise, 0, block, step.count)
        return terms[key]

    slices = as_real(SharedGrid(likelihood.search, step.interpolation, step.prepared, step.pixels).slices)
    product = None

    def plain(block):
        nonlocal product
        rows = as_real((prepared(block).scored[:, None] * grid.table).flatten(0, 1))
        if product is None or len(product) < len(rows):
            product = rows.new_empty(len(rows), len(slices))
        torch.mm(rows, slices.T, out=product[: len(rows)])

    def score(block):
        grid.posterior(prepared(block))

    def em(block):
        nonlocal sums
        found = prepared(block)
        sums = sums or GroupSums(0, grid, found.precision)
        sums.add(grid.posterior(found), found, masked=False)

    size, best = step.block_size(likelihood.search), {}
    for _ in range(rounds + 1):  # the first warms up
        for name, call in (("plain", plain), ("score", score), ("em", em)):
            best.setdefault(name, []).append(seconds(call, images, size))
    count = images * len(likelihood.search.rotations) * len(likelihood.search.translations)
    return {name: min(taken[1:]) for name, taken in best.items()}, count, step.count, size


def largest_error(ctf, images=32):
    """Nats by which single precision and pairing change evidence and largest mass."""
    found = []
    for dtype, paired in ((torch.float32, True), (torch.float64, False)):
        likelihood, volume = problem(images, ctf, dtype)
        step = likelihood._step(likelihood._prepared(volume))
        grid = (
            step.shared_grid(likelihood.search)
            if paired
            else SharedGrid(likelihood.search, step.interpolation, step.prepared, step.pixels)
        )
        parts = []
        for block in np.array_split(np.arange(images), images // 4):
            summary = grid.posterior(image_terms(step.images, step.noise, 0, block, step.count)).summary
            parts.append(torch.stack([summary.log_evidence.double(), summary.max_probability.double().log()]))
        found.append(torch.cat(parts, 1))
    return float((found[0] - found[1]).abs().max())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ctf", action="store_true", help="give every image a CTF of its own")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    best, scores, pixels, size = measure(options.images, options.rounds, options.ctf)
    peak = peak_memory_mib()
    rate = {name: scores / taken / options.threads for name, taken in best.items()}
    result = {
        "scores_per_second_per_core": rate["score"],
        "em_scores_per_second_per_core": rate["em"],
        "plain_gemm_scores_per_second_per_core": rate["plain"],
        "score_over_gemm": rate["score"] / rate["plain"],
        "em_over_gemm": rate["em"] / rate["plain"],
        "peak_memory_mib": peak,
        "largest_error_nat": largest_error(options.ctf),
        "pixels": pixels,
        "images_a_block": size,
        "threads": options.threads,
    }
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:<40} {value:.4g}")


if __name__ == "__main__":
    main()
