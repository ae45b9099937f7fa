"""cryoinv side by side with RELION 3.1: the same particles, the same cores, whole processes.

Every case is simulated (box 64 at 3 Å, shifts up to 6 Å), refined by both programs from the same 30 Å reference, blind,
and compared with the truth by ``cryoinv evaluate``. Structures are PDB, mmCIF or MRC files, the demonstration structure
by default. Both search shifts up to 3 pixels and are told the same particle diameter, cryoinv's estimate. RELION runs
as its tutorials have it (padding 2, no iterative gridding), as two half-set ranks of one thread and their leader;
cryoinv has two threads. RELION's results are kept by a checksum of data and command, with where they were timed.

    python benchmarks/against_relion.py A.cif B.cif C.cif --snr 0.15 --snr 0.05 --output against-relion [--json]
    python benchmarks/against_relion.py --small --json

A second call with the same folder goes on with what is there; cryoinv alone runs again. The last line of ``--json`` is
one object: `cases`, `cases_not_worse`, `time_ratio_median`, `time_ratio_max`, and ratios of CPU seconds, which other
work on the machine distorts less. A case is not worse if its masked FSC-0.5 resolution against the truth is within one
shell of RELION's and its median angular error within 10 %.
"""

import argparse
import hashlib
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cryoinv.files import atomic_path
from cryoinv.io import write_structure
from cryoinv.simulation import demo_structure

MAX_SHIFT = 6.0  # Å, of the simulated particles
SEARCHED_SHIFT = 3  # pixels, by both programs
THREADS = 2  # RELION's ranks that work have one each
QUALITY = (
    "resolution_truth_05_angstrom",
    "resolution_truth_0143_angstrom",
    "resolution_truth_05_masked_angstrom",
    "resolution_truth_0143_masked_angstrom",
    "angle_error_median_degrees",
    "angle_error_p90_degrees",
    "shift_error_median_angstrom",
)


def timed(command, folder, log):
    """Run a command; wall and CPU seconds of it and its children."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with Path(log).open("w") as output:
        subprocess.run(command, cwd=folder, check=True, stdout=output, stderr=subprocess.STDOUT, env=environment())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_seconds": time.monotonic() - start, "cpu_seconds": cpu}


def environment():
    """RELION's ranks have one thread each; cryoinv is told its number."""
    return os.environ | {"OMP_NUM_THREADS": "1"}


def cryoinv(*arguments):
    """Standard output of one of the program's own commands."""
    command = [sys.executable, "-m", "cryoinv", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def relion_command(diameter):
    """Gold-standard auto-refinement, from the folder of the data."""
    flags = f"""--auto_refine --split_random_halves --i particles.star --ref reference.mrc --ini_high 30 --pad 2
        --skip_gridding --particle_diameter {diameter:.0f} --flatten_solvent --zero_mask --oversampling 1
        --healpix_order 2 --auto_local_healpix_order 3 --offset_range {SEARCHED_SHIFT} --offset_step 1 --sym C1
        --preread_images --low_resol_join_halves 40 --j 1 --pool 30 --dont_combine_weights_via_disc --random_seed 1
        --o relion/run"""
    return ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "3", "relion_refine_mpi", *flags.split()]


def checksum(data, command):
    """Of everything that decides what RELION finds."""
    digest = hashlib.sha256(" ".join(command).encode())
    for name in ("particles.star", "particles.mrcs", "reference.mrc"):
        digest.update((data / name).read_bytes())
    return digest.hexdigest()[:16]


def machine():
    """Where, when and with what a run was timed."""
    version = subprocess.run(["relion_refine", "--version"], capture_output=True, text=True, check=False).stdout
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d"),
        "version": version.split("\n")[0].removeprefix("RELION version:").strip(),
    }


def run_relion(data, command, cache):
    """Timings of RELION and the folder of its map and poses, named as ``cryoinv evaluate`` expects them."""
    kept = cache / checksum(data, command)
    cached = (kept / "times.json").exists()
    if not cached:
        shutil.rmtree(data / "relion", ignore_errors=True)
        (data / "relion").mkdir()
        where = machine()
        times = where | timed(command, data, data / "relion.log")
        kept.mkdir(parents=True, exist_ok=True)
        shutil.copy(data / "relion" / "run_class001.mrc", kept / "map.mrc")
        shutil.copy(data / "relion" / "run_data.star", kept / "particles.star")
        with atomic_path(kept / "times.json") as temporary:  # the last of them: what has it is whole
            temporary.write_text(json.dumps(times))
    result = data / "relion_result"  # beside the stack that its STAR file names
    shutil.copytree(kept, result, dirs_exist_ok=True)
    return json.loads((kept / "times.json").read_text()) | {"cached": cached}, result


def evaluated(folder, data, diameter):
    """Figures against the truth."""
    truth = ["--truth", data / "truth.mrc", "--truth-poses", data / "truth.star", "--symmetry", "C1"]
    found = json.loads(cryoinv("evaluate", folder, *truth, "--particle-diameter", diameter, "--json"))
    return {name: found[name] for name in QUALITY}


def one_shell_worse(resolution, extent):
    """Resolution one shell below, in a box of so many Å."""
    return extent / max(extent / resolution - 1, 1e-9)


def simulate(structure, snr, data, options):
    """Particles of a case; the same every time."""
    size = ["--box", options.box, "--pixel-size", options.pixel_size, "--particles", options.particles]
    drawn = ["--snr", snr, "--max-shift", MAX_SHIFT, "--seed", options.seed]
    cryoinv("simulate", structure, *size, *drawn, "--output", data, "--overwrite")


def refine(data, run, options):
    """Timings of cryoinv, and what its summary says."""
    command = [sys.executable, "-m", "cryoinv", "refine", data / "particles.star", "--output", run, "--overwrite"]
    command += ["--reference", data / "reference.mrc", "--max-shift", SEARCHED_SHIFT * options.pixel_size]
    times = timed([*map(str, command), "--threads", str(THREADS)], Path.cwd(), data / "cryoinv.log")
    return times, json.loads((run / "summary.json").read_text())


def compare(structure, snr, options):
    """One case: both programs' figures and whether cryoinv's are not worse."""
    data = options.output / f"{Path(structure).stem}-snr{snr:g}"
    simulate(structure, snr, data, options)
    ours, summary = refine(data, data / "cryoinv", options)
    diameter = summary["particle_diameter_angstrom"]
    ours |= evaluated(data / "cryoinv", data, diameter) | {"peak_memory_mib": summary["peak_memory_mib"]}
    theirs, result = run_relion(data, relion_command(diameter), options.output / "relion-cache")
    theirs |= evaluated(result, data, diameter)
    extent = options.box * options.pixel_size
    masked, angle = "resolution_truth_05_masked_angstrom", "angle_error_median_degrees"
    return {
        "structure": Path(structure).stem,
        "snr": snr,
        "cryoinv": ours,
        "relion": theirs,
        "time_ratio": ours["wall_seconds"] / theirs["wall_seconds"],
        "cpu_ratio": ours["cpu_seconds"] / theirs["cpu_seconds"],
        "not_worse": ours[masked] <= one_shell_worse(theirs[masked], extent) and ours[angle] <= 1.1 * theirs[angle],
        "better": ours[masked] <= theirs[masked] and ours[angle] <= theirs[angle],
    }


def demo_file(folder):
    """The demonstration structure as a file."""
    path = Path(folder) / "2xhe.cif"
    write_structure(path, demo_structure())
    return path


def show(case):
    """Two lines a case."""
    for name in ("cryoinv", "relion"):
        r = case[name]
        print(
            f"{case['structure']:<8} SNR {case['snr']:<5g} {name:<8} masked FSC-0.5 "
            f"{r['resolution_truth_05_masked_angstrom']:6.2f} Å, whole {r['resolution_truth_05_angstrom']:6.2f} Å, "
            f"angle {r['angle_error_median_degrees']:5.2f}° (90th {r['angle_error_p90_degrees']:6.1f}°), shift "
            f"{r['shift_error_median_angstrom']:.2f} Å, {r['wall_seconds']:6.1f} s, {r['cpu_seconds']:6.1f} CPU-s",
            flush=True,
        )


def summarised(cases):
    """All cases in one object."""
    ratios = {name: [case[name] for case in cases] for name in ("time_ratio", "cpu_ratio")}
    return {
        "cases": cases,
        "relion_from_cache": sum(case["relion"]["cached"] for case in cases),
        "cases_not_worse": sum(case["not_worse"] for case in cases),
        "cases_better": sum(case["better"] for case in cases),
        **{f"{name}_median": statistics.median(values) for name, values in ratios.items()},
        **{f"{name}_max": max(values) for name, values in ratios.items()},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("structures", nargs="*")
    parser.add_argument("--snr", type=float, action="append")
    parser.add_argument("--particles", type=int, default=600)
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--pixel-size", type=float, default=3.0, help="Å")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("against-relion"))
    parser.add_argument("--small", action="store_true", help="one small case of the demonstration structure")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if shutil.which("relion_refine_mpi") is None or shutil.which("mpirun") is None:
        sys.exit("RELION 3.1 is not installed: relion_refine_mpi and mpirun are needed (apt-get install relion)")
    options.output.mkdir(parents=True, exist_ok=True)
    options.output = options.output.resolve()
    if options.small:
        options.particles, options.snr, options.box, options.pixel_size = 120, [0.3], 48, 4.0
    with tempfile.TemporaryDirectory() as scratch:
        structures = options.structures or [demo_file(scratch)]
        cases = []
        for structure in structures:
            for snr in options.snr or [0.15, 0.05]:
                cases.append(compare(structure, snr, options))
                show(cases[-1])
    summary = summarised(cases)
    if options.json:
        print(json.dumps(summary))
    else:
        print(
            f"not worse in {summary['cases_not_worse']} of {len(cases)}, better in {summary['cases_better']}; "
            f"time over RELION's: median {summary['time_ratio_median']:.3f}, largest {summary['time_ratio_max']:.3f}"
        )


if __name__ == "__main__":
    main()
