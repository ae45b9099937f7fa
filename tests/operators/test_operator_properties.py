"""What holds for any box, pose, shift and CTF: exact adjoints, round trips, symmetry."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from cryoinv.geometry import PointGroup, matrix_from_euler
from cryoinv.operators import CTF, ForwardModel, FourierSlice, FourierTransform, Shift, ctf_values
from cryoinv.spaces import HermitianSpace, ImageSpace, VolumeSpace, centred_irfft, centred_rfft
from cryoinv.testing import assert_adjoint, assert_isometry, random_element

boxes = st.integers(8, 17)
angles = st.floats(-360, 360)
poses = st.lists(st.tuples(angles, angles, angles), min_size=1, max_size=3)
seeds = st.integers(0, 2**31)


def slice_of(n, eulers, **options):
    return FourierSlice(VolumeSpace(n, 3.0, "float64"), matrix_from_euler(eulers), **options)


@given(boxes, st.sampled_from([2, 3]), seeds)
def test_transforms_are_isometries_and_their_own_way_back(n, ndim, seed):
    array = torch.from_numpy(np.random.default_rng(seed).standard_normal((n,) * ndim))
    torch.testing.assert_close(centred_irfft(centred_rfft(array, ndim), n, ndim), array, rtol=0, atol=1e-12)
    space = VolumeSpace(n, 3.0, "float64") if ndim == 3 else ImageSpace(n, 3.0, "float64")
    assert_isometry(FourierTransform(space), seed=seed)
    assert_adjoint(FourierTransform(space), trials=1, seed=seed)


@given(boxes, poses, st.sampled_from([1, 2]), st.sampled_from(["separable", "radial"]), seeds)
def test_slices_have_exact_adjoints(n, eulers, padding, gridding, seed):
    assert_adjoint(slice_of(n, eulers, padding=padding, gridding=gridding), trials=1, seed=seed)


@given(boxes, st.lists(st.tuples(st.floats(-20, 20), st.floats(-20, 20)), min_size=1, max_size=3), seeds)
def test_shifts_keep_lengths_and_go_back(n, shifts, seed):
    space = HermitianSpace(n, 2, 3.0, "complex128", count=len(shifts))
    there, back = Shift(space, np.array(shifts)), Shift(space, -np.array(shifts))
    assert_adjoint(there, trials=1, seed=seed)
    # Spectra of real images: the Nyquist line of an even box cannot be shifted by parts of a pixel.
    images = torch.from_numpy(np.random.default_rng(seed).standard_normal((len(shifts), n, n)))
    spectrum = centred_rfft(images, 2)
    spectrum = spectrum * (torch.from_numpy(np.hypot(*np.meshgrid(np.fft.fftfreq(n), np.fft.rfftfreq(n)))).T < 0.499)
    torch.testing.assert_close(back.apply(there.apply(spectrum)), spectrum, rtol=0, atol=1e-10)


@given(boxes, poses, st.floats(2000, 40000), st.floats(-3000, 3000), angles, st.floats(0, 180), seeds)
def test_the_forward_model_has_an_exact_adjoint(n, eulers, defocus, astigmatism, angle, phase, seed):
    parts, count = slice_of(n, eulers), len(eulers)
    values = ctf_values(n, 3.0, np.full(count, defocus), np.full(count, defocus + astigmatism), angle, 300, 2.7, 0.1,
                        phase, 50.0)  # fmt: skip
    assert float(values.abs().max()) <= 1 + 1e-9
    shifts = np.random.default_rng(seed).uniform(-3, 3, (count, 2))
    model = ForwardModel(parts, CTF(parts.range, values), Shift(parts.range, shifts))
    assert_adjoint(model, trials=1, seed=seed)
    # In one pass or as its parts, it is the same operator.
    x = random_element(model.domain, seed)
    assert (model(x) - model.composed(x)).norm() <= 1e-10 * model(x).norm()


@given(st.integers(12, 17), st.tuples(angles, angles, angles), st.sampled_from(["C2", "C3", "D2", "T", "O"]), seeds)
def test_a_symmetric_map_looks_the_same_from_every_equivalent_side(n, eulers, name, seed):
    group = PointGroup(name)
    # Blobs at all mates of two points, far from the box's edge and wider than the voxels.
    some = np.random.default_rng(seed).uniform(-1, 1, (2, 3)) * n / 12
    points = np.concatenate([some @ mate.T for mate in group.matrices])
    grid = np.stack(np.meshgrid(*[np.arange(n) - n // 2] * 3, indexing="ij"), axis=-1)[..., ::-1]
    volume = sum(np.exp(-((grid - point) ** 2).sum(axis=-1) / 2) for point in points)
    mates = matrix_from_euler(eulers) @ group.matrices
    operator = FourierSlice(VolumeSpace(n, 3.0, "float64"), mates, interpolation="nufft", tolerance=1e-6)
    slices = operator.apply(torch.from_numpy(volume))
    inside = torch.from_numpy(np.hypot(*np.meshgrid(np.fft.fftfreq(n), np.fft.rfftfreq(n)))).T < 0.25
    difference = (slices - slices[:1])[:, inside].abs().max()
    assert difference < 2e-2 * slices.abs().max()
