"""Reading images ahead: one pass over particles that do not fit into the cache, with and without.

Every block of 32 images is transformed and scored against slices. Images come from a source that sleeps for each block
(a slow disk) and from a file, which is put out of the system's cache before every pass where the system allows it.
Without means that a block is read when it is asked for. Passes are taken in turn; times are medians.

    python benchmarks/read_ahead.py [--particles 4000] [--box 128] [--delay 0.02] [--json]
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from cryoinv.io import ParticleStack, write_stack
from cryoinv.io.image_source import FileImages, ImageSource
from cryoinv.io.mrc_stack import open_stack
from cryoinv.likelihood import FourierImages

SIZE = 32


class SlowParticles:
    """A stack whose every reading takes so much longer."""

    def __init__(self, stack, delay):
        self._stack, self._delay = stack, delay

    def __len__(self):
        return len(self._stack)

    def __getattr__(self, name):
        return getattr(self._stack, name)

    def images(self, indices):
        time.sleep(self._delay)
        return self._stack.images(indices)


def one_pass(stack, slices, ahead):
    """Seconds of transforming and scoring all images, and the sum of the scores."""
    images = FourierImages(stack, cache_bytes=0)
    indices = np.arange(len(stack))
    split = np.split(indices, indices[SIZE::SIZE])
    if ahead:
        split = (block for _, block in images.group_blocks(indices, SIZE))
    total, start = 0.0, time.perf_counter()
    for block in split:
        real = torch.view_as_real(images.transforms(block)).flatten(1)
        total += float((real @ slices).logsumexp(1).sum())
    return time.perf_counter() - start, total


def forget(path):
    """Put a file out of the system's cache."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def compare(stack, slices, rounds, before=lambda: None):
    """Median seconds with and without reading ahead, and their ratio; the scores must be the same."""
    times, totals = {True: [], False: []}, set()
    for _ in range(rounds):
        for ahead in (True, False):
            before()
            seconds, total = one_pass(stack, slices, ahead)
            times[ahead].append(seconds)
            totals.add(total)
    assert len(totals) == 1, "scores differ"
    ahead, without = (statistics.median(times[key]) for key in (True, False))
    return {"seconds_ahead": ahead, "seconds_without": without, "without_over_ahead": without / ahead}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--particles", type=int, default=4000)
    parser.add_argument("--box", type=int, default=128)
    parser.add_argument("--orientations", type=int, default=576)
    parser.add_argument("--delay", type=float, default=0.02, help="seconds a block of the slow source")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "particles.mrcs"
        pictures = rng.standard_normal((options.particles, options.box, options.box), dtype=np.float32)
        write_stack(path, pictures, 1.0)
        in_memory = ParticleStack.from_arrays(pictures, 1.0)
        source: ImageSource = FileImages([open_stack(path)], np.zeros(len(pictures), int), np.arange(len(pictures)))
        on_disk = ParticleStack(source, 1.0, in_memory.optics, in_memory.optics_group, in_memory.image_names)
        pixels = FourierImages(in_memory, cache_bytes=0).transforms(np.arange(1)).shape[1]
        slices = torch.as_tensor(rng.standard_normal((2 * pixels, options.orientations), dtype=np.float32)) / pixels
        results = {
            "slow_source": compare(SlowParticles(in_memory, options.delay), slices, options.rounds),
            "disk": compare(on_disk, slices, options.rounds, lambda: forget(path)),
        }
    for name, result in results.items():
        print(f"{name:<12} ahead {result['seconds_ahead']:.2f} s, without {result['seconds_without']:.2f} s, "
              f"ratio {result['without_over_ahead']:.2f}")
    if options.json:
        print(json.dumps(results | {"threads": torch.get_num_threads(), **vars(options)}))


if __name__ == "__main__":
    main()
