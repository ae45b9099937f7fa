import gemmi
import numpy as np
import pytest
from scipy import constants

from cryoinv.errors import InputError
from cryoinv.io import AtomicModel
from cryoinv.simulation import centre_of_mass, demo_structure, model_diameter, potential_map
from cryoinv.simulation.lowpass import frequency_radius
from cryoinv.simulation.scattering import VOLT_SQUARE_ANGSTROM, scattering_factor

from .analytic import gaussian_sum, grid, tiny_model


def test_volts():
    expected = constants.h**2 / (2 * np.pi * constants.m_e * constants.e) * 1e20
    assert np.isclose(VOLT_SQUARE_ANGSTROM, expected, rtol=1e-7)


@pytest.mark.parametrize("number", [1, 6, 26, 98])
def test_scattering_factor_is_gemmis(number):
    squares = np.array([0.0, 0.01, 0.3])  # (sin theta / lambda)^2 = f^2 / 4
    expected = [gemmi.Element(number).c4322.calculate_sf(s) for s in squares]
    assert np.allclose(scattering_factor(number, 2 * np.sqrt(squares)), expected)


@pytest.mark.parametrize("number", [0, 99])
def test_unknown_element(number):
    with pytest.raises(InputError, match=f"atomic number {number}"):
        scattering_factor(number, 0.0)


@pytest.mark.parametrize("n", [32, 33])
@pytest.mark.parametrize("b_factor", [0.0, 200.0])
def test_map_is_the_sum_of_its_atoms(n, b_factor):
    model = tiny_model()
    volume = potential_map(model, n, 2.5, b_factor=b_factor)
    expected = gaussian_sum(model.positions - centre_of_mass(model), model, grid(n, 2.5, 3), b_factor)
    assert np.abs(volume - expected).max() < 1e-4 * expected.max()


@pytest.mark.parametrize("n", [16, 17])
def test_spectrum_of_sharp_atoms_is_the_structure_factor(n):
    pixel_size, model = 3.0, tiny_model(b_factor=20.0, spread=4.0)
    spectrum = np.fft.rfftn(np.fft.ifftshift(potential_map(model, n, pixel_size)))
    full, half = np.fft.fftfreq(n, pixel_size), np.fft.rfftfreq(n, pixel_size)
    fz, fy, fx = np.meshgrid(full, full, half, indexing="ij")
    squares = fx**2 + fy**2 + fz**2
    expected = 0.0
    centred = model.positions - centre_of_mass(model)
    for r, z, b, o in zip(centred, model.atomic_numbers, model.b_factors, model.occupancies, strict=True):
        phase = np.exp(-2j * np.pi * (fx * r[0] + fy * r[1] + fz * r[2]))
        factor = o * scattering_factor(int(z), np.sqrt(squares)) * np.exp(-b * squares / 4)
        expected = expected + factor * phase
    expected = expected * VOLT_SQUARE_ANGSTROM / pixel_size**3 * (frequency_radius(n) <= (n - 1) / 2)
    assert np.abs(spectrum - expected).max() < 1e-6 * np.abs(expected).max()


def test_blocks_of_atoms_add_up(monkeypatch):
    model = tiny_model()
    whole = potential_map(model, 24, 3.0)
    monkeypatch.setattr("cryoinv.simulation.atoms._BLOCK_BYTES", 3 * 8 * 24**2)
    assert np.allclose(potential_map(model, 24, 3.0), whole, atol=1e-6 * whole.max())


def test_unknown_b_factors_take_the_default():
    known = tiny_model(b_factor=80.0)
    known.b_factors[:] = 80.0
    unknown = AtomicModel(known.positions, known.atomic_numbers, 0 * known.b_factors, known.occupancies, "u")
    assert np.array_equal(potential_map(unknown, 24, 3.0), potential_map(known, 24, 3.0))
    blurred = potential_map(unknown, 24, 3.0, default_b_factor=200.0)
    assert blurred.max() < potential_map(known, 24, 3.0).max()


def test_solvent_is_flat_and_protein_bright():
    n, pixel_size = 48, 4.0
    model = demo_structure()
    volume = potential_map(model, n, pixel_size, b_factor=100.0)
    distance = np.linalg.norm(grid(n, pixel_size, 3), axis=-1)
    solvent = distance > model_diameter(model) / 2 + 20
    inside = volume > 0.3 * volume.max()
    assert 3 < volume[inside].mean() < 15  # V; mean inner potential of protein in vacuum is near 8 V
    assert volume[solvent].std() < 0.01 * volume[inside].mean()


def test_errors():
    model = demo_structure()
    with pytest.raises(InputError, match=r"needs 1\d\d Å .* the box is 96 Å \(32 pixels of 3 Å\)"):
        potential_map(model, 32, 3.0)
    with pytest.raises(InputError, match="B-factors"):
        potential_map(model, 64, 3.0, b_factor=-100.0)
    with pytest.raises(InputError, match="pixel size"):
        potential_map(model, 64, 0.0)
    with pytest.raises(InputError, match="no atoms of positive occupancy"):
        potential_map(AtomicModel([[0, 0, 0]], [6], [20], [0], "none"), 64, 3.0)


def test_diameter_and_demo_structure():
    model = demo_structure()
    step = model.positions[::7]
    brute = np.sqrt(((step[:, None] - step[None]) ** 2).sum(-1)).max()
    assert brute <= model_diameter(model) < brute + 3
    flat = np.random.default_rng(0).uniform(size=(200, 3)) * [50, 40, 0]
    flat = AtomicModel(flat, np.full(200, 6), np.ones(200), np.ones(200), "flat")
    pairs = np.sqrt(((flat.positions[:, None] - flat.positions[None]) ** 2).sum(-1))
    assert np.isclose(model_diameter(flat), pairs.max())
    counts = dict(zip(*np.unique(model.atomic_numbers, return_counts=True), strict=True))
    assert counts == {6: 3900, 7: 1122, 8: 1212, 16: 33}
