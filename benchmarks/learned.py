"""The learned prior in refinements: four structures at four noise levels, every method on the same particles.

    python benchmarks/learned.py 1qvr.cif 3cyj.cif 3nxu.cif 4edj.cif --output learned --json

One amplitude belongs to a noise level, whatever the structure, as in table 1 of Kimanius et al. (2020): larger ones
have the higher signal-to-noise ratio, and the levels are named by its mean. Each case is the program's own `simulate`
and `compare`; what is finished is not run again. Two cases run at a time, each on one thread. With --json the last line
holds the figures.
"""

import argparse
import csv
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from cryoinv.io import read_structure, read_volume
from cryoinv.metrics import fourier_shell_correlation, resolution_at
from cryoinv.operators import soft_sphere
from cryoinv.simulation import potential_map, simulate_particles

LEVELS = (0.086, 0.063, 0.043, 0.027)
METHODS = ("gaussian", "masked-gaussian", "red", "cw-red", "learned")
TOLERANCE = 0.005
RECIPE = ("box", "pixel_size", "particles", "max_shift")  # of the data, beside their SNR
QUALITY, ANGLE = "mean_fsc_truth_masked", "angle_error_median_degrees"
NEAR = "angle_error_median_near_symmetry_degrees"  # a near symmetry's images count as right


def snr_at_unit_amplitude(structure, options):
    """Variance of clean images of the structure's potential in volts, over noise of variance 1."""
    volume = potential_map(read_structure(structure), options.box, options.pixel_size)
    particles = simulate_particles(volume, options.pixel_size, 500, 1.0)
    return float((np.std(volume) / np.std(particles.volume)) ** 2)


def cryoinv(*arguments):
    """Run a command of the program; a comparison with a method that failed still has its table."""
    return subprocess.run([sys.executable, "-m", "cryoinv", *map(str, arguments)], check=False).returncode


def measured(structure, level, snr, options):
    """Rows of one case's table, by method."""
    folder = options.output / f"{Path(structure).stem}-level{level:g}"
    data, comparison, recipe = folder / "data", folder / "comparison", folder / "recipe.json"
    wanted = {"snr": round(snr, 6), **{key: getattr(options, key) for key in RECIPE}}
    is_made = (data / "truth.star").is_file()
    found = json.loads(recipe.read_text()) if recipe.is_file() else None
    if is_made and found != wanted:
        raise SystemExit(f"{recipe}: the data are of {found}, expected {wanted}; choose another --output")
    if not is_made:
        folder.mkdir(parents=True, exist_ok=True)
        recipe.write_text(json.dumps(wanted))
        cryoinv(
            "simulate", structure, "--box", options.box, "--pixel-size", options.pixel_size, "--particles",
            options.particles, "--snr", snr, "--max-shift", options.max_shift, "--seed", 1, "--threads", 1,
            "--output", data,
        )
    methods = [part for method in options.method for part in ("--prior", method)]
    cryoinv(
        "compare", data / "particles.star", "--reference", data / "reference.mrc", "--truth", data / "truth.mrc",
        "--truth-poses", data / "truth.star", "--seed", 1, "--threads", 1, "--output", comparison, *methods,
        *(["--resume"] if comparison.exists() else []),
    )
    with (comparison / "comparison.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    return {name: figures(row, comparison, data) for name, row in rows.items()}


def figures(row, comparison, data):
    """Numbers of a method; optimism is how much finer the half-maps say they are than the truth does, in shells."""
    found = {key: float(row[key]) if row[key] else None for key in (QUALITY, ANGLE, NEAR, "wall_seconds")}
    folder = comparison / row["folder"]
    if not (folder / "half1.mrc").is_file():
        return found
    truth, pixel_size = read_volume(data / "truth.mrc")
    halves = [read_volume(folder / name)[0] for name in ("half1.mrc", "half2.mrc")]
    n = len(truth)
    sphere = soft_sphere(n, 0.4 * n).numpy()
    shell = lambda a, b, at: resolution_at(fourier_shell_correlation(a, b), at, n, pixel_size).shell  # noqa: E731
    said = shell(*halves, 0.143)
    found["half_shell"] = said
    found["truth_shell_unregularised"] = shell(sum(halves) / 2 * sphere, truth * sphere, 0.5)
    found["optimism_unregularised_shells"] = said - found["truth_shell_unregularised"]
    if row["resolution_truth_05_masked_angstrom"]:
        output = n * pixel_size / float(row["resolution_truth_05_masked_angstrom"])
        found["optimism_output_shells"] = said - output
    return found


def counted(cases, options):
    """How often one method is as good as another in mean masked FSC, or better, or finds better poses."""
    value = lambda case, method, key: (cases[case].get(method) or {}).get(key)  # noqa: E731

    def count(method, base, key, better):
        pairs = [(value(case, method, key), value(case, base, key)) for case in cases]
        return sum(a is not None and b is not None and better(a, b) for a, b in pairs)

    return {
        "cases": len(cases),
        "red_not_worse_than_gaussian": count("red", "gaussian", QUALITY, lambda a, b: a >= b - TOLERANCE),
        "learned_not_worse_than_masked_gaussian": count(
            "learned", "masked-gaussian", QUALITY, lambda a, b: a >= b - TOLERANCE
        ),
        "learned_better_than_masked_gaussian": count(
            "learned", "masked-gaussian", QUALITY, lambda a, b: a > b + TOLERANCE
        ),
        "learned_lower_angle_error": count("learned", "masked-gaussian", ANGLE, lambda a, b: a < b),
        "learned_lower_angle_error_near_symmetry": count("learned", "masked-gaussian", NEAR, lambda a, b: a < b),
        **{
            f"{method}_optimism_{of}_within_a_shell_of_gaussian": count(
                method, "gaussian", f"optimism_{of}_shells", lambda a, b: a <= b + 1
            )
            for method in ("learned", "cw-red", "red")
            for of in ("unregularised", "output")
        },
        "figures": {f"{structure} {level:g}": rows for (structure, level), rows in cases.items()},
        "methods": list(options.method),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("structures", nargs="+")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--method", action="append", help=f"specification of a prior; by default {', '.join(METHODS)}")
    parser.add_argument("--levels", type=float, nargs="+", default=LEVELS)
    parser.add_argument("--particles", type=int, default=1000)
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--pixel-size", type=float, default=3.0)
    parser.add_argument("--max-shift", type=float, default=6.0)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.method = options.method or list(METHODS)
    began = time.monotonic()
    unit = {structure: snr_at_unit_amplitude(structure, options) for structure in options.structures}
    mean = sum(unit.values()) / len(unit)
    jobs = [(structure, level, level * unit[structure] / mean) for level in options.levels for structure in unit]
    jobs.sort(key=lambda job: job[2])  # the faintest first: they take longest, and none is left alone at the end
    with ThreadPoolExecutor(options.at_once) as pool:
        rows = list(pool.map(lambda job: measured(*job, options), jobs))
    cases = {(Path(s).stem, level): row for (s, level, _), row in zip(jobs, rows, strict=True)}
    for (structure, level), found in cases.items():
        for method, row in found.items():
            numbers = [f"{key} {value:.4g}" for key, value in row.items() if value is not None]
            print(f"{structure:<6} {level:<6g} {method:<24} {'  '.join(numbers)}")
    summary = counted(cases, options) | {"minutes": round((time.monotonic() - began) / 60, 1)}
    print({key: value for key, value in summary.items() if key != "figures"})
    if options.json:
        print(json.dumps(summary))


if __name__ == "__main__":
    main()
