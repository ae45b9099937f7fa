"""The compiled kernels against the readable ones, which GPUs run, and these against their transposes."""

import pytest
import torch
from scipy.spatial.transform import Rotation

from cryoinv.operators import (
    FourierDisc,
    FourierSlice,
    NufftInterpolation,
    Projection,
    TrilinearInterpolation,
    slice_sums,
    trilinear,
    trilinear_numba,
    trilinear_tiles_numba,
)
from cryoinv.operators.slice_sums import BufferedSums, CompiledSums
from cryoinv.operators.trilinear import insert_slices, insert_weights, slice_spectrum
from cryoinv.spaces import VolumeSpace

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
    monkeypatch.setattr(trilinear, "_POINTS_PER_CHUNK", 2 * len(pixels))
    monkeypatch.setattr(trilinear_numba, "_ACCUMULATOR_BYTES", 1)
    torch.testing.assert_close(insert_slices(values, ROTATIONS, pixels, box, 2, compiled=False), whole)
    torch.testing.assert_close(insert_slices(values, ROTATIONS, pixels, box, 2, compiled=True), whole)


@pytest.mark.parametrize(("n", "padding"), CASES)
@pytest.mark.parametrize("tile_bytes", [1, 1 << 10, 1 << 30])
@pytest.mark.parametrize("sorted_pixels", [1, 100, 1 << 22])
def test_insertion_by_tiles_is_insertion(n, padding, tile_bytes, sorted_pixels, monkeypatch):
    _, values, pixels, box = problem(n, padding)
    axes = torch.as_tensor(Rotation.create_group("O").as_matrix())  # points on planes, and on both ends of axes
    rotations = torch.cat([ROTATIONS, axes])
    values = values.repeat(6, 1)[: len(rotations)].contiguous()
    expected = [insert_slices(values, rotations, pixels, box, padding, compiled=False),
                insert_weights(values.real.contiguous(), rotations, pixels, box, padding, compiled=False)]
    for name, value in (("_CACHE_BYTES", 0), ("_TILE_BYTES", tile_bytes), ("_SORTED_PIXELS", sorted_pixels)):
        monkeypatch.setattr(trilinear_tiles_numba, name, value)
    assert trilinear_tiles_numba.tiles_for(pixels, padding, 16)
    found = [insert_slices(values, rotations, pixels, box, padding),
             insert_weights(values.real.contiguous(), rotations, pixels, box, padding)]
    torch.testing.assert_close(found, expected)
    sums = TrilinearInterpolation(n, padding).slice_sums(torch.device("cpu"))
    sums.add(rotations, pixels, values, values.real.contiguous())
    torch.testing.assert_close([sums.data(), sums.weight()], expected)


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("slices", [1, 2, 7])
def test_two_threads_insert_into_an_accumulator_each(slices, dtype, two_threads):
    _, values, pixels, box = problem(9, 2, dtype)
    values, weights, rotations = values[:slices], values.real[:slices].abs(), ROTATIONS[:slices]
    assert trilinear_numba.parts_for(pixels, 2, 8) == 2 and not trilinear_tiles_numba.tiles_for(pixels, 2, 8)
    sums = trilinear_numba.accumulators(box, 3, values.real.dtype, 2)
    trilinear_numba.add_slices(sums, rotations.to(sums.dtype), pixels, 2, values, weights)
    assert len(sums) == 2 and sums[0].any() and bool(sums[1].any()) == (slices > 1)
    expected = [insert_slices(values, rotations, pixels, box, 2, compiled=False),
                insert_weights(weights, rotations, pixels, box, 2, compiled=False)]
    data, weight = torch.view_as_complex(sums.sum(0)[..., :2].contiguous()), sums.sum(0)[..., 2]
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.complex64 else {}
    torch.testing.assert_close([data, weight], expected, **tolerance)
    torch.testing.assert_close(insert_slices(values, rotations, pixels, box, 2), expected[0], **tolerance)


def test_insertion_by_tiles_does_not_depend_on_threads():
    pixels, box = FourierDisc(48).pixels, 96
    assert trilinear_tiles_numba.tiles_for(pixels, 2, 8)
    rotations = torch.as_tensor(Rotation.random(40, random_state=0).as_matrix())
    values = torch.randn(40, len(pixels), dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    one = insert_slices(values, rotations, pixels, box, 2)
    torch.set_num_threads(2)
    try:
        assert all(torch.equal(insert_slices(values, rotations, pixels, box, 2), one) for _ in range(5))
    finally:
        torch.set_num_threads(1)


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


def test_running_sums_leave_boxes_beyond_the_compiled_kernel_to_the_readable_one(monkeypatch):
    scheme, cpu = TrilinearInterpolation(8, 2), torch.device("cpu")
    assert isinstance(scheme.slice_sums(cpu), CompiledSums)
    monkeypatch.setattr(trilinear, "_LARGEST_COMPILED_BOX", scheme.box - 1)
    assert isinstance(scheme.slice_sums(cpu), BufferedSums)


def test_slices_that_wait_are_bounded_however_large_the_box(monkeypatch):
    inserted = []

    class Scheme:
        box = 1 << 14

        def insert(self, values, rotations, pixels):
            inserted.append(len(values))
            return torch.zeros(1)

        insert_weights = insert

    _, data, pixels, _ = problem(8, 1)
    monkeypatch.setattr(slice_sums, "_BUFFER_BYTES", 4 * 24 * len(pixels))  # of slices with their weights
    sums = BufferedSums(Scheme())
    for i in range(7):
        sums.add(ROTATIONS[i : i + 1], pixels, data[i : i + 1], data[i : i + 1].real)
    assert inserted == [5, 5]
    assert sums.data() is not None and inserted == [5, 5, 2, 2]


@pytest.mark.parametrize("scheme", [TrilinearInterpolation(8, 2), NufftInterpolation(8)])
def test_running_sums_without_weights(scheme):
    _, data, pixels, _ = problem(8, 1)
    sums = scheme.slice_sums(torch.device("cpu"))
    sums.add(ROTATIONS, pixels, data)
    torch.testing.assert_close(sums.data(), scheme.insert(data, ROTATIONS, pixels))
    assert sums.weight() is None


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize(("n", "padding"), CASES)
@pytest.mark.parametrize("device", ["meta", pytest.param("cuda", marks=needs_gpu)])
def test_kernels_of_other_devices(device, n, padding):
    """Rotations and pixels may come from the CPU; on "meta" there are no numbers to compare."""
    spectrum, values, pixels, box = problem(n, padding)
    for kernel, argument, more in (
        (slice_spectrum, spectrum, ()),
        (insert_slices, values, (box,)),
        (insert_weights, values.real.contiguous(), (box,)),
    ):
        expected = kernel(argument, ROTATIONS, pixels, *more, padding)
        found = kernel(argument.to(device), ROTATIONS, pixels, *more, padding)
        assert (found.device.type, found.dtype, found.shape) == (device, expected.dtype, expected.shape)
        if device == "cuda":
            torch.testing.assert_close(found.cpu(), expected)


@needs_gpu
@pytest.mark.parametrize("n", [8, 9])
def test_operators_and_running_sums_on_a_gpu(n):
    model, on_gpu = (Projection(FourierSlice(VolumeSpace(n, 1.0, "float64", d), ROTATIONS)) for d in ("cpu", "cuda"))
    volume = torch.randn(n, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    images = model.apply(volume)
    torch.testing.assert_close(on_gpu.apply(volume.cuda()).cpu(), images)
    torch.testing.assert_close(on_gpu.apply_adjoint(images.cuda()).cpu(), model.apply_adjoint(images))
    scheme, (_, data, pixels, _) = TrilinearInterpolation(n, 2), problem(n, 2)
    weight = data.real.abs()
    sums, expected = (scheme.slice_sums(torch.device(d)) for d in ("cuda", "cpu"))
    sums.add(ROTATIONS, pixels.cuda(), data.cuda(), weight.cuda())
    expected.add(ROTATIONS, pixels, data, weight)
    torch.testing.assert_close(sums.data().cpu(), expected.data())
    torch.testing.assert_close(sums.weight().cpu(), expected.weight())


def test_memory_of_the_readable_kernels_is_bounded(monkeypatch):
    """No temporary is larger than a chunk, however many slices there are."""
    spectrum, _, pixels, box = problem(8, 2)
    largest = []
    neighbours = trilinear._Points.neighbours

    def watched(points):
        for index, coefficient in neighbours(points):
            largest.append(index.numel())
            yield index, coefficient

    monkeypatch.setattr(trilinear, "_POINTS_PER_CHUNK", 3 * len(pixels))
    monkeypatch.setattr(trilinear._Points, "neighbours", watched)
    slice_spectrum(spectrum, ROTATIONS.repeat(10, 1, 1), pixels, 2, compiled=False)
    assert max(largest) == 3 * len(pixels)
