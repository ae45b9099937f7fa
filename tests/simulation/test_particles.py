import dataclasses

import numpy as np
import pytest

from cryoinv.errors import InputError
from cryoinv.geometry import Poses
from cryoinv.simulation import CtfDistribution, centre_of_mass, potential_map, simulate_particles

from .analytic import gaussian_sum, grid, tiny_model

CTF = CtfDistribution()


def ctf_by_hand(particles, particle):
    """CTF on the full spectrum, from its formula."""
    fx = np.fft.fftfreq(particles.n, particles.pixel_size)
    fy = fx[:, None]
    u, v, angle = particles.defocus[particle]
    direction = np.arctan2(fy, fx) - np.deg2rad(angle)
    defocus = (u + v) / 2 + (u - v) / 2 * np.cos(2 * direction)
    squares, wavelength = fx**2 + fy**2, 0.01968749  # 300 kV
    phase = np.pi * wavelength * defocus * squares - np.pi / 2 * 2.7e7 * wavelength**3 * squares**2
    return np.sin(phase + np.arcsin(0.1))


@pytest.mark.parametrize("n", [32, 33])
@pytest.mark.parametrize("ctf", [None, CTF], ids=["plain", "ctf"])
def test_clean_images_are_projections_of_rotated_atoms(n, ctf):
    pixel_size, model = 2.5, tiny_model()
    volume = potential_map(model, n, pixel_size)
    particles = simulate_particles(volume, pixel_size, count=4, snr=0.05, max_shift=8.0, ctf=ctf)
    scale = particles.volume.max() / volume.max()
    images = particles.clean_images(np.arange(4))
    for i, image in enumerate(images):
        rotated = (model.positions - centre_of_mass(model)) @ particles.poses.rotations[i].T
        centres = rotated[:, :2] + particles.poses.shifts[i]
        expected = scale * gaussian_sum(centres, model, grid(n, pixel_size, 2)) / pixel_size
        if ctf is not None:
            expected = np.fft.ifft2(np.fft.fft2(expected) * ctf_by_hand(particles, i)).real
        assert np.abs(image - expected).max() < 1e-3 * np.abs(expected).max()


def test_projecting_the_truth_gives_the_clean_image():
    particles = simulate_particles(potential_map(tiny_model(), 24, 3.0), 3.0, count=1, snr=0.1)
    turned = dataclasses.replace(particles, poses=Poses(np.eye(3)[None]))
    assert np.allclose(turned.clean_images([0])[0], particles.volume.sum(axis=0), atol=1e-5)


def test_protein_is_bright():
    particles = simulate_particles(potential_map(tiny_model(), 24, 3.0), 3.0, count=8, snr=0.1, ctf=CTF)
    plain = simulate_particles(potential_map(tiny_model(), 24, 3.0), 3.0, count=8, snr=0.1)
    assert particles.volume.max() > 10 * -particles.volume.min()
    with_ctf, without = particles.clean_images(range(8)), plain.clean_images(range(8))
    assert all(np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.1 for a, b in zip(with_ctf, without, strict=True))


@pytest.mark.parametrize("ctf", [None, CTF], ids=["plain", "ctf"])
@pytest.mark.parametrize("noise", ["white", "coloured"])
def test_snr(ctf, noise):
    count, snr = 150, 0.2
    volume = potential_map(tiny_model(), 24, 3.0)
    particles = simulate_particles(volume, 3.0, count, snr, max_shift=6.0, ctf=ctf, noise=noise)
    indices = np.arange(count)
    clean = particles.clean_images(indices).astype(float)
    assert np.isclose(clean.var(axis=(1, 2)).mean(), snr, rtol=1e-5)
    assert np.isclose(particles.signal_variance(), snr, rtol=1e-5)
    added = particles.images(indices) - clean
    assert abs(added.var() - 1) < 5 * np.sqrt(2 / added.size) * (1 if noise == "white" else 2)
    assert abs(added.mean()) < 5 * np.sqrt(particles.noise_power[0] / added.size)


def test_scale_is_set_on_the_first_particles(monkeypatch):
    monkeypatch.setattr("cryoinv.simulation.particles.SNR_PARTICLES", 10)
    volume = potential_map(tiny_model(), 16, 4.0)
    few, many = (simulate_particles(volume, 4.0, count, snr=0.1) for count in (10, 20))
    assert np.array_equal(few.volume, many.volume)
    assert np.array_equal(few.images([3, 9]), many.images([3, 9]))


def test_one_seed_decides_and_streams_are_independent(monkeypatch):
    volume = potential_map(tiny_model(), 16, 4.0)
    settings = {"count": 12, "snr": 0.1, "seed": 5, "max_shift": 6.0, "ctf": CTF}
    first = simulate_particles(volume, 4.0, **settings)
    images = first.images(range(12))
    assert np.array_equal(simulate_particles(volume, 4.0, **settings).images(range(12)), images)
    monkeypatch.setattr("cryoinv.simulation.particles._BLOCK_POINTS", 5 * 16**2)
    assert np.allclose(simulate_particles(volume, 4.0, **settings).images(range(12)), images, atol=1e-5)
    assert np.allclose(first.images([7, 2]), images[[7, 2]], atol=1e-5)
    assert first.images([]).shape == (0, 16, 16)
    another = simulate_particles(volume, 4.0, **{**settings, "seed": 6})
    assert not np.array_equal(another.noise([0]), first.noise([0]))
    for change in ({"count": 30}, {"snr": 0.01}, {"noise": "coloured"}, {"ctf": None}, {"max_shift": 0.0}):
        other = simulate_particles(volume, 4.0, **{**settings, **change})
        assert np.array_equal(other.poses.rotations[:12], first.poses.rotations)
        if "max_shift" not in change:
            assert np.array_equal(other.poses.shifts[:12], first.poses.shifts)
        if other.defocus is not None:
            assert np.array_equal(other.defocus[:12], first.defocus)
        if "noise" not in change:
            assert np.array_equal(other.noise(range(12)), first.noise(range(12)))


def test_distributions():
    volume = potential_map(tiny_model(), 8, 8.0)
    particles = simulate_particles(volume, 8.0, 3000, 0.1, max_shift=6.0, ctf=CTF)
    radius = np.linalg.norm(particles.poses.shifts, axis=1)
    assert radius.max() <= 6.0
    assert abs((radius < 3.0).mean() - 0.25) < 0.04
    assert np.abs(particles.poses.rotations.mean(axis=0)).max() < 0.06
    u, v, angle = particles.defocus.T
    mean = (u + v) / 2
    assert (mean.min(), mean.max()) > (10_000, 29_900)
    assert mean.max() < 30_000
    assert ((u >= v) & (u - v <= 400)).all()
    assert ((angle >= 0) & (angle < 180)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "particle count is 0"),
        ({"snr": 0.0}, "SNR is 0.0"),
        ({"snr": np.nan}, "SNR is nan"),
        ({"pixel_size": -1.0}, "pixel size is -1"),
        ({"max_shift": -1.0}, "largest shift is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"noise": "pink"}, "noise is 'pink'"),
        ({"volume": np.zeros((8, 8, 9))}, "expected a cube"),
        ({"volume": np.zeros((8, 8, 8))}, "empty or not finite"),
        ({"volume": np.full((8, 8, 8), np.nan)}, "empty or not finite"),
    ],
)
def test_errors(change, message):
    good = {"volume": np.random.default_rng(0).random((8, 8, 8)), "pixel_size": 4.0, "count": 3, "snr": 0.1}
    with pytest.raises(InputError, match=message):
        simulate_particles(**{**good, **change})


def test_optics_errors():
    with pytest.raises(InputError, match="ordered bounds"):
        CtfDistribution(defocus_min=3e4, defocus_max=1e4)
