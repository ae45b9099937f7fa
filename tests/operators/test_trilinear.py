"""The compiled kernels against the readable ones, which GPUs run, and these against their transposes."""

import pytest
import torch
from scipy.spatial.transform import Rotation

from cryoinv.operators import (
    FourierDisc,
    NufftInterpolation,
    TrilinearInterpolation,
    slice_sums,
    trilinear,
    trilinear_numba,
)
from cryoinv.operators.slice_sums import BufferedSums
from cryoinv.operators.trilinear import insert_slices, insert_weights, slice_spectrum

ROTATIONS = torch.as_tensor(Rotation.random(7, random_state=0).as_matrix())
CASES = [(8, 1), (9, 1), (8, 2), (9, 2)]


def problem(n, padding, dtype=torch.complex128):
    generator = torch.Generator().manual_seed(0)
    pixels, box = FourierDisc(n).pixels, padding * n
    spectrum = torch.randn(box, box, box // 2 + 1, dtype=dtype, generator=generator)
    values = torch.randn(len(ROTATIONS), len(pixels), dtype=dtype, generator=generator)
    return spectrum, values, pixels, box


@pytest.mark.parametrize(("n", "padding"), CASES)
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_compiled_and_readable_kernels_agree(n, padding, dtype):
    spectrum, values, pixels, box = problem(n, padding, dtype)
    for kernel, argument, more in (
        (slice_spectrum, spectrum, ()),
        (insert_slices, values, (box,)),
        (insert_weights, values.real.contiguous(), (box,)),
    ):
        fast, plain = (kernel(argument, ROTATIONS, pixels, *more, padding, compiled=c) for c in (True, False))
        tolerance = 1e-12 if dtype == torch.complex128 else 1e-4
        torch.testing.assert_close(fast, plain, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("n", "padding"), CASES)
@pytest.mark.parametrize("compiled", [True, False])
def test_insertion_is_the_transpose_of_slicing_and_its_gradient(n, padding, compiled):
    spectrum, values, pixels, box = problem(n, padding)
    spectrum.requires_grad_()
    values.requires_grad_()
    slices = slice_spectrum(spectrum, ROTATIONS, pixels, padding, compiled)
    inserted = insert_slices(values, ROTATIONS, pixels, box, padding, compiled)
    forward = (slices * values.detach().conj()).real.sum()
    backward = (spectrum.detach() * inserted.conj()).real.sum()
    torch.testing.assert_close(forward, backward)
    forward.backward()
    backward.backward()
    torch.testing.assert_close(spectrum.grad, inserted.detach())
    torch.testing.assert_close(values.grad, slices.detach())


def test_blocks_and_bounded_accumulators_change_nothing(monkeypatch):
    _, values, pixels, box = problem(8, 2)
    whole = insert_slices(values, ROTATIONS, pixels, box, 2)
    monkeypatch.setattr(trilinear, "_POINTS_PER_CHUNK", 8 * len(pixels) * 2)
    monkeypatch.setattr(trilinear_numba, "_ACCUMULATOR_BYTES", 1)
    torch.testing.assert_close(insert_slices(values, ROTATIONS, pixels, box, 2, compiled=False), whole)
    torch.testing.assert_close(insert_slices(values, ROTATIONS, pixels, box, 2, compiled=True), whole)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("scheme", [TrilinearInterpolation(8, 1), TrilinearInterpolation(9, 2), NufftInterpolation(8)])
def test_running_sums_are_those_of_one_insertion(scheme, dtype, monkeypatch):
    monkeypatch.setattr(slice_sums, "_BUFFER_BYTES", 1)
    _, data, pixels, _ = problem(scheme.n, 1, dtype)
    weight, tolerance = data.real.abs().contiguous(), 1e-12 if dtype == torch.complex128 else 1e-4
    for sums in (scheme.slice_sums(torch.device("cpu")), BufferedSums(scheme)):
        assert sums.data() is None and sums.weight() is None
        for part in (slice(0, 3), slice(3, 4), slice(4, 7)):
            sums.add(ROTATIONS[part], pixels, data[part], weight[part])
        expected = scheme.insert(data, ROTATIONS, pixels), scheme.insert_weights(weight, ROTATIONS, pixels)
        torch.testing.assert_close((sums.data(), sums.weight()), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("scheme", [TrilinearInterpolation(8, 2), NufftInterpolation(8)])
def test_running_sums_without_weights(scheme):
    _, data, pixels, _ = problem(8, 1)
    sums = scheme.slice_sums(torch.device("cpu"))
    sums.add(ROTATIONS, pixels, data)
    torch.testing.assert_close(sums.data(), scheme.insert(data, ROTATIONS, pixels))
    assert sums.weight() is None
