"""Reconstruction at known poses: faithful amplitudes in every shell, the right hand, CTF undone, symmetry used."""

import functools

import numpy as np
import pytest
import torch

from cryoinv.errors import InputError
from cryoinv.geometry import PointGroup, Poses, random_rotations
from cryoinv.io import OpticsGroup, ParticleStack
from cryoinv.metrics import fourier_shell_correlation, shell_gain
from cryoinv.operators import CTF, ForwardModel, FourierSlice, Shift, ctf_values
from cryoinv.priors import GaussianPrior
from cryoinv.refinement import reconstruct
from cryoinv.simulation import demo_structure, potential_map
from cryoinv.spaces import VolumeSpace, centred_irfft

PIXEL = 3.0


def projections(volume, count, shift=2.0, ctf=False, seed=0, rotations=None):
    """Noise-free particles by the exact model, their poses in the stack."""
    n = volume.shape[0]
    rng = np.random.default_rng(seed)
    rotations = random_rotations(count, rng) if rotations is None else rotations
    shifts = rng.uniform(-shift, shift, (count, 2))
    slices = FourierSlice(VolumeSpace(n, PIXEL), rotations, "nufft", tolerance=1e-6)
    extra, factor = {}, None
    if ctf:
        u = rng.uniform(8000, 20000, count)
        values = ctf_values(n, PIXEL, u, u - 300, 20.0, 300, 2.7, 0.1, dtype=torch.float32)
        factor = CTF(slices.range, values)
        defocus = np.stack([u, u - 300, np.full(count, 20.0)], 1)
        extra = {"defocus": defocus, "optics": [OpticsGroup("one", PIXEL, 300.0, 2.7, 0.1)]}
    model = ForwardModel(slices, factor, Shift(slices.range, shifts))
    images = centred_irfft(model.apply(volume), n, ndim=2).numpy()
    return ParticleStack.from_arrays(images, PIXEL, poses=Poses(rotations, shifts * PIXEL), **extra)


@functools.cache
def truth(n):
    """The demonstration structure in a box of 160 Å."""
    return torch.as_tensor(np.array(potential_map(demo_structure(), n, 160 / n)))


@pytest.mark.parametrize("n", [32, 33])
def test_amplitudes_are_faithful_in_every_shell(n):
    """The bar of the reconstructor: gain 1 +- 0.02 in every shell, DC included."""
    volume = truth(n)
    found = reconstruct(projections(volume, 1000))
    filled = (n - 1) // 2 + (n % 2 == 0)  # of an odd box the pixels end in the middle of the last shell
    gain = np.asarray(shell_gain(found.map, volume))[:filled]
    np.testing.assert_allclose(gain, 1, atol=0.02)
    assert float(fourier_shell_correlation(found.map, volume)[1 : len(gain)].min()) > 0.99


def test_unpadded_grid_is_visibly_worse():
    volume = truth(32)
    particles = projections(volume, 300)
    padded, bare = (reconstruct(particles, padding=p).map for p in (2, 1))
    assert float((padded - volume).norm()) < 0.5 * float((bare - volume).norm())


def test_nufft_agrees_with_the_padded_grid():
    volume = truth(24)
    particles = projections(volume, 300)
    fsc = fourier_shell_correlation(
        reconstruct(particles, interpolation="nufft").map, reconstruct(particles).map
    )
    assert float(fsc[1:10].min()) > 0.95


def test_ctf_is_undone():
    volume = truth(24)
    found = reconstruct(projections(volume, 600, ctf=True))
    gain = np.asarray(shell_gain(found.map, volume))
    np.testing.assert_allclose(gain[2:9], 1, atol=0.06)
    assert float(fourier_shell_correlation(found.map, volume)[2:9].min()) > 0.98


def test_symmetry_multiplies_the_views():
    group = PointGroup("C3")
    volume = truth(24)
    copies = projections(volume, 900, shift=0.0, seed=1)
    # The symmetric object seen once a view: its projections are means over the mates' views of the bare one.
    rotations = copies.poses.rotations[:60]
    views = [projections(volume, 60, 0.0, rotations=rotations @ mate).images() for mate in group.matrices]
    particles = ParticleStack.from_arrays(np.mean(views, 0), PIXEL, poses=Poses(rotations))
    plain, symmetric = reconstruct(particles), reconstruct(particles, symmetry="C3")
    turned = [reconstruct(copies, Poses(copies.poses.rotations @ mate)).map for mate in group.matrices]
    expected = sum(turned) / 3
    error = [float((r.map - expected).norm() / expected.norm()) for r in (plain, symmetric)]
    assert error[1] < 0.7 * error[0]


def test_a_prior_regularises():
    particles = projections(truth(16), 60)
    plain, wiener = reconstruct(particles), reconstruct(particles, prior=GaussianPrior())
    assert float(wiener.map.norm()) < float(plain.map.norm())


def test_missing_or_wrong_poses_are_refused():
    particles = projections(truth(16), 5)
    bare = ParticleStack.from_arrays(particles.images(), PIXEL)
    with pytest.raises(InputError, match="no poses"):
        reconstruct(bare)
    with pytest.raises(InputError, match="4 poses were given for 5"):
        reconstruct(bare, particles.poses[:4])
