"""``cryoinv denoise``: the map of the Python denoiser, and one message for whatever does not suit."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from cryoinv.cli.denoise import _advice_on_memory
from cryoinv.denoisers import (
    Composition,
    LowPass,
    NetworkDenoiser,
    PriorContext,
    SolventFlattening,
    TotalVariation,
    Wiener,
)
from cryoinv.errors import InputError
from cryoinv.io import read_volume, write_volume
from cryoinv.networks import GatedUNet, write_network
from cryoinv.operators import soft_sphere

from .test_bad_input import check_refused, truncate
from .test_contract import snapshot

PIXEL = 3.0


def noisy(n, seed, sigma=0.3):
    """A ball that is no ball, in white noise."""
    ball = soft_sphere(n, n / 5, 2.0, dtype=torch.float64).numpy()
    ball[: n // 2] *= 0.5
    return (ball + sigma * np.random.default_rng(seed).standard_normal(ball.shape)).astype(np.float32)


@pytest.fixture(params=[20, 21])
def halves(request, tmp_path):
    """Two files and their arrays."""
    maps = [noisy(request.param, seed) for seed in (1, 2)]
    paths = tmp_path / "half1.mrc", tmp_path / "half2.mrc"
    for path, volume in zip(paths, maps, strict=True):
        write_volume(path, volume, PIXEL)
    return paths, maps


@pytest.fixture
def pair(tmp_path):
    """A folder with two half-maps."""
    for half in (1, 2):
        write_volume(tmp_path / f"half{half}.mrc", noisy(20, half), PIXEL)
    return tmp_path


def shells(n):
    """Rounded radius of every coefficient of the full transform."""
    k = np.fft.fftfreq(n, 1 / n)
    return np.rint(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)).astype(int)


def shell_sums(values):
    n = len(values)
    return np.bincount(shells(n).ravel(), values.ravel())[: n // 2 + 1]


def correlation(a, b):
    A, B = np.fft.fftn(a.astype(float)), np.fft.fftn(b.astype(float))
    return shell_sums((A * B.conj()).real) / np.sqrt(shell_sums(abs(A) ** 2) * shell_sums(abs(B) ** 2))


def test_halves_make_the_wiener_map_of_all_particles(cryoinv, halves, tmp_path):
    (first, second), (a, b) = halves
    output = tmp_path / "new" / "map.mrc"
    outcome = cryoinv("denoise", first, "--half2", second, "--denoiser", "wiener", "--output", output)
    assert outcome.code == 0, outcome.text
    n, fsc = len(a), correlation(a, b).clip(0, 1)
    factor = 2 * fsc / (1 + fsc)
    factor[0] = factor[1]
    factor[np.argmax(factor < 0.05) if (factor < 0.05).any() else n :] = 0
    transfer = np.append(factor, np.zeros(n))[shells(n)]
    expected = np.fft.ifftn(transfer * np.fft.fftn((a.astype(float) + b) / 2)).real
    found, pixel_size = read_volume(output)
    assert pixel_size == PIXEL and 0 < np.count_nonzero(factor) < n // 2 + 1
    np.testing.assert_allclose(found, expected, atol=1e-5 * abs(expected).max())
    assert [path.name for path in output.parent.iterdir()] == ["map.mrc"]
    for said in (f"{n} pixels of 3 Å", "half-maps at 0.143", "wiener", "s on cpu", "map.mrc"):
        assert said in outcome.out


@pytest.mark.parametrize(
    ("spec", "denoiser"),
    [
        ("lowpass", LowPass()),
        ("compose,first=(tv,strength=0.5),then=solvent", Composition(TotalVariation(0.5), SolventFlattening())),
    ],
    ids=["resolution", "radius"],
)
def test_the_denoiser_is_told_resolution_and_radius_of_the_halves(spec, denoiser, cryoinv, halves, tmp_path):
    (first, second), (a, b) = halves
    output, n = tmp_path / "map.mrc", len(a)
    options = ["--half2", second, "--particle-diameter", 45, "--device", "cpu", "--threads", 1, "--json"]
    outcome = cryoinv("denoise", first, "--denoiser", spec, "--output", output, *options)
    assert outcome.code == 0, outcome.text
    fsc = correlation(a, b)
    last = np.argmax(fsc[1:] < 0.143)
    crossing = last + (fsc[last] - 0.143) / (fsc[last] - fsc[last + 1])
    resolution = n * PIXEL / crossing
    said = json.loads(outcome.out)
    assert said.pop("wall_seconds") >= 0 and said.pop("resolution_angstrom") == pytest.approx(resolution, abs=1e-3)
    assert said == {
        "box_pixels": n,
        "pixel_size_angstrom": PIXEL,
        "particle_diameter_angstrom": 45.0,
        "resolution_reached_nyquist": False,
        "resolution_source": "half-maps at 0.143",
        "denoiser": spec,
        "device": "cpu",
        "output": str(output),
    }
    both = torch.from_numpy(2 * fsc.clip(0) / (1 + fsc.clip(0)))
    context = PriorContext(n, PIXEL, both, torch.ones_like(both), resolution, 22.5)
    expected = denoiser.denoise(torch.from_numpy((a + b) / 2), context).numpy()
    np.testing.assert_allclose(read_volume(output)[0], expected, atol=1e-4 * abs(expected).max())


def test_a_denoiser_meets_the_power_of_the_signal(cryoinv, halves, tmp_path, monkeypatch):
    """White noise and a white signal of half the power: tau2 is that of the signal, in orthonormal coefficients."""
    monkeypatch.chdir(tmp_path)
    Path("told.py").write_text(
        "from cryoinv.denoisers import Denoiser\n"
        "class Told(Denoiser):\n"
        "    def denoise(self, volume, context):\n"
        "        assert context.tau2.shape == context.fsc.shape and context.iteration == 1\n"
        "        return volume * float(context.tau2[4:].mean())\n"
    )
    rng = np.random.default_rng(0)
    signal, *noise = rng.standard_normal((3, 32, 32, 32))
    for name, each in zip("ab", noise, strict=True):
        write_volume(f"{name}.mrc", 3 * signal + 3 * each, PIXEL)
    outcome = cryoinv("denoise", "a.mrc", "--half2", "b.mrc", "--denoiser", "told:Told", "--output", "c.mrc")
    assert outcome.code == 0, outcome.text
    ratio = read_volume("c.mrc")[0] / ((read_volume("a.mrc")[0] + read_volume("b.mrc")[0]) / 2)
    assert float(np.median(ratio)) == pytest.approx(9, rel=0.05)  # of 17,000 coefficients: five standard errors


@pytest.mark.parametrize("diameter", [None, 40.0])
def test_a_map_of_stated_resolution(diameter, cryoinv, halves, tmp_path):
    (first, _), (a, _) = halves
    output = tmp_path / "map.map.gz"
    more = [] if diameter is None else ["--particle-diameter", diameter]
    outcome = cryoinv(
        "denoise", first, "--resolution", 12, "--denoiser", "solvent", "--output", output, "--json", *more
    )
    assert outcome.code == 0, outcome.text
    said = json.loads(outcome.out)
    assert said["resolution_angstrom"] == 12 and said["resolution_source"] == "stated"
    assert said["particle_diameter_angstrom"] == pytest.approx(diameter or 0.8 * len(a) * PIXEL)
    context = PriorContext.nominal(len(a), PIXEL, 12.0, diameter and diameter / 2)
    expected = SolventFlattening().denoise(torch.from_numpy(a), context)
    np.testing.assert_allclose(read_volume(output)[0], expected, atol=1e-6)


def test_a_network_from_a_file(cryoinv, halves, tmp_path):
    (first, second), (a, b) = halves
    torch.manual_seed(0)
    network = GatedUNet(2, 1)
    for weights in network.parameters():
        torch.nn.init.normal_(weights, std=0.3)
    write_network(tmp_path / "net.safetensors", network, (3.0, 3.0))
    output = tmp_path / "map.mrc"
    spec = f"{tmp_path / 'net.safetensors'},tile=64"
    outcome = cryoinv("denoise", first, "--half2", second, "--denoiser", spec, "--output", output)
    assert outcome.code == 0, outcome.text
    fsc = torch.from_numpy(correlation(a, b)).clamp(min=0)
    radius = 0.4 * len(a) * PIXEL  # unless it is given
    sphere = soft_sphere(len(a), 0.4 * len(a)).numpy()
    inside = torch.from_numpy(correlation(sphere * a, sphere * b)).clamp(min=0)
    context = PriorContext(
        len(a), PIXEL, 2 * fsc / (1 + fsc), torch.ones_like(fsc), 9.0, radius, fsc_masked=2 * inside / (1 + inside)
    )
    mean = torch.from_numpy((a + b) / 2)
    expected, filtered = (each.denoise(mean, context) for each in (NetworkDenoiser(network), Wiener()))
    found = torch.from_numpy(read_volume(output)[0])
    assert float((found - filtered).norm() / filtered.norm()) > 1e-3
    torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.abs().max()), rtol=0)


def test_what_is_there_is_replaced_only_on_request(cryoinv, pair):
    command = ["denoise", pair / "half1.mrc", "--resolution", 12, "--denoiser", "lowpass", "--output", pair / "map.mrc"]
    assert cryoinv(*command).code == 0
    before = (pair / "map.mrc").read_bytes()
    command[command.index(12)] = 30
    check_refused(cryoinv(*command), ["map.mrc", "there already", "--overwrite"])
    assert (pair / "map.mrc").read_bytes() == before
    assert cryoinv(*command, "--overwrite").code == 0 and (pair / "map.mrc").read_bytes() != before


def rewrite(path, change):
    """Change a file's values behind the back of the library's writer."""
    volume = np.frombuffer(path.read_bytes()[1024:], np.float32).copy()
    path.write_bytes(path.read_bytes()[:1024] + change(volume).astype(np.float32).tobytes())


def with_nan(volume):
    volume[77] = np.nan
    return volume


def without_pixel_size(path):
    raw = bytearray(path.read_bytes())
    raw[40:52] = bytes(12)
    path.write_bytes(raw)


SPOILT = {
    "missing": (lambda half: half.unlink(), ["half2.mrc", "no such"]),
    "empty-file": (lambda half: half.write_bytes(b""), ["half2.mrc", "is empty"]),
    "no-map": (lambda half: half.write_text("a" * 4000), ["half2.mrc"]),
    "truncated": (truncate, ["half2.mrc", "truncated"]),
    "nan": (lambda half: rewrite(half, with_nan), ["half2.mrc", "contains NaN (1 of 8000"]),
    "zero": (lambda half: rewrite(half, np.zeros_like), ["half2.mrc", "zero everywhere"]),
    "constant": (lambda half: rewrite(half, np.ones_like), ["half2.mrc", "constant", "every voxel is 1"]),
    "no-pixel-size": (without_pixel_size, ["half2.mrc", "no pixel size"]),
    "box": (lambda half: write_volume(half, noisy(22, 2), PIXEL), ["half2.mrc", "half1.mrc", "22", "20"]),
    "no-cube": (lambda half: write_volume(half, noisy(20, 2)[:12], PIXEL), ["half2.mrc", "not cubic"]),
    "pixel-size": (lambda half: write_volume(half, noisy(20, 2), 1.5), ["half2.mrc", "half1.mrc", "1.5 Å", "3 Å"]),
    "same-map": (lambda half: shutil.copy(half.with_name("half1.mrc"), half), ["half2.mrc", "the same map twice"]),
    "contrast": (lambda half: write_volume(half, -noisy(20, 2), PIXEL), ["does not reach 0.143", "one refinement"]),
}


@pytest.mark.parametrize("case", SPOILT)
def test_spoilt_halves(case, cryoinv, pair):
    spoil, words = SPOILT[case]
    spoil(pair / "half2.mrc")
    before = snapshot(pair)
    outcome = cryoinv(
        "denoise", pair / "half1.mrc", "--half2", pair / "half2.mrc", "--denoiser", "wiener", "--output",
        pair / "map.mrc",
    )  # fmt: skip
    check_refused(outcome, words)
    assert snapshot(pair) == before


@pytest.mark.parametrize("case", ["missing", "truncated", "nan", "zero", "constant", "no-pixel-size", "no-cube"])
def test_a_spoilt_map_alone(case, cryoinv, pair):
    spoil, words = SPOILT[case]
    spoil(pair / "half2.mrc")
    before = snapshot(pair)
    outcome = cryoinv(
        "denoise", pair / "half2.mrc", "--resolution", 12, "--denoiser", "wiener", "--output", pair / "map.mrc"
    )
    check_refused(outcome, words)
    assert snapshot(pair) == before


ALONE = ["--resolution", 12]
WRONG = {
    "no-resolution": ([], ["resolution is not known", "--half2", "--resolution"]),
    "both": (["--half2", "half2.mrc", *ALONE], ["--half2 tells the resolution", "leave out one"]),
    "same-file": (["--half2", "half1.mrc"], ["half1.mrc", "the same map twice"]),
    "fine": (["--resolution", 5.9], ["--resolution is 5.9 Å", "6 (two pixels)", "60 Å (the box)"]),
    "coarse": (["--resolution", 61], ["--resolution is 61 Å", "60 Å"]),
    "no-number": (["--resolution", "nan"], ["--resolution is nan"]),
    "zero-diameter": ([*ALONE, "--particle-diameter", 0], ["--particle-diameter is 0 Å", "box of 60 Å"]),
    "large-diameter": (["--half2", "half2.mrc", "--particle-diameter", 61], ["--particle-diameter is 61 Å"]),
    "device": ([*ALONE, "--device", "tpu"], ["tpu"]),
    "absent-gpu": ([*ALONE, "--device", "cuda:99"], ["cuda:99"]),
    "denoiser": ([*ALONE, "--denoiser", "winer"], ["winer", "did you mean 'wiener'"]),
    "option": ([*ALONE, "--denoiser", "wiener,cut=1"], ["'cut'", "cutoff"]),
    "no-network": ([*ALONE, "--denoiser", "none.safetensors"], ["none.safetensors", "no such"]),
    "network": ([*ALONE, "--denoiser", "net.safetensors"], ["net.safetensors"]),
    "name": ([*ALONE, "--output", "map.txt"], ["map.txt", "ending in .mrc"]),
    "folder": ([*ALONE, "--output", "half1.mrc/map.mrc"], ["half1.mrc", "is a file"]),
    "input": ([*ALONE, "--output", "half1.mrc", "--overwrite"], ["half1.mrc", "is an input"]),
    "second-input": (["--half2", "half2.mrc", "--output", "half2.mrc"], ["half2.mrc", "is an input"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options(case, cryoinv, pair, monkeypatch):
    monkeypatch.chdir(pair)
    options, words = WRONG[case]
    Path("net.safetensors").write_bytes(b"nothing of the kind")
    before = snapshot(pair)
    check_refused(cryoinv("denoise", "half1.mrc", "--denoiser", "wiener", "--output", "map.mrc", *options), words)
    assert snapshot(pair) == before


def test_a_map_that_is_not_finite_is_not_written(cryoinv, pair, monkeypatch):
    monkeypatch.setattr(Wiener, "denoise", lambda _, volume, __: volume / 0)
    outcome = cryoinv(
        "denoise", pair / "half1.mrc", *ALONE, "--denoiser", "wiener", "--output", pair / "new" / "map.mrc"
    )
    check_refused(outcome, ["Wiener()", "not finite"])
    assert not (pair / "new").exists()


def test_too_little_memory_names_the_tile_to_try(cryoinv, tmp_path, monkeypatch):
    def fail(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 80.00 GiB.")

    monkeypatch.setattr(NetworkDenoiser, "denoise", fail)
    write_volume(tmp_path / "map.mrc", noisy(64, 1), PIXEL)
    write_network(tmp_path / "net.safetensors", GatedUNet(2, 1), (3.0, 3.0))
    before = snapshot(tmp_path)
    outcome = cryoinv(
        "denoise", tmp_path / "map.mrc", *ALONE, "--denoiser", tmp_path / "net.safetensors", "--output",
        tmp_path / "o.mrc",
    )  # fmt: skip
    check_refused(outcome, ["out of memory", "--denoiser FILE,tile=32", "64 voxels"])
    assert snapshot(tmp_path) == before


NETWORK = NetworkDenoiser(GatedUNet(2, 1))
DEEP = NetworkDenoiser(GatedUNet(2, 4))  # its tiles have 72 voxels at least
CPU = RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried to")


@pytest.mark.parametrize(
    ("denoiser", "n", "device", "error", "said"),
    [
        (NETWORK, 256, "cuda:0", torch.cuda.OutOfMemoryError("CUDA out of memory"), r"tile=96\) or --device cpu or"),
        (NETWORK, 128, "cpu", CPU, r"tile=64\) or a machine"),
        (Composition(TotalVariation(), NETWORK), 300, "cpu", MemoryError(), "tile=96"),
        (DEEP, 96, "cpu", CPU, r"of 96\); try a machine with more memory"),
        (NETWORK, 48, "cpu", CPU, r"of 48\); try a machine with more memory"),
        (TotalVariation(), 256, "cuda:0", RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"), "try --device cpu or a"),
    ],
    ids=["gpu", "cpu", "nested", "deep", "small", "no-tiles"],
)
def test_advice_on_memory(denoiser, n, device, error, said):
    with pytest.raises(InputError, match=said), _advice_on_memory(denoiser, n, device):
        raise error


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes"), _advice_on_memory(NETWORK, 64, "cpu"):
        raise RuntimeError("shapes do not match")


def test_help_names_the_denoisers(cryoinv):
    assert "denoise" in cryoinv("--help").out
    text = cryoinv("denoise", "--help").out
    for word in ("--half2", "--resolution", "--particle-diameter", "--json", "wiener", "network", ".safetensors"):
        assert word in text
