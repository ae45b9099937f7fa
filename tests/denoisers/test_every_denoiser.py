"""What holds for every denoiser of the list, on odd and even boxes, in single and double precision."""

import pytest
import torch

from cryoinv.denoisers import DENOISERS, denoiser_from
from cryoinv.metrics import scale_error
from cryoinv.spaces import VolumeSpace

from .denoiser_cases import CASES, PIXEL_SIZE, problem

pytestmark = pytest.mark.filterwarnings("error")

every = pytest.mark.parametrize("spec", CASES)
size = pytest.mark.parametrize("n", [16, 17])
dtype = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["double", "single"])


def test_every_name_has_a_case():
    # A network needs a file of weights: tests/denoisers/test_network.py.
    assert {spec.partition(",")[0] for spec in CASES} == set(DENOISERS) - {"network"}


@every
@size
@dtype
def test_shape_dtype_device_finite_and_untouched_input(spec, n, dtype):
    _, noisy, context = problem(n, dtype)
    before = noisy.clone()
    found = denoiser_from(spec).denoise(noisy, context)
    assert found.shape == noisy.shape and found.dtype == dtype and found.device == noisy.device
    assert torch.isfinite(found).all()
    found.zero_()  # the result must not be the input's own memory
    assert torch.equal(noisy, before)


@every
@size
def test_single_precision_agrees_with_double(spec, n):
    _, noisy, context = problem(n)
    double, single = (denoiser_from(spec).denoise(x, context) for x in (noisy, noisy.float()))
    assert (double - single).norm() < 1e-4 * double.norm()


@every
@size
@dtype
def test_scale_equivariance(spec, n, dtype):
    _, noisy, context = problem(n, dtype)
    f = denoiser_from(spec)
    error = scale_error(lambda x: f.denoise(x, context), noisy, (1e-6, 0.3, 7.0, 1e5))
    assert error < (1e-5 if dtype == torch.float32 else 1e-11)


@every
@size
def test_nothing_comes_of_nothing(spec, n):
    _, noisy, context = problem(n)
    assert not denoiser_from(spec).denoise(torch.zeros_like(noisy), context).any()


@every
@size
def test_nearer_to_the_truth(spec, n):
    clean, noisy, context = problem(n)
    assert (denoiser_from(spec).denoise(noisy, context) - clean).norm() < 0.8 * (noisy - clean).norm()


@every
@size
def test_the_same_again_and_for_any_memory_layout(spec, n):
    _, noisy, context = problem(n)
    f = denoiser_from(spec)
    found = f.denoise(noisy, context)
    assert torch.equal(f.denoise(noisy, context), found)
    torch.testing.assert_close(f.denoise(noisy.permute(2, 1, 0).contiguous().permute(2, 1, 0), context), found)


@every
def test_linear_where_it_says_so(spec):
    _, one, context = problem(16)
    _, two, _ = problem(16, seed=1)
    f = denoiser_from(spec)
    sum_of_results = 2 * f.denoise(one, context) - 3 * f.denoise(two, context)
    difference = (f.denoise(2 * one - 3 * two, context) - sum_of_results).norm()
    assert (difference < 1e-12 * sum_of_results.norm()) == f.is_linear


@every
def test_description_tells_denoisers_apart_and_names_their_class(spec):
    f = denoiser_from(spec)
    assert repr(f) == repr(denoiser_from(spec))
    assert repr(f).startswith(type(f).__name__ + "(") and type(f) is DENOISERS[f.name]
    assert sum(repr(f) == repr(denoiser_from(other)) for other in CASES) == 1


@every
@size
def test_bound_it_is_an_operator(spec, n):
    _, noisy, context = problem(n)
    space = VolumeSpace(n, PIXEL_SIZE, "float64")
    operator = denoiser_from(spec).bind(space, context)
    found = operator(space.element(noisy))
    assert found in space
    torch.testing.assert_close(found.data, denoiser_from(spec).denoise(noisy, context))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@every
@size
def test_on_the_gpu_as_on_the_cpu(spec, n):
    _, noisy, context = problem(n)
    there = context.to("cuda")
    found = denoiser_from(spec).denoise(noisy.cuda(), there)
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), denoiser_from(spec).denoise(noisy, context))
