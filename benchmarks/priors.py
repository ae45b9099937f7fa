"""Do priors help? Every method on the same simulated cases: structures x SNR x seeds, from a 30 Å start.

Each case is the program's own `simulate` and `compare`; what is finished is not run again. The summary says, for every
structure and SNR, each method's mean over the seeds of the mean masked FSC against the truth, and in how many cases
it beats the first method and the masked one.

    python benchmarks/priors.py A.cif B.cif C.cif --prior gaussian --prior masked-gaussian --prior red --output priors
"""

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path

QUALITY = "mean_fsc_truth_masked"
SHOWN = (
    "resolution_truth_05_masked_angstrom",
    "angle_error_median_degrees",
    "resolution_half_0143_masked_angstrom",
    "wall_seconds",
)


def cryoinv(*arguments):
    """Run a command of the program; a comparison with a method that failed still has its table."""
    return subprocess.run([sys.executable, "-m", "cryoinv", *map(str, arguments)], check=False).returncode


def measured(structure, snr, seed, options):
    """Rows of one case's table, by label."""
    folder = options.output / f"{Path(structure).stem}-snr{snr:g}-seed{seed}"
    data, table = folder / "data", folder / "comparison" / "comparison.csv"
    if not (data / "truth.star").is_file():
        cryoinv(
            "simulate", structure, "--box", options.box, "--pixel-size", options.pixel_size, "--particles",
            options.particles, "--snr", snr, "--max-shift", 6, "--seed", seed, "--output", data,
        )
    wanted = [part for prior in options.prior for part in ("--prior", prior)]
    cryoinv(
        "compare", data / "particles.star", "--reference", data / "reference.mrc", "--truth", data / "truth.mrc",
        "--truth-poses", data / "truth.star", "--seed", seed, "--output", folder / "comparison", *wanted,
        *(["--resume"] if (folder / "comparison").exists() else []),
        *([] if options.threads is None else ["--threads", options.threads]),
    )
    with table.open(encoding="utf-8", newline="") as file:
        return {row["method"]: row for row in csv.DictReader(file)}


def mean_over(rows, label, column):
    """Mean over cases, None where a method failed in one."""
    values = [row[label][column] for row in rows]
    return sum(map(float, values)) / len(values) if all(values) else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("structures", nargs="+")
    parser.add_argument("--prior", action="append", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--snr", type=float, nargs="+", default=[0.15, 0.05])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--box", type=int, default=48)
    parser.add_argument("--pixel-size", type=float, default=4.0)
    parser.add_argument("--particles", type=int, default=400)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    cases = {}
    for seed in options.seeds:
        for structure in options.structures:
            for snr in options.snr:
                rows = measured(structure, snr, seed, options)
                cases.setdefault((Path(structure).stem, snr), []).append(rows)
    labels = list(next(iter(cases.values()))[0])
    summary = []
    for (structure, snr), rows in cases.items():
        for label in labels:
            found = {column: mean_over(rows, label, column) for column in (QUALITY, *SHOWN)}
            summary.append({"structure": structure, "snr": snr, "method": label, "seeds": len(rows), **found})
    (options.output / "summary.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
    for row in summary:
        numbers = "  ".join("failed" if row[c] is None else f"{row[c]:8.3f}" for c in (QUALITY, *SHOWN))
        print(f"{row['structure']:<8} SNR {row['snr']:<5g} {row['method']:<28} {numbers}")
    quality = {(r["structure"], r["snr"], r["method"]): r[QUALITY] or 0.0 for r in summary}
    for baseline in labels[:2]:
        for label in labels:
            wins = sum(quality[(*case, label)] > quality[(*case, baseline)] for case in cases)
            print(f"{label:<28} beats {baseline} in {wins} of {len(cases)} cases")


if __name__ == "__main__":
    main()
