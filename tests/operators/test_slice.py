"""Slices against direct sums, brute-force interpolation and projections that are known."""

import numpy as np
import pytest
import torch
from operator_cases import images, rotations, volumes

from cryoinv import testing
from cryoinv.errors import DeviceError, InputError
from cryoinv.geometry import matrix_from_euler
from cryoinv.operators import FourierDisc, FourierSlice, FourierTransform, gridding_window
from cryoinv.operators.nufft import nufft_type1, nufft_type2
from cryoinv.spaces import ImageSpace, VolumeSpace


def direct_slices(volume, matrices, disc):
    """(1/n) sum_r v(r) exp(-2 pi i R^T k . r / n) at every pixel of the disc, in NumPy."""
    n = len(volume)
    axis = np.arange(n) - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    k = np.concatenate([disc.pixels.numpy(), np.zeros((len(disc), 1))], axis=1)
    points = np.einsum("pi,mij->mpj", k, matrices)
    phase = sum(points[..., j, None] * r.ravel() for j, r in enumerate((x, y, z)))
    return (np.exp(-2j * np.pi * phase / n) @ volume.ravel()) / n


def smooth_volume(n, width=0.12):
    """Few Gaussian blobs well inside the box."""
    rng = np.random.default_rng(5)
    axis = (np.arange(n) - n // 2) / n
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    centres = rng.uniform(-0.15, 0.15, (4, 3))
    return sum(np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / (2 * (width / 2) ** 2)) for a, b, c in centres)


@pytest.mark.parametrize("n", [8, 9])
@pytest.mark.parametrize(("dtype", "tolerance", "allowed"), [("float64", 1e-7, 1e-6), ("float32", 1e-6, 1e-5)])
def test_nufft_slices_equal_the_direct_sum(n, dtype, tolerance, allowed):
    space = volumes(n, dtype)
    operator = FourierSlice(space, rotations(), interpolation="nufft", tolerance=tolerance)
    x = testing.random_element(space)
    expected = direct_slices(x.data.double().numpy(), rotations(), operator.disc)
    found = operator(x).data.reshape(3, -1)[:, operator.disc.index].numpy()
    assert np.linalg.norm(found - expected) <= allowed * np.linalg.norm(expected)


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-9, 1e-12])
def test_nufft_error_follows_the_tolerance(tolerance):
    space = volumes(8, "float64")
    operator = FourierSlice(space, rotations(), interpolation="nufft", tolerance=tolerance)
    x = testing.random_element(space)
    expected = direct_slices(x.data.numpy(), rotations(), operator.disc)
    error = np.linalg.norm(operator.at_pixels(x.data).numpy() - expected) / np.linalg.norm(expected)
    assert error <= 10 * tolerance


@pytest.mark.parametrize("n", [6, 7])
def test_nufft_functions_are_each_others_gradient(n):
    points = torch.rand(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 6 - 3
    volume = torch.randn(n, n, n, dtype=torch.float64, requires_grad=True)
    values = torch.randn(20, dtype=torch.complex128)
    (nufft_type2(volume, points, 1e-9) * values.conj()).real.sum().backward()
    assert torch.allclose(volume.grad, nufft_type1(values, points, n, 1e-9), atol=1e-12)


@pytest.mark.parametrize("n", [7, 8])
@pytest.mark.parametrize("padding", [1, 2])
@pytest.mark.parametrize("gridding", ["separable", "radial"])
def test_trilinear_slices_equal_brute_force_interpolation(n, padding, gridding):
    space = volumes(n, "float64")
    operator = FourierSlice(space, rotations(), padding=padding, gridding=gridding)
    x = testing.random_element(space)
    expected = brute_force(x.data.numpy(), rotations(), operator.disc, padding, gridding)
    assert np.allclose(operator.at_pixels(x.data).numpy(), expected, atol=1e-12)


def brute_force(volume, matrices, disc, padding, gridding):
    """Full-spectrum trilinear interpolation, one point at a time."""
    n = len(volume)
    size = padding * n
    axis = (np.arange(n) - n // 2) / size
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    if gridding == "separable":
        window = (np.sinc(x) * np.sinc(y) * np.sinc(z)) ** 2
    else:
        window = np.sinc(np.sqrt(x**2 + y**2 + z**2)) ** 2
    padded = np.zeros((size,) * 3)
    inside = slice(size // 2 - n // 2, size // 2 - n // 2 + n)
    padded[inside, inside, inside] = volume / window
    spectrum = np.fft.fftn(np.fft.ifftshift(padded)) / n
    result = np.zeros((len(matrices), len(disc)), complex)
    for m, matrix in enumerate(matrices):
        for p, (kx, ky) in enumerate(disc.pixels.tolist()):
            point = padding * (matrix.T @ [kx, ky, 0])
            low = np.floor(point).astype(int)
            for corner in np.ndindex(2, 2, 2):
                weight = np.prod(np.where(corner, point - low, 1 - (point - low)))
                ix, iy, iz = (low + corner) % size
                result[m, p] += weight * spectrum[iz, iy, ix]
    return result


@pytest.mark.parametrize("n", [16, 17])
@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ({"interpolation": "nufft", "tolerance": 1e-9}, 1e-8),
        ({"padding": 2}, 0.05),
        ({"padding": 2, "gridding": "radial"}, 0.1),
        ({"padding": 1}, 0.3),
    ],
)
def test_identity_slice_is_the_projection(n, options, allowed):
    space = VolumeSpace(n, dtype="float64")
    operator = FourierSlice(space, np.eye(3)[None], **options)
    volume = space.element(smooth_volume(n))
    transform = FourierTransform(ImageSpace(n, dtype="float64"))
    expected = transform(volume.data.sum(0)).data
    k = torch.fft.fftfreq(n, 1 / n)[:, None].square() + torch.arange(n // 2 + 1).square()
    expected[k > operator.disc.r_max**2] = 0
    error = (operator(volume)[0].data - expected).norm() / expected.norm()
    assert float(error) <= allowed


@pytest.mark.parametrize("interpolation", ["trilinear", "nufft"])
def test_rotations_are_active_and_left_multiply(interpolation):
    """A point on the object's x axis is seen, after a quarter turn in the image plane, on the other axis."""
    n = 16
    space = VolumeSpace(n, dtype="float64")
    volume = space.zero()
    volume.data[8, 8, 11] = 1.0  # x = +3
    rotation = matrix_from_euler(np.array([[0.0, 0.0, 90.0]]))
    expected = rotation[0] @ [3, 0, 0]
    operator = FourierSlice(space, rotation, interpolation=interpolation)
    image = FourierTransform(operator.range.array_space).adjoint(operator(volume)).data[0]
    y, x = divmod(int(image.argmax()), n)
    assert np.allclose([x - 8, y - 8, 0], expected)


@pytest.mark.parametrize("r_max", [0, 1, 3])
def test_slices_vanish_outside_the_disc(r_max):
    space = volumes(8, "float64")
    spectra = FourierSlice(space, rotations(), r_max=r_max)(testing.random_element(space)).data
    full, half = torch.fft.fftfreq(8, 1 / 8), torch.arange(5)
    inside = full[:, None] ** 2 + half**2 <= r_max**2
    assert float(spectra[:, ~inside].abs().max()) == 0
    assert bool((spectra[:, inside].abs() > 0).all())


@pytest.mark.parametrize("n", [8, 9])
def test_slices_are_transforms_of_real_images(n):
    operator = FourierSlice(volumes(n, "float64"), rotations())
    spectra = operator(testing.random_element(operator.domain))
    transform = FourierTransform(operator.range.array_space)
    assert (transform(transform.adjoint(spectra)) - spectra).norm() <= 1e-13 * spectra.norm()


@pytest.mark.parametrize("n", [8, 9])
def test_adjoint_of_placing_pixels_is_collecting_them(n):
    disc = FourierDisc(n)
    values = torch.randn(3, len(disc), dtype=torch.complex128)
    y = testing.random_element(images(n, "float64"))
    placed = y.space.element(disc.place(values))
    assert placed.inner(y) == pytest.approx(float((values * disc.collect(y.data).conj()).real.sum()))


def test_other_rotations_share_everything_else():
    operator = FourierSlice(volumes(8, "float64"), rotations(5))
    x = testing.random_element(operator.domain)
    batch = operator.at([3, 1])
    assert batch.scheme is operator.scheme
    assert torch.equal(batch(x).data, operator(x).data[[3, 1]])
    assert torch.equal(operator.at(slice(1, 3))(x).data, operator(x).data[1:3])
    turned = operator.with_rotations(rotations(2, seed=7))
    assert turned.range.count == 2


def test_no_images_give_an_empty_stack_and_a_zero_volume():
    operator = FourierSlice(volumes(8, "float64"), np.zeros((0, 3, 3)))
    assert operator(operator.domain.one()).shape == (0, 8, 5)
    assert operator.adjoint(operator.range.zero()).norm() == 0


def test_windows():
    separable, radial = gridding_window(8, 2), gridding_window(8, 2, "radial")
    assert torch.allclose(separable[4, 4], radial[4, 4])
    assert float((separable - radial).abs().max()) > 0.01
    assert float(separable[4, 4, 0]) == pytest.approx(np.sinc(4 / 16) ** 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotations": np.eye(3)}, r"shape \(3, 3\), expected \(m, 3, 3\)"),
        ({"rotations": 2 * np.eye(3)[None]}, "not orthogonal"),
        ({"rotations": np.full((1, 3, 3), np.nan)}, "not orthogonal"),
        ({"interpolation": "nearest"}, "'nearest'"),
        ({"gridding": "none"}, "'none'"),
        ({"padding": 0}, "padding is 0"),
        ({"r_max": 4}, "r_max is 4"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    arguments = {"rotations": rotations(), **options}
    with pytest.raises(InputError, match=message):
        FourierSlice(volumes(8, "float64"), **arguments)


def test_nufft_on_a_gpu_is_a_clear_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)

    class Space(VolumeSpace):
        device = "cuda:0"

    with pytest.raises(DeviceError, match="runs on the CPU"):
        FourierSlice(Space(8), rotations(), interpolation="nufft")
