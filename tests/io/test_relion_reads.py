"""RELION 3.1 itself reads what is written, and means the same by it."""

import shutil
import subprocess

import numpy as np
import pytest
from small_files import noise

from cryoinv.geometry import Poses, random_rotations
from cryoinv.io import (
    OpticsGroup,
    ParticleStack,
    match_particles,
    open_stack,
    read_star,
    read_volume,
    write_particles_star,
    write_stack,
    write_volume,
)

pytestmark = [
    pytest.mark.relion,
    pytest.mark.skipif(shutil.which("relion_star_handler") is None, reason="RELION is not on the path"),
]


def relion(folder, program, *arguments):
    command = [f"relion_{program}", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def blobs(count=6, seed=2):
    """Centres (x, y, z) in pixels of Gaussian blobs that no symmetry and no mirror maps to themselves."""
    return np.random.default_rng(seed).uniform(-6, 6, (count, 3))


def density(n, centres, axes):
    """Sum of unit blobs on n^axes voxels, centre n//2, axes (z, y, x) or (y, x)."""
    grid = np.stack(np.meshgrid(*[np.arange(n) - n // 2] * axes, indexing="ij"), axis=-1)[..., ::-1]
    return sum(np.exp(-((grid - centre[:axes]) ** 2).sum(axis=-1) / 8) for centre in centres)


def test_volumes_and_stacks(tmp_path):
    write_volume(tmp_path / "a.mrc", noise(8), 1.25)
    write_stack(tmp_path / "a.mrcs", noise(3), 1.25)
    relion(tmp_path, "image_handler", "--i", "a.mrc", "--o", "b.mrc", "--multiply_constant", 2)
    relion(tmp_path, "image_handler", "--i", "a.mrcs", "--o", "b.mrcs", "--multiply_constant", 2)
    volume, pixel_size = read_volume(tmp_path / "b.mrc")
    np.testing.assert_allclose(volume, 2 * noise(8), rtol=1e-6)
    assert pixel_size == pytest.approx(1.25)
    assert "angpix = 1.25" in relion(tmp_path, "image_handler", "--i", "a.mrcs", "--stats")


@pytest.mark.parametrize("name", ["my data.mrcs", "it's.mrcs", 'a"b.mrcs', "x\"y z.mrcs", "größe.mrcs"])
def test_odd_names(tmp_path, name):
    write_stack(tmp_path / name, noise(3), 2.0)
    columns = {"rlnImageName": [f"{index}@{name}" for index in (3, 1)]}
    write_particles_star(tmp_path / "a.star", columns, optics=[OpticsGroup("a", 2.0)], n=8)
    relion(tmp_path, "stack_create", "--i", "a.star", "--o", "b")
    np.testing.assert_array_equal(open_stack(tmp_path / "b.mrcs")[:], noise(3)[[2, 0]])


def test_every_column_goes_through_relion(tmp_path):
    count = 6
    write_stack(tmp_path / "a.mrcs", noise(count), 2.0)
    optics = [OpticsGroup("a", 2.0, 200, 1.4, 0.1), OpticsGroup("b", 2.0, 300, 2.7, 0.07)]
    rng = np.random.default_rng(0)
    stack = ParticleStack.from_arrays(
        noise(count), 2.0, optics=optics, optics_group=[0, 1, 1, 0, 1, 0],
        defocus=rng.uniform(1e4, 2e4, (count, 3)), phase_shift=rng.uniform(0, 90, count),
        random_subset=[1, 2, 2, 1, 1, 2],
        poses=Poses(random_rotations(count, rng), rng.normal(size=(count, 2))),
        image_names=[f"{row + 1:06d}@a.mrcs" for row in range(count)],
    )  # fmt: skip
    extra = {
        "rlnMaxValueProbDistribution": rng.uniform(size=count),
        "cryoinvPosteriorEntropy": np.arange(count),
    }
    write_particles_star(tmp_path / "a.star", stack, extra_columns=extra)
    arguments = [
        "--i",
        "a.star",
        "--o",
        "b.star",
        "--select",
        "rlnRandomSubset",
        "--minval",
        2,
        "--maxval",
        2,
    ]
    said = relion(tmp_path, "star_handler", *arguments)
    assert "3 item(s)" in said
    back = ParticleStack.from_star(tmp_path / "b.star")
    expected = stack.subset([1, 2, 5])
    assert back.optics == optics
    np.testing.assert_array_equal(back.optics_group, expected.optics_group)
    np.testing.assert_allclose(back.defocus, expected.defocus, atol=1e-5)
    np.testing.assert_allclose(back.phase_shift, expected.phase_shift, atol=1e-5)
    np.testing.assert_allclose(back.poses.rotations, expected.poses.rotations, atol=1e-6)
    np.testing.assert_allclose(back.poses.shifts, expected.poses.shifts, atol=1e-5)
    kept = read_star(tmp_path / "b.star")["particles"]["cryoinvPosteriorEntropy"]
    np.testing.assert_allclose(kept, [1, 2, 5])
    original = ParticleStack.from_star(tmp_path / "a.star")
    np.testing.assert_array_equal(match_particles(back, original), [1, 2, 5])


@pytest.mark.parametrize("run_from", ["out", "."])
def test_relion_reconstructs_the_object_from_written_poses(tmp_path, run_from):
    """RELION agrees on handedness, order of the three rotations and sign of the shift."""
    n, count, pixel_size = 32, 400, 3.0
    rng = np.random.default_rng(1)
    poses = Poses(random_rotations(count, rng), rng.uniform(-9, 9, (count, 2)))
    images = [
        density(n, blobs() @ rotation.T + [*shift / pixel_size, 0], axes=2)
        for rotation, shift in zip(poses.rotations, poses.shifts, strict=True)
    ]
    write_stack(tmp_path / "a.mrcs", images, pixel_size)
    (tmp_path / "out").mkdir()
    names = [f"{row + 1:06d}@a.mrcs" for row in range(count)]
    stack = ParticleStack.from_arrays(np.array(images), pixel_size, image_names=names)
    write_particles_star(tmp_path / "a.star", stack)
    written = tmp_path / run_from / "poses.star"
    write_particles_star(written, ParticleStack.from_star(tmp_path / "a.star"), poses)
    # The names stay relative to the project, which is where RELION is run from.
    relion(tmp_path, "reconstruct", "--i", written.relative_to(tmp_path), "--o", "map.mrc", "--pad", 2)
    volume, back_size = read_volume(tmp_path / "map.mrc")
    truth = density(n, blobs(), axes=3)
    assert np.corrcoef(volume.ravel(), truth.ravel())[0, 1] > 0.98
    assert np.corrcoef(volume[::-1].ravel(), truth[::-1].ravel())[0, 1] > 0.98
    assert back_size == pytest.approx(pixel_size)


@pytest.mark.parametrize("with_ctf", [False, True])
def test_relion_refines_written_particles(tmp_path, with_ctf):
    n, count = 16, 12
    write_stack(tmp_path / "a.mrcs", noise(count, n), 3.0)
    write_volume(tmp_path / "ref.mrc", density(n, blobs() / 3, axes=3), 3.0)
    names = [f"{row + 1}@a.mrcs" for row in range(count)]
    ctf = {"optics": [OpticsGroup("a", 3.0, 300, 2.7, 0.1)], "defocus": np.tile([1e4, 1.1e4, 20], (count, 1))}
    stack = ParticleStack.from_arrays(noise(count, n), 3.0, image_names=names, **(ctf if with_ctf else {}))
    write_particles_star(tmp_path / "a.star", stack)
    (tmp_path / "out").mkdir()
    arguments = """--i a.star --o out/run --ref ref.mrc --iter 1 --particle_diameter 40 --firstiter_cc
        --ini_high 10 --healpix_order 1 --offset_range 2 --offset_step 1 --dont_combine_weights_via_disc"""
    relion(tmp_path, "refine", *arguments.split(), *(["--ctf"] if with_ctf else []))
    back = ParticleStack.from_star(tmp_path / "out" / "run_it001_data.star")
    assert (len(back), back.has_ctf, back.poses is not None) == (count, with_ctf, True)
    np.testing.assert_array_equal(
        np.sort(match_particles(ParticleStack.from_star(tmp_path / "a.star"), back)), np.arange(count)
    )
