"""What several processes gain: `refine` by one process and by several, one thread each, taken in turns.

600 particles of the demonstration structure, box 64 at 3 Å. Told are wall times of the whole command (start of Python
and of torchrun, files and figures included), of the refinement, of its passes over the particles, and the processor
time of the slowest process: where other work keeps the machine busy, its ratio is the one that tells. It fails if the
maps differ.

    python benchmarks/ranks.py [--ranks 2] [--repeats 3] [--particles 600] [--box 64] [--json]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from cryoinv.io import read_volume
from cryoinv.simulation import demo_structure, simulate_dataset

SAME = 1e-5

WORKER = """
import json, os, resource, sys, time
from pathlib import Path
import cryoinv.refinement.auto_refine as loop
from cryoinv.cli.main import run

spent = {"pass_wall": 0.0, "pass_cpu": 0.0}
ordinary = loop.own_statistics

def timed(*arguments):
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        return ordinary(*arguments)
    finally:
        spent["pass_wall"] += time.perf_counter() - wall
        spent["pass_cpu"] += time.process_time() - cpu

loop.own_statistics = timed
folder = Path(sys.argv.pop(1))
try:
    run()
finally:
    spent["cpu"] = time.process_time()
    spent["memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (folder / f"rank{os.environ['RANK']}.json").write_text(json.dumps(spent))
"""


def measured(data, folder, ranks, max_shift):
    """One run: seconds by name, the slowest process's where there are several."""
    folder.mkdir()
    (folder / "worker.py").write_text(WORKER)
    command = ["torchrun", "--nproc-per-node", ranks, folder / "worker.py", folder, "refine", data / "particles.star"]
    command += ["--reference", data / "reference.mrc", "--output", folder / "run", "--max-shift", max_shift]
    command += ["--device", "cpu", "--threads", 1]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    started = time.perf_counter()
    subprocess.run([str(part) for part in command], check=True, capture_output=True, env=environment)
    found = {"command": time.perf_counter() - started}
    summary = json.loads((folder / "run" / "summary.json").read_text())
    found["refinement"] = summary["wall_seconds"]
    found["waiting"] = max(summary.get("waiting_seconds", [0.0]))
    each = [json.loads(path.read_text()) for path in folder.glob("rank*.json")]
    return found | {name: max(process[name] for process in each) for name in each[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--particles", type=int, default=600)
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    runs = {1: [], options.ranks: []}
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch, "data")
        pixel_size = 192 / options.box
        simulate_dataset(
            demo_structure(), data, n=options.box, pixel_size=pixel_size, particles=options.particles, snr=0.2,
            max_shift=3.0,
        )
        for repeat in range(options.repeats):
            for ranks, found in runs.items():
                found.append(measured(data, Path(scratch, f"{ranks}-{repeat}"), ranks, 3.0))
                print(ranks, {k: round(v, 2) for k, v in found[-1].items()}, os.getloadavg()[0], file=sys.stderr)
        maps = [read_volume(Path(scratch, f"{ranks}-0", "run", "map.mrc"))[0] for ranks in runs]
    one, many = ({k: statistics.median(f[k] for f in found) for k in found[0]} for found in runs.values())
    result = {
        "ranks": options.ranks,
        "speedup": round(one["refinement"] / many["refinement"], 3),
        "speedup_command": round(one["command"] / many["command"], 3),
        "speedup_passes": round(one["pass_wall"] / many["pass_wall"], 3),
        "speedup_cpu": round(one["cpu"] / many["cpu"], 3),
        "speedup_passes_cpu": round(one["pass_cpu"] / many["pass_cpu"], 3),
        "waiting_share": round(many["waiting"] / many["refinement"], 4),
        "map_difference": float(np.linalg.norm(maps[0] - maps[1]) / np.linalg.norm(maps[0])),
        "seconds": {"1": one, str(options.ranks): many},
    }
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:<20} {value}")
    if not result["map_difference"] <= SAME:
        sys.exit(f"the maps of 1 and of {options.ranks} processes differ by {result['map_difference']:.2g}")


if __name__ == "__main__":
    main()
