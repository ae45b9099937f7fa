"""Runs that are killed and resumed against one that is not: SIGKILL at moments drawn over a run's life.

Small refinements (demonstration structure, box 32 at 6 Å) are killed, each once, at a random moment, and resumed to
their end; their maps are held against the undisturbed run's. With --ranks they run under torchrun, by up to so many
processes, a random one of which is killed, and are resumed by another number of them. It fails if a run does not come
to its end or a map differs.

    python benchmarks/faults.py [--kills 20] [--particles 150] [--ranks 1] [--seed 0] [--json]
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from cryoinv.io import read_volume
from cryoinv.refinement.output import OUTPUT_FILES
from cryoinv.simulation import demo_structure, simulate_dataset

SAME = 1e-5


def start(data, output, ranks, *more):
    """Begin a leg; return its process."""
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", ranks] if ranks > 1 else []
    command = [sys.executable, *launcher, "-m", "cryoinv", "refine", data / "particles.star"]
    command += ["--reference", data / "reference.mrc", "--output", output, "--device", "cpu", "--threads", 1, *more]
    return subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def workers(launcher, ranks):
    """Processes that torchrun has started, once all of them are there; none where it ends before that."""
    while launcher.poll() is None:
        done = subprocess.run(["pgrep", "-P", str(launcher.pid)], capture_output=True, text=True, check=False)
        found = [int(number) for number in done.stdout.split() if started_by_torchrun(int(number))]
        if len(found) == ranks:
            return found
        time.sleep(0.01)
    return []


def started_by_torchrun(number):
    """Whether a process has a rank: torchrun has other children too."""
    try:
        return b"\0RANK=" in b"\0" + Path(f"/proc/{number}/environ").read_bytes()
    except OSError:
        return False


def difference(folder, other):
    """Relative difference of two folders' maps."""
    a, b = (read_volume(Path(place, "map.mrc"))[0] for place in (folder, other))
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def iterations_in(folder):
    """How many iterations a folder's log holds."""
    log = folder / "iterations.jsonl"
    return len(log.read_text().splitlines()) if log.is_file() else 0


def killed(data, output, ranks, iteration, delay, rng):
    """One leg, killed so many seconds after an iteration was done; False if it came to its end before."""
    leg = start(data, output, ranks, "--resume")
    while leg.poll() is None and iterations_in(output) < iteration:
        time.sleep(0.01)
    # Never torchrun itself: its workers would go on without it.
    victims = workers(leg, ranks) if ranks > 1 else [leg.pid]
    try:
        leg.communicate(timeout=delay)
        return False
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):  # it came to its end in this very moment
            os.kill(int(rng.choice(victims)), signal.SIGKILL)
        leg.communicate(timeout=120)
        return leg.returncode != 0


def complete(folder):
    """Whether a folder holds all of a run's files and nothing else."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} == set(OUTPUT_FILES)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--particles", type=int, default=150)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rng, differences = np.random.default_rng(options.seed), []
    with tempfile.TemporaryDirectory() as scratch:
        data, output, whole = (Path(scratch, name) for name in ("data", "run", "undisturbed"))
        simulate_dataset(demo_structure(), data, n=32, pixel_size=6.0, particles=options.particles, snr=0.5)
        started = time.monotonic()
        if start(data, whole, 1).wait():
            sys.exit("the undisturbed run failed")
        life, last = time.monotonic() - started, iterations_in(whole)
        for kill in range(options.kills):
            # Every run is killed once, somewhere between its start and the last of its files, and resumed to its end.
            ranks, done = 1 + int(rng.integers(options.ranks)), False
            while not done:
                shutil.rmtree(output, ignore_errors=True)
                iteration, delay = int(rng.integers(last + 1)), float(rng.uniform(0, 1.5)) * life / (last + 2)
                done = killed(data, output, ranks, iteration, delay, rng)
            reached, parts = iterations_in(output), sum(1 for p in output.rglob("*") if p.is_file())
            ranks = 1 + (ranks % options.ranks)
            leg = start(data, output, ranks, "--resume")
            _, errors = leg.communicate()
            fine = leg.returncode == 0 and complete(output)
            differences.append(difference(output, whole) if fine else float("inf"))
            where = f"after iteration {reached} of {last} with {parts} files in the folder"
            print(f"kill {kill + 1}: {where}, map differs by {differences[-1]:.2g}", file=sys.stderr)
            if not fine:
                print(errors, file=sys.stderr)
    result = {
        "kills": options.kills,
        "same": sum(d <= SAME for d in differences),
        "largest_difference": max(differences),
        "ranks": options.ranks,
        "undisturbed_seconds": round(life, 1),
    }
    print(json.dumps(result) if options.json else result)
    if result["same"] < options.kills:
        sys.exit(f"{result['same']} of {options.kills} killed runs ended with the undisturbed map, expected all")


if __name__ == "__main__":
    main()
