"""Volume, image and half-spectrum spaces as ODL spaces."""

import numpy as np
import pytest
import torch

from cryoinv.errors import InputError
from cryoinv.spaces import HermitianSpace, ImageSpace, NumpyHermitianSpace, VolumeSpace, centred_rfft
from cryoinv.spaces.backend import odl

SPACES = {
    "volume": VolumeSpace(5, 1.5, "float64"),
    "volume32": VolumeSpace(4),
    "images": ImageSpace(4, 2.0, "float64", count=3),
    "spectrum-odd": HermitianSpace(5, dtype="complex128"),
    "spectrum-even": HermitianSpace(4),
    "spectra": HermitianSpace(4, 2, dtype="complex128", count=3),
    "line": HermitianSpace(6, 1, dtype="complex128"),
}
pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(params=SPACES, ids=str)
def space(request):
    return SPACES[request.param]


def random(space, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return space.element(torch.randn(space.shape, dtype=space.dtype, generator=generator))


def test_arithmetic_stays_in_the_space(space):
    x, y = random(space), random(space, 1)
    for z in (x + y, x - y, 2 * x, x / 2, -x, x.copy(), np.float64(2) * x, x * np.float32(2)):
        assert z in space
    assert torch.allclose((np.float64(2) * x + y).data, 2 * x.data + y.data)
    z = space.zero()
    z.lincomb(2, x, np.float64(3), y)
    assert torch.allclose(z.data, 2 * x.data + 3 * y.data)
    x_before = x.copy()
    z = x.copy()
    z.lincomb(1, z, 1, z)
    assert torch.allclose(z.data, 2 * x.data)
    z.assign(y)
    z += x
    assert torch.allclose(z.data, x.data + y.data)
    assert x == x_before
    assert space.lincomb(2, x).space is space


def test_inner_product_is_the_real_weighted_sum(space):
    x, y = random(space), random(space, 1)
    weights = 1.0
    if isinstance(space, HermitianSpace):
        weights = np.full(space.n // 2 + 1, 2.0)
        weights[[0] if space.n % 2 else [0, -1]] = 1
    expected = float((weights * (x.data.numpy() * y.data.numpy().conj()).real).sum())
    value = x.inner(y)
    assert type(value) is float
    assert value == pytest.approx(expected, rel=1e-5)
    assert x.norm() ** 2 == pytest.approx(x.inner(x))
    assert x.dist(y) == pytest.approx((x - y).norm(), rel=1e-6)
    assert space.field == odl.RealNumbers()


def test_riesz_turns_a_euclidean_gradient_into_the_space_gradient(space):
    x, direction = random(space), random(space, 1)
    gradient = space.riesz(random(space, 2).data)
    euclidean = space.riesz_inv(gradient)
    plain = (euclidean * direction.data.conj()).real.sum()
    assert space.element(gradient).inner(direction) == pytest.approx(float(plain), rel=1e-5)
    assert x in space


def test_equality_and_hash(space):
    same = space.with_count(7).with_count(space.count)
    assert same == space
    assert hash(same) == hash(space)
    assert same is not space
    assert random(same) in space
    assert space.with_count(space.count) is space
    assert space != space.with_count(7)


def test_spaces_differ_by_what_the_shape_does_not_show():
    assert HermitianSpace(4) != HermitianSpace(5)
    assert HermitianSpace(4, 1) != HermitianSpace(5, 1)  # both have 3 coefficients
    assert HermitianSpace(4, 1).shape == HermitianSpace(5, 1).shape
    assert VolumeSpace(4, 1.0) != VolumeSpace(4, 2.0)
    assert VolumeSpace(4) != VolumeSpace(4, dtype="float64")
    assert VolumeSpace(4, count=1) != VolumeSpace(4)


@pytest.mark.parametrize("n", [4, 5])
@pytest.mark.parametrize("count", [None, 2])
def test_spectrum_space_is_the_transform_range(n, count):
    for space, ndim in ((VolumeSpace(n, 2.0, "float64", count=count), 3), (ImageSpace(n, count=count), 2)):
        spectra = space.spectrum_space
        assert spectra.array_space == space
        x = random(space)
        assert spectra.element(centred_rfft(x.data, ndim)).norm() == pytest.approx(x.norm(), rel=1e-6)


def test_elements_come_from_tensors_arrays_and_numbers(space):
    tensor = random(space).data
    assert space.element(tensor).data is tensor
    assert space.element(tensor, copy=True).data is not tensor
    assert torch.equal(space.element(tensor.numpy()).data, tensor)
    assert torch.equal(space.element(3).data, torch.full(space.shape, 3, dtype=space.dtype))
    assert space.element(tensor) in space
    x = space.element(tensor)
    assert space.element(x) is x
    assert "element" in repr(x)
    assert len(str(x)) > 0
    with pytest.raises(ValueError, match="expected"):
        space.element(torch.zeros(2, 2))


def test_real_space_refuses_complex_values():
    with pytest.raises(TypeError, match="expected real"):
        VolumeSpace(2).element(torch.zeros(2, 2, 2, dtype=torch.complex64))


def test_autograd_flows_through_elements():
    space = HermitianSpace(4, dtype="complex128")
    leaf = torch.randn(space.shape, dtype=torch.complex128, requires_grad=True)
    (2 * space.element(leaf) + space.one()).data.abs().square().sum().backward()
    assert torch.allclose(leaf.grad, 4 * (2 * leaf.detach() + 1))


def test_stacks_are_indexed_as_sequences():
    stack = HermitianSpace(4, 2, 1.5, count=3)
    x = random(stack)
    assert x[1] in HermitianSpace(4, 2, 1.5)
    assert x[1:] in HermitianSpace(4, 2, 1.5, count=2)
    assert torch.equal(x[1:].data, x.data[1:])
    assert x[0, 1, 2] == x.data[0, 1, 2]
    x[1] = 0
    assert float(x.data[1].abs().sum()) == 0


def test_conversions_keep_the_kind():
    space = HermitianSpace(4, 2, 1.5, count=3)
    assert space.astype("complex128") == HermitianSpace(4, 2, 1.5, "complex128", count=3)
    assert VolumeSpace(4).astype("float64") == VolumeSpace(4, dtype="float64")
    assert space.to_device("cpu") == space
    assert odl.abs(random(space)).data.dtype == torch.float32


def test_conjugate_views_are_resolved():
    space = HermitianSpace(4, 2)
    x = random(space).data
    assert not space.element(x.conj()).data.is_conj()
    assert space.weighting.inner(x.conj(), x.conj()) == pytest.approx(space.weighting.inner(x, x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VolumeSpace(1), "box size is 1"),
        (lambda: VolumeSpace(4, pixel_size=0), "pixel_size is 0"),
        (lambda: VolumeSpace(4, dtype="float16"), "expected 'float32' or 'float64'"),
        (lambda: HermitianSpace(4, dtype="float32"), "expected 'complex64' or 'complex128'"),
        (lambda: HermitianSpace(4, ndim=4), "ndim is 4"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_numpy_space_has_the_same_inner_product():
    space, twin = NumpyHermitianSpace((4, 4)), HermitianSpace(4, 2, dtype="complex128")
    x, y = random(twin), random(twin, 1)
    a, b = space.element(x.data.numpy()), space.element(y.data.numpy())
    assert a.inner(b) == pytest.approx(x.inner(y))
    assert a.norm() == pytest.approx(x.norm())
    assert 2 * a - b in space
    assert space == NumpyHermitianSpace((4, 4)) != NumpyHermitianSpace((4, 5))
    assert hash(space) == hash(NumpyHermitianSpace((4, 4)))


def test_importing_the_library_keeps_numpy_print_options():
    import subprocess
    import sys

    code = "import numpy as np; a = np.get_printoptions(); import {}; assert a == np.get_printoptions()"
    subprocess.run([sys.executable, "-c", code.format("cryoinv.spaces")], check=True)
