"""Peak memory of whole refinements: 1,000 particles against 5,000, and the default budget against a smaller one.

The demonstration structure in a box of 64 at 3 Å, SNR 0.15, shifts up to 6 Å; every run is a process of its own.

    python benchmarks/memory.py [--particles 1000 5000] [--box 64] [--iterations 30] [--json]

The last line of ``--json`` is one object: `peak_memory_mib` of every run, `largest_over_smallest` of the runs with the
default budget.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from cryoinv.simulation import demo_structure, simulate_dataset


def peak(data, folder, iterations, memory):
    """Peak memory in MiB of one refinement."""
    command = [sys.executable, "-m", "cryoinv", "refine", data / "particles.star", "--output", folder]
    command += ["--reference", data / "reference.mrc", "--max-iterations", iterations, "--memory", memory]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    return json.loads((folder / "summary.json").read_text())["peak_memory_mib"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--particles", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=30, help="at most so many")
    parser.add_argument("--small-budget", type=int, default=128, help="MiB")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for count in options.particles:
            data = Path(scratch, f"{count}")
            size = {"n": options.box, "pixel_size": 192 / options.box}
            simulate_dataset(demo_structure(), data, particles=count, snr=0.15, max_shift=6.0, **size)
            for memory in (512, options.small_budget):
                name = f"{count} particles, {memory} MiB"
                found[name] = peak(data, Path(scratch, f"{count}-{memory}"), options.iterations, memory)
                print(f"{name:<32} {found[name]:7.0f} MiB", flush=True)
    default = [value for name, value in found.items() if name.endswith(", 512 MiB")]
    result = {"peak_memory_mib": found, "largest_over_smallest": max(default) / min(default)}
    print(json.dumps(result) if options.json else f"largest over smallest: {result['largest_over_smallest']:.3f}")


if __name__ == "__main__":
    main()
