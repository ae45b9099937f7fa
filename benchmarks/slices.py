"""Projecting and back-projecting 1,024 views of a 64³ map: whole calls, beside ASPIRE and torch-fourier-slice.

A projection goes from a real map and rotations to real images, a back-projection from real images and rotations to a
real map: transforms, padding and gridding correction are inside, compilation is not (every call is made once before).
Ours is the adjoint, and so is ASPIRE's; that of torch-fourier-slice divides by the weights as well. All work in single
precision on the threads of OMP_NUM_THREADS (all cores, if not set), in turn, so that what else runs hits all alike;
times are medians. The error is against direct sums by finufft in double precision, after the best common factor: over
all frequencies below Nyquist, and over those of the disc that our images are made of.

    OMP_NUM_THREADS=2 python benchmarks/slices.py [--rounds 5] [--json]

Threads spin only shortly while they wait: those that wait for one that has lost its core to something else would make
short calls many times slower than they are.
"""

import argparse
import contextlib
import importlib
import importlib.metadata
import json
import os
import statistics
import tempfile
import time

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # read when the libraries load

import finufft
import numpy as np
import torch

from cryoinv.geometry import random_rotations
from cryoinv.operators import FourierSlice, Projection
from cryoinv.simulation import demo_structure, potential_map
from cryoinv.spaces import VolumeSpace

TASKS = ("project", "backproject")
# What to install and to import; torch-fourier-slice 0.6 needs torch-ctf but does not ask for it.
PEERS = {
    "aspire": ("aspire", "aspire"),
    "torch_fourier_slice": ("torch-fourier-slice torch-ctf", "torch_fourier_slice"),
}
OURS = "cryoinv"


def ours(rotations, n, **options):
    """Both calls by the library's operator."""

    def operator():
        return Projection(FourierSlice(VolumeSpace(n), rotations, **options))

    return (
        lambda volume: operator()(torch.as_tensor(volume)).data.numpy(),
        lambda images: operator().adjoint(torch.as_tensor(images)).data.numpy(),
    )


def aspire(rotations, n):
    """Both calls by ASPIRE; its rotations turn image frequencies into those of the map."""
    from aspire.image import Image
    from aspire.volume import Volume

    turns = rotations.transpose(0, 2, 1).astype(np.float32)
    return (
        lambda volume: Volume(volume).project(turns).asnumpy(),
        lambda images: Image(images).backproject(turns).asnumpy()[0],
    )


def torch_fourier_slice(rotations, n):
    """Both calls by torch-fourier-slice; its rotations turn image frequencies into those of the map."""
    from torch_fourier_slice import backproject_2d_to_3d, project_3d_to_2d

    turns = torch.as_tensor(rotations.transpose(0, 2, 1)).float()
    return (
        lambda volume: project_3d_to_2d(torch.as_tensor(volume), turns).numpy(),
        lambda images: backproject_2d_to_3d(torch.as_tensor(images), turns).numpy(),
    )


class DirectSums:
    """Projections, and their adjoint, by sums over voxels at all frequencies below Nyquist."""

    def __init__(self, rotations, n):
        self.n, self.count = n, len(rotations)
        k = np.arange(-((n - 1) // 2), (n - 1) // 2 + 1)
        ky, kx = np.meshgrid(k, k, indexing="ij")
        points = kx[..., None] * rotations[:, None, None, 0] + ky[..., None] * rotations[:, None, None, 1]
        self.place = (slice(None), ky % n, kx % n)
        self.points = [2 * np.pi / n * points[..., axis].ravel() for axis in (2, 1, 0)]

    def project(self, volume):
        values = finufft.nufft3d2(*self.points, volume.astype(complex), eps=1e-9, isign=-1)
        spectra = np.zeros((self.count, self.n, self.n), complex)
        spectra[self.place] = values.reshape(self.count, *self.place[1].shape)
        return np.fft.fftshift(np.fft.ifft2(spectra).real, axes=(1, 2))

    def backproject(self, images):
        spectra = np.fft.fft2(np.fft.ifftshift(images, axes=(1, 2)))[self.place].ravel()
        return finufft.nufft3d1(*self.points, spectra, (self.n,) * 3, eps=1e-9, isign=1).real / self.n**2


def contenders(rotations, n):
    """What is installed: name to its two calls."""
    found = {OURS: ours(rotations, n)}
    for name, (packages, module) in PEERS.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            print(f"{module} is not there ({error}): pip install {packages}")
            continue
        found[name] = globals()[name](rotations, n)
    return found | {"cryoinv_nufft": ours(rotations, n, interpolation="nufft", tolerance=1e-6)}


def measure(calls, arguments, rounds):
    """Median seconds of every call, taken in turn, and the results of the first round."""
    results = {name: {task: pair[i](arguments[i]) for i, task in enumerate(TASKS)} for name, pair in calls.items()}
    times = {name: {task: [] for task in TASKS} for name in calls}
    for _ in range(rounds):
        for name, pair in calls.items():
            for task, call, argument in zip(TASKS, pair, arguments, strict=True):
                start = time.perf_counter()
                call(argument)
                times[name][task].append(time.perf_counter() - start)
    return {name: {task: statistics.median(t) for task, t in own.items()} for name, own in times.items()}, results


def low_pass(array, ndim):
    """The frequencies up to (n - 1)/2 of an array's last axes."""
    n, axes = array.shape[-1], tuple(range(-ndim, 0))
    squares = sum(np.meshgrid(*[np.fft.fftfreq(n, 1 / n) ** 2] * (ndim - 1), np.arange(n // 2 + 1) ** 2, indexing="ij"))
    return np.fft.irfftn(np.fft.rfftn(array, axes=axes) * (squares <= ((n - 1) / 2) ** 2), s=(n,) * ndim, axes=axes)


def accuracy(result, exact, ndim):
    """Correlation and relative error after the best factor, over all frequencies and within the disc."""
    report = {}
    pairs = {"": (result, exact), "_in_disc": (low_pass(result, ndim), low_pass(exact, ndim))}
    for where, (a, b) in pairs.items():
        a, b = a.ravel().astype(float), b.ravel()
        report["correlation" + where] = float(np.corrcoef(a, b)[0, 1])
        report["relative_error" + where] = float(np.linalg.norm(a * (a @ b) / (a @ a) - b) / np.linalg.norm(b))
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", type=int, default=1024)
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    options = parser.parse_args()
    rotations = random_rotations(options.views, np.random.default_rng(options.seed))
    volume = potential_map(demo_structure(), options.box, 192.0 / options.box).astype(np.float32)
    direct = DirectSums(rotations, options.box)
    exact_images = direct.project(volume)
    images = exact_images.astype(np.float32)
    exact = dict(zip(TASKS, (exact_images, direct.backproject(exact_images)), strict=True))
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):  # ASPIRE writes a log where it is
        seconds, results = measure(contenders(rotations, options.box), (volume, images), options.rounds)
    ratios = {
        f"{task}_over_{peer}": seconds[peer][task] / seconds[OURS][task] if peer in seconds else None
        for peer in PEERS for task in TASKS
    }
    errors = {
        name: {task: accuracy(own[task], exact[task], ndim) for task, ndim in zip(TASKS, (2, 3), strict=True)}
        for name, own in results.items()
    }
    for name, own in seconds.items():
        for task in TASKS:
            error = errors[name][task]
            print(f"{name:<20} {task:<12} {own[task]:8.4f} s  relative error {error['relative_error']:.1e}, "
                  f"in the disc {error['relative_error_in_disc']:.1e}, correlation {error['correlation']:.6f}")
    for name, ratio in ratios.items():
        print(f"{name:<36} {'-' if ratio is None else f'{ratio:.1f}'}")
    if options.json:
        versions = {name: version(d) for name, d in [("torch", "torch"), ("numpy", "numpy"), ("finufft", "finufft"),
                                                     *((p, packages.split()[0]) for p, (packages, _) in PEERS.items())]}
        print(json.dumps(ratios | {
            "seconds": seconds, "accuracy": errors, "versions": versions, "threads": torch.get_num_threads(),
            "views": options.views, "box": options.box, "rounds": options.rounds,
        }))


def version(distribution):
    """Installed version, None where there is none."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
