import json

import numpy as np
import pytest

from cryoinv.errors import InputError
from cryoinv.io import ParticleStack, read_volume, write_structure, write_volume
from cryoinv.simulation import (
    CtfDistribution,
    centre_of_mass,
    demo_structure,
    low_pass,
    model_diameter,
    potential_map,
    simulate_dataset,
)

from .analytic import tiny_model

SETTINGS = {"n": 32, "pixel_size": 5.0, "particles": 30, "snr": 0.1}
SETTINGS |= {"max_shift": 10.0, "ctf": True, "seed": 3}
FILES = ("particles.mrcs", "particles.star", "truth.star", "truth.mrc", "reference.mrc")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "new" / "folder"
    return simulate_dataset(demo_structure(), folder, **SETTINGS)


def test_files(dataset):
    names = {path.name for path in dataset.folder.iterdir()}
    assert sorted(names) == sorted([*FILES, "simulation.json"])
    record = json.loads((dataset.folder / "simulation.json").read_text())
    assert record["seed"] == 3
    assert record["ctf"]["voltage"] == 300
    assert "protein is positive" in record["contrast"]
    assert str(dataset).startswith("30 particles of 2XHE, largest diameter 106 Å")
    assert np.isclose(dataset.realised_snr, 0.1, rtol=1e-4)


def test_star_files_are_read_back(dataset):
    particles = ParticleStack.from_star(dataset.folder / "particles.star")
    truth = ParticleStack.from_star(dataset.folder / "truth.star")
    assert particles.poses is None
    assert len(truth.poses) == len(particles) == 30
    assert np.linalg.norm(truth.poses.shifts, axis=1).max() <= 10.0
    for stack in (particles, truth):
        assert stack.has_ctf
        assert np.isclose(stack.pixel_size, 5.0)
        group = stack.optics[0]
        assert (group.voltage, group.spherical_aberration, group.amplitude_contrast) == (300, 2.7, 0.1)
    assert np.array_equal(particles.images(), truth.images())
    assert np.allclose(particles.defocus, truth.defocus)


def test_noise_is_what_the_truth_leaves(dataset):
    """truth.mrc, projected with the poses and CTF in truth.star, explains the images up to unit noise."""
    import torch

    from cryoinv.operators import CTF, ForwardModel, FourierSlice, Shift, ctf_values
    from cryoinv.spaces import VolumeSpace
    from cryoinv.spaces.spectrum import centred_irfft

    truth, pixel_size = read_volume(dataset.folder / "truth.mrc")
    stack = ParticleStack.from_star(dataset.folder / "truth.star")
    slices = FourierSlice(VolumeSpace(32, pixel_size), stack.poses.rotations, interpolation="trilinear")
    ctf = CTF(slices.range, ctf_values(32, pixel_size, *stack.defocus.T, 300, 2.7, 0.1))
    model = ForwardModel(slices, ctf, Shift(slices.range, stack.poses.shifts / pixel_size))
    clean = centred_irfft(model.apply(torch.from_numpy(truth)), 32, ndim=2).numpy()
    images = stack.images()
    gain = (images * clean).sum() / (clean**2).sum()
    assert abs(gain - 1) < 5 / np.sqrt((clean**2).sum())
    assert abs((images - clean).var() - 1) < 5 * np.sqrt(2 / images.size)


def test_maps(dataset):
    truth, pixel_size = read_volume(dataset.folder / "truth.mrc")
    reference, _ = read_volume(dataset.folder / "reference.mrc")
    assert pixel_size == 5.0
    assert np.corrcoef(truth.ravel(), potential_map(demo_structure(), 32, 5.0).ravel())[0, 1] > 0.999999
    assert np.allclose(reference, low_pass(truth, 5.0, 30.0), atol=1e-6)


def test_same_seed_same_files(dataset, tmp_path):
    simulate_dataset(demo_structure(), tmp_path, **SETTINGS)
    for name in (*FILES, "simulation.json"):
        assert (dataset.folder / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_structure_files_and_maps_give_the_same_data(tmp_path):
    model = tiny_model()
    write_structure(tmp_path / "tiny.cif", model)
    volume = potential_map(model, 40, 2.0)
    write_volume(tmp_path / "tiny.mrc.gz", volume, 2.0)
    settings = {"n": 32, "pixel_size": 2.5, "particles": 5, "snr": 0.1}
    calls = []

    def record(*progress):
        calls.append(progress)

    from_atoms = simulate_dataset(tmp_path / "tiny.cif", tmp_path / "a", **settings, callback=record)
    assert calls == [(5, 5)]
    from_map = simulate_dataset(tmp_path / "tiny.mrc.gz", tmp_path / "b", **settings)
    from_array = simulate_dataset(potential_map(model, 32, 2.5), tmp_path / "c", **settings)
    assert from_atoms.diameter is not None
    assert from_map.diameter is None
    maps = [read_volume(d.folder / "truth.mrc")[0] for d in (from_atoms, from_map, from_array)]
    for other in maps[1:]:
        assert np.abs(other - maps[0]).max() < 5e-3 * maps[0].max()
    assert np.isfinite(ParticleStack.from_star(tmp_path / "b" / "particles.star").images()).all()
    assert not ParticleStack.from_star(tmp_path / "b" / "particles.star").has_ctf


def test_blocks_do_not_change_the_files(tmp_path, monkeypatch):
    settings = {"n": 16, "pixel_size": 4.0, "particles": 11, "snr": 0.1, "noise": "coloured"}
    simulate_dataset(tiny_model(), tmp_path / "a", **settings)
    monkeypatch.setattr("cryoinv.simulation.particles._BLOCK_POINTS", 3 * 16**2)
    calls = []
    simulate_dataset(tiny_model(), tmp_path / "b", **settings, callback=lambda done, _: calls.append(done))
    assert calls == [3, 6, 9, 11]
    a, b = (ParticleStack.from_star(tmp_path / x / "particles.star").images() for x in "ab")
    assert np.allclose(a, b, atol=1e-5)


def test_errors(tmp_path):
    good = {"n": 32, "pixel_size": 3.0, "particles": 3, "snr": 0.1}
    model = tiny_model()
    with pytest.raises(InputError, match="with shifts up to 80 Å, the box is 96 Å"):
        simulate_dataset(model, tmp_path / "x", **good, max_shift=80.0)
    with pytest.raises(InputError, match="the box is 96 Å"):
        simulate_dataset(demo_structure(), tmp_path / "x", **good)
    with pytest.raises(InputError, match="cannot hold a reference at 30 Å"):
        simulate_dataset(model, tmp_path / "x", **{**good, "pixel_size": 20.0})
    with pytest.raises(InputError, match=r"none\.cif"):
        simulate_dataset(tmp_path / "none.cif", tmp_path / "x", **good)
    with pytest.raises(InputError, match=r"expected \(32, 32, 32\)"):
        simulate_dataset(np.zeros((8, 8, 8)), tmp_path / "x", **good)
    big = np.random.default_rng(0).standard_normal((48, 48, 48)).astype(np.float32)
    write_volume(tmp_path / "big.mrc", big, 3.0)
    with pytest.raises(InputError, match=r"cuts off \d\d % of the power of the map \(48 voxels of 3 Å\)"):
        simulate_dataset(tmp_path / "big.mrc", tmp_path / "x", **good)
    assert not (tmp_path / "x").exists()
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="cannot be made"):
        simulate_dataset(model, tmp_path / "file", **good)


def test_interrupted_writing_leaves_no_particles(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_dataset(tiny_model(), tmp_path, n=16, pixel_size=4, particles=3, snr=0.1, callback=stop)
    assert {path.name for path in tmp_path.iterdir()} == {"truth.mrc", "reference.mrc"}


@pytest.mark.shared
def test_a_structure_of_the_corpus(shared_data):
    with np.load(shared_data / "test" / "structures.npz") as pack:
        index = [str(i).lower() for i in pack["ids"]].index("2xhe")
        atoms = slice(pack["offsets"][index], pack["offsets"][index + 1])
        positions, numbers = pack["xyz"][atoms] / 100.0, pack["z"][atoms]
    model = demo_structure()
    assert abs(len(model) - len(positions)) <= 2
    diameter = model_diameter(model)
    spread = np.sqrt(((positions - positions.mean(axis=0)) ** 2).sum(axis=1).mean())
    own = np.sqrt(((model.positions - centre_of_mass(model)) ** 2).sum(axis=1).mean())
    assert abs(spread - own) < 0.1
    assert abs(diameter - 106.3) < 0.1
    assert set(numbers) == set(model.atomic_numbers)


def test_ctf_distribution_is_taken():
    distribution = CtfDistribution(defocus_min=5e3, defocus_max=6e3, voltage=200.0)
    assert distribution.draw(10, np.random.default_rng(0))[:, :2].max() < 6.3e3
