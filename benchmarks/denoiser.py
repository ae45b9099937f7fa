"""One pass of a denoiser over half-maps of known truth, against the Wiener filter with the same FSC, bare and masked.

    python benchmarks/denoiser.py --structures TEST_FOLDER --denoiser cryoinv-small --maps 120 --json

The half-maps are reconstructions at wrong poses (`training.PosedPairs`), or those of refinements that
`training.IntermediateMaker` has stored (`--intermediates FOLDER`). All are compared with the truth seen through one
filter: the half-map FSC of the whole box (eq. 19 of the paper; the figures at the top), and the FSC inside the
particle's sphere, which networks are given and which lets more through (`in_sphere`). What a denoiser damps by another
filter is brought to this one, shell by shell. Every method's map is scaled by the one factor that brings it closest to
the filtered truth before errors are taken, so that no method loses by its brightness alone. With --json the last line
holds the figures.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from cryoinv.denoisers import denoiser_from, solvent_mask, sphere_transfer, wiener_transfer
from cryoinv.denoisers.filters import radial_filter
from cryoinv.metrics import fourier_shell_correlation
from cryoinv.training import Corpus, IntermediatePairs, PosedPairs, TruthMaker
from cryoinv.training.held_out import context_of

FILTERS = {
    "box": lambda context: wiener_transfer(context.fsc),
    "sphere": lambda context: sphere_transfer(context.fsc_inside),
}
BINS = ((0, 8), (8, 10), (10, 13), (13, 17), (17, 1e9))


def figures(found, target, truth):
    """L1 and L2 errors against the filtered truth, amplitude-corrected, and the mean FSC against the truth."""
    norm = float((found * found).sum())
    scaled = found * (float((found * target).sum()) / norm if norm > 0 else 0.0)
    error = scaled - target
    curve = fourier_shell_correlation(found, truth)
    n = len(found)
    return {
        "l1": float(error.abs().sum() / target.abs().sum()),
        "l2": float(error.norm() / target.norm()),
        "fsc": float(curve[1 : (n - 1) // 2 + 1].mean()),
    }


def cases(options):
    """Pairs of both halves, one data set after another."""
    if options.intermediates:
        maker = IntermediatePairs(options.intermediates, options.box, options.pixel_size)
        for run in range(len(maker)):
            for iteration in range(maker.iterations(run)):
                yield maker.pair(run, iteration)
        return
    corpus = Corpus.read(options.structures, "all")
    maker = PosedPairs(TruthMaker(corpus, options.box, options.pixel_size, torch.device("cpu")))
    for i in range((options.maps + 1) // 2):
        yield maker(np.random.default_rng((options.seed, i)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", type=Path)
    parser.add_argument("--intermediates", type=Path)
    parser.add_argument("--denoiser", default="cryoinv-small")
    parser.add_argument("--maps", type=int, default=120)
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--pixel-size", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if (options.structures is None) == (options.intermediates is None):
        parser.error("give either --structures or --intermediates")
    denoiser, rows, seconds = denoiser_from(options.denoiser), {name: [] for name in FILTERS}, []
    for pairs in cases(options):
        for i in range(len(pairs)):
            context = context_of(pairs, i)
            began = time.perf_counter()
            found = denoiser.denoise(pairs.noisy[i], context)
            seconds.append(time.perf_counter() - began)
            own, mask = denoiser.target_fsc(context), solvent_mask(pairs.noisy[i], context)
            for name, transfer in FILTERS.items():
                rows[name] += compared(pairs, i, context, found, own, transfer(context), mask)
    summaries = {name: with_bins(each) for name, each in rows.items()}
    summary = summaries["box"] | {"in_sphere": summaries["sphere"], "seconds_a_map_median": float(np.median(seconds))}
    for name, each in summaries.items():
        print(f"filter of the {name}:")
        for part, figure in [("all", each), *each["bins"].items()]:
            print(line(part, figure))
    print(f"one map: {summary['seconds_a_map_median']:.3f} s")
    if options.json:
        print(json.dumps(summary))


def line(name, figure):
    """One summary in words."""
    better, masked = figure["fraction_better_than_wiener"], figure["fraction_better_than_masked_wiener"]
    l2, l2_masked = figure["mean_l2_ratio_to_wiener"], figure["mean_l2_ratio_to_masked_wiener"]
    return (
        f"{name:<8} {figure['maps']:4d} maps: better than Wiener {better:.3f}, masked {masked:.3f}; "
        f"L2 {l2:.3f}, {l2_masked:.3f}; L1 {figure['mean_l1_ratio_to_masked_wiener']:.3f}; "
        f"FSC gain {figure['mean_fsc_gain_over_masked_wiener']:+.4f}"
    )


def compared(pairs, i, context, found, own, transfer, mask):
    """Row of one map, if the filter lets anything through, as a list; `own` is the filter of what was found."""
    if not bool(transfer.any()):
        return []
    brought = torch.where(own > 0, transfer / own.clamp(min=1e-3), 0)
    wiener, target = (radial_filter(volume, transfer) for volume in (pairs.noisy[i], pairs.truth[i]))
    methods = {"wiener": wiener, "masked_wiener": mask * wiener, "denoiser": radial_filter(found, brought)}
    row = {name: figures(volume, target, pairs.truth[i]) for name, volume in methods.items()}
    return [{"structure": pairs.names[i], "resolution": context.resolution, **row}]


def with_bins(rows):
    """Summary of all maps, and by their resolution."""
    found = summarised(rows) | {"bins": {}}
    for low, high in BINS:
        chosen = [row for row in rows if low <= row["resolution"] < high]
        if chosen:
            found["bins"][f"{low}-{high:g}"] = summarised(chosen)
    return found


def summarised(rows):
    """Shares and means over maps, losses included."""
    ratio = lambda key, base: [row["denoiser"][key] / row[base][key] for row in rows]  # noqa: E731
    found = {"maps": len(rows)}
    for base in ("wiener", "masked_wiener"):
        found[f"fraction_better_than_{base}"] = float(np.mean([r < 1 for r in ratio("l2", base)]))
        for key in ("l1", "l2"):
            found[f"mean_{key}_ratio_to_{base}"] = float(np.mean(ratio(key, base)))
        gains = [row["denoiser"]["fsc"] - row[base]["fsc"] for row in rows]
        found[f"mean_fsc_gain_over_{base}"] = float(np.mean(gains))
    return found


if __name__ == "__main__":
    main()
