"""Quality of blind refinement: real structures, simulated particles, 30 Å start, compared with the truth.

Every case runs the program's own three commands: simulate, refine, evaluate. Structures are PDB, mmCIF or MRC files.

    python benchmarks/quality.py A.cif B.cif C.cif --particles 600 --snr 0.15 --output quality [--json]
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path


def cryoinv(*arguments):
    """Run a command of the program; its messages go to stderr, its standard output is returned."""
    command = [sys.executable, "-m", "cryoinv", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(structure, folder, options):
    """One case: figures of evaluate and of the run's summary."""
    data, run = folder / "data", folder / "run"
    cryoinv(
        "simulate", structure, "--box", options.box, "--pixel-size", options.pixel_size, "--particles",
        options.particles, "--snr", options.snr, "--max-shift", options.max_shift, "--seed", options.seed,
        "--output", data, *(["--ctf"] if options.ctf else []),
    )
    start = time.monotonic()
    cryoinv(
        "refine", data / "particles.star", "--reference", data / "reference.mrc", "--max-shift", options.max_shift,
        "--seed", options.seed, "--output", run, "--overwrite",
    )
    seconds = time.monotonic() - start
    found = json.loads(
        cryoinv("evaluate", run, "--truth", data / "truth.mrc", "--truth-poses", data / "truth.star", "--json")
    )
    summary = json.loads((run / "summary.json").read_text())
    keep = ("resolution_half_0143_angstrom", "resolution_half_0143_masked_angstrom", "iterations", "peak_memory_mib")
    return {"structure": Path(structure).stem, **found, **{k: summary[k] for k in keep}, "seconds": round(seconds, 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("structures", nargs="+")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--pixel-size", type=float, default=3.0)
    parser.add_argument("--particles", type=int, default=600)
    parser.add_argument("--snr", type=float, default=0.15)
    parser.add_argument("--max-shift", type=float, default=6.0)
    parser.add_argument("--ctf", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [measure(s, options.output / Path(s).stem, options) for s in options.structures]
    if options.json:
        print(json.dumps({"cases": rows}))
        return
    for r in rows:
        angle = f"{r['angle_error_median_degrees']:.2f}° (90th {r['angle_error_p90_degrees']:.1f}°)"
        truth = f"{r['resolution_truth_05_angstrom']:.2f} Å, masked {r['resolution_truth_05_masked_angstrom']:.2f} Å"
        print(f"{r['structure']:<8} angle {angle}  shift {r['shift_error_median_angstrom']:.2f} Å  FSC-0.5 {truth}")
        print(f"{'':<8} half-maps {r['resolution_half_0143_angstrom']:.2f} Å  "
              f"{r['iterations']} iterations, {r['seconds']:.0f} s, {r['peak_memory_mib']:.0f} MiB")


if __name__ == "__main__":
    main()
