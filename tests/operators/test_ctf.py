"""CTF: constants, formula, and RELION where it is installed."""

import shutil
import subprocess

import numpy as np
import pytest
import scipy.constants
import torch

from cryoinv.errors import InputError
from cryoinv.operators import CTF, FourierDisc, ctf, ctf_at_pixels, ctf_values, electron_wavelength
from cryoinv.spaces import HermitianSpace

PARAMETERS = {
    "plain": {},
    "astigmatic": {"defocus_v": 9000.0, "defocus_angle": 33.0},
    "phase-plate": {"phase_shift_deg": 90.0},
    "envelope": {"b_factor": 80.0},
    "no-amplitude": {"amplitude_contrast": 0.0},
    "overfocus": {"defocus_u": -8000.0, "defocus_v": -9000.0, "defocus_angle": -70.0},
    "everything": {"defocus_v": 13000.0, "defocus_angle": 120.0, "phase_shift_deg": 25.0, "b_factor": 40.0},
}


def parameters(name):
    common = {
        "defocus_u": 12000.0,
        "defocus_v": 12000.0,
        "defocus_angle": 0.0,
        "voltage_kv": 300.0,
        "spherical_aberration_mm": 2.7,
        "amplitude_contrast": 0.1,
    }
    return {**common, **PARAMETERS[name]}


def straight_ctf(n, pixel_size, wavelength, p):
    """The formula, written with angles and square roots, one image in full layout."""
    k = np.fft.fftfreq(n, pixel_size)
    fy, fx = np.meshgrid(k, np.arange(n // 2 + 1) / (n * pixel_size), indexing="ij")
    f = np.hypot(fx, fy)
    angle = np.arctan2(fy, fx) - np.deg2rad(p["defocus_angle"])
    u, v = p["defocus_u"], p["defocus_v"]
    dz = 0.5 * (u + v + (u - v) * np.cos(2 * angle))
    cs = p["spherical_aberration_mm"] * 1e7
    chi = np.pi * wavelength * dz * f**2 - 0.5 * np.pi * cs * wavelength**3 * f**4
    chi += np.deg2rad(p.get("phase_shift_deg", 0.0)) + np.arcsin(p["amplitude_contrast"])
    return np.sin(chi) * np.exp(-p.get("b_factor", 0.0) * f**2 / 4)


def test_physical_constants_are_codata():
    assert scipy.constants.h == ctf.PLANCK_CONSTANT
    assert scipy.constants.e == ctf.ELEMENTARY_CHARGE
    assert scipy.constants.c == ctf.SPEED_OF_LIGHT
    assert pytest.approx(scipy.constants.m_e, rel=1e-9) == ctf.ELECTRON_MASS


@pytest.mark.parametrize(
    ("voltage", "wavelength"),
    [(80, 0.0417572), (100, 0.0370144), (120, 0.0334922), (200, 0.0250793), (300, 0.0196875)],
)
def test_electron_wavelength_is_the_tabulated_one(voltage, wavelength):
    assert electron_wavelength(voltage) == pytest.approx(wavelength, abs=1e-7)


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("n", [32, 33])
def test_values_follow_the_formula(name, n):
    p = parameters(name)
    values = ctf_values(n, 1.7, **p)
    assert values.shape == (1, n, n // 2 + 1)
    assert np.allclose(values[0].numpy(), straight_ctf(n, 1.7, electron_wavelength(300), p), atol=1e-11)


def test_sign_is_positive_just_above_zero_frequency():
    values = ctf_values(256, 1.0, **parameters("no-amplitude"))[0, 0]
    assert float(values[0]) == 0
    assert bool((values[1:4] > 0).all())


def test_astigmatism_is_in_the_direction_of_the_angle():
    """At 90 degrees, the y axis sees `defocus_u`."""
    p = {**parameters("plain"), "defocus_u": 20000.0, "defocus_v": 10000.0, "defocus_angle": 90.0}
    values = ctf_values(32, 2.0, **p)[0]
    along_y = ctf_values(32, 2.0, **{**p, "defocus_v": 20000.0})[0]
    along_x = ctf_values(32, 2.0, **{**p, "defocus_u": 10000.0})[0]
    assert torch.allclose(values[:, 0], along_y[:, 0])
    assert torch.allclose(values[0], along_x[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_particles_are_independent_and_pixels_agree_with_the_layout(dtype):
    p = {**parameters("astigmatic"), "defocus_u": np.array([12000.0, 15000.0, 9000.0])}
    values = ctf_values(16, 2.0, **p, dtype=dtype)
    assert values.dtype == dtype
    for i, defocus in enumerate(p["defocus_u"]):
        assert torch.equal(values[i], ctf_values(16, 2.0, **{**p, "defocus_u": defocus}, dtype=dtype)[0])
    disc = FourierDisc(16)
    assert torch.equal(ctf_at_pixels(disc.pixels, 16, 2.0, **p, dtype=dtype), values.flatten(1)[:, disc.index])


def test_values_are_even():
    values = ctf_values(9, 2.0, **parameters("everything"))[0]
    assert torch.allclose(values[1:, 0], values[1:, 0].flip(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"voltage_kv": 0}, "voltage is 0"),
        ({"amplitude_contrast": 1.5}, "between 0 and 1"),
        ({"defocus_u": np.nan}, "NaN"),
        ({"defocus_u": np.ones((2, 2))}, "one-dimensional"),
    ],
)
def test_wrong_parameters_are_named(change, message):
    with pytest.raises(InputError, match=message):
        ctf_values(8, 2.0, **{**parameters("plain"), **change})
    with pytest.raises(InputError, match="pixel_size"):
        ctf_values(8, 0.0, **parameters("plain"))


def test_operator_refuses_what_does_not_fit():
    space = HermitianSpace(8, 2, count=3)
    values = ctf_values(8, 2.0, **parameters("plain"))
    assert CTF(space, values)(space.one()) in space
    assert CTF(space.with_count(None), values)(space.with_count(None).one()) in space.with_count(None)
    with pytest.raises(InputError, match="shape"):
        CTF(space, values.repeat(2, 1, 1))
    with pytest.raises(InputError, match="finite"):
        CTF(space, values * np.nan)


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_operator_from_parameters_takes_the_rest_from_the_space(name, dtype):
    space = HermitianSpace(9, 2, pixel_size=1.7, dtype=dtype, count=3)
    single, several = parameters(name), {**parameters(name), "defocus_u": np.array([12000.0, 15000.0, 9000.0])}
    for p in (single, several):
        got, expected = CTF.from_parameters(space, **p), CTF(space, ctf_values(9, 1.7, **p))
        assert got.domain == got.range == space
        assert got.values.dtype == space.real_dtype
        assert torch.equal(got.values, expected.values)
    one = space.with_count(None)
    assert torch.equal(CTF.from_parameters(one, **single).values, CTF(one, ctf_values(9, 1.7, **single)).values)


def test_operator_from_parameters_refuses_what_does_not_fit():
    with pytest.raises(InputError, match="shape"):
        CTF.from_parameters(HermitianSpace(8, 2, count=3), **{**parameters("plain"), "defocus_u": np.ones(2)})
    with pytest.raises(InputError, match="image transforms"):
        CTF.from_parameters(HermitianSpace(8, 3), **parameters("plain"))


STAR = """
data_optics

loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName #2
_rlnAmplitudeContrast #3
_rlnSphericalAberration #4
_rlnVoltage #5
_rlnImagePixelSize #6
_rlnImageSize #7
_rlnImageDimensionality #8
1 one {amplitude_contrast} {spherical_aberration_mm} {voltage_kv} 3.000000 32 2

data_particles

loop_
_rlnImageName #1
_rlnOpticsGroup #2
_rlnDefocusU #3
_rlnDefocusV #4
_rlnDefocusAngle #5
_rlnPhaseShift #6
_rlnCtfBfactor #7
_rlnAngleRot #8
_rlnAngleTilt #9
_rlnAnglePsi #10
_rlnOriginXAngst #11
_rlnOriginYAngst #12
1@blank.mrcs 1 {defocus_u} {defocus_v} {defocus_angle} {phase_shift_deg} {b_factor} 0 0 0 0 0
"""


@pytest.mark.relion
@pytest.mark.parametrize("name", PARAMETERS)
def test_values_agree_with_relion(name, tmp_path):
    """A point at the origin has a constant spectrum, so RELION's projection with CTF is the CTF itself.

    What is left is RELION's constant for the wavelength, which is 4e-6 larger than CODATA's.
    """
    if shutil.which("relion_project") is None:
        pytest.skip("RELION is not installed")
    import mrcfile

    n = 32
    p = {"phase_shift_deg": 0.0, "b_factor": 0.0, **parameters(name)}
    point = np.zeros((n, n, n), np.float32)
    point[n // 2, n // 2, n // 2] = 1000
    mrcfile.write(tmp_path / "point.mrc", point, voxel_size=3.0)
    mrcfile.write(tmp_path / "blank.mrcs", np.zeros((1, n, n), np.float32), voxel_size=3.0)
    (tmp_path / "in.star").write_text(STAR.format(**p))
    options = {"i": "point.mrc", "ang": "in.star", "o": "out", "angpix": "3"}
    command = [
        "relion_project",
        "--ctf",
        *(part for name, value in options.items() for part in (f"--{name}", value)),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    image = mrcfile.read(tmp_path / "out.mrcs").reshape(n, n)
    found = np.fft.rfft2(np.fft.ifftshift(image)).real / 1000
    expected = ctf_values(n, 3.0, **p)[0].numpy()
    disc = FourierDisc(n, n // 2 - 2)
    error = np.abs(found.ravel()[disc.index] - expected.ravel()[disc.index]).max()
    assert error <= 1e-4
