"""Real projections against the composition of their parts, and padded transforms against padding."""

import pytest
import torch
from operator_cases import rotations, volumes

from cryoinv import testing
from cryoinv.operators import FourierSlice, FourierTransform, Projection, projection
from cryoinv.operators.padded_fft import cropped_irfft, padded_rfft, padded_rfft_transpose
from cryoinv.spaces import centred_irfft, centred_rfft, hermitian_weights


@pytest.mark.parametrize("n", [8, 9])
@pytest.mark.parametrize("interpolation", ["trilinear", "nufft"])
def test_projections_are_the_composition_of_transform_and_slices(n, interpolation, monkeypatch):
    monkeypatch.setattr(projection, "_PART_BYTES", 2 * n * n * 8)  # two images a part
    slices = FourierSlice(volumes(n, "float64"), rotations(5), interpolation)
    fused = Projection(slices)
    composed = FourierTransform(slices.range.array_space).adjoint @ slices
    x, y = testing.random_element(fused.domain), testing.random_element(fused.range)
    torch.testing.assert_close(fused(x).data, composed(x).data)
    torch.testing.assert_close(fused.adjoint(y).data, composed.adjoint(y).data)


def test_projections_are_differentiable():
    fused = Projection(FourierSlice(volumes(8, "float64"), rotations(5)))
    x = testing.random_element(fused.domain).data.requires_grad_()
    y = testing.random_element(fused.range).data.requires_grad_()
    (fused.apply(x) * y.detach()).sum().backward()
    (fused.apply_adjoint(y) * x.detach()).sum().backward()
    torch.testing.assert_close(x.grad, fused.apply_adjoint(y.detach()))
    torch.testing.assert_close(y.grad, fused.apply(x.detach()))


def test_no_projections():
    fused = Projection(FourierSlice(volumes(8, "float64"), torch.zeros(0, 3, 3)))
    assert fused(fused.domain.one()).shape == (0, 8, 8)
    assert fused.adjoint(fused.range.zero()).norm() == 0


@pytest.mark.parametrize(("n", "box"), [(7, 7), (7, 14), (7, 21), (8, 8), (8, 16), (8, 24)])
def test_padded_transforms_equal_padding_and_cropping(n, box):
    volume = torch.randn(n, n, n, dtype=torch.float64)
    before = box // 2 - n // 2
    padded = torch.nn.functional.pad(volume, (before, box - n - before) * 3)
    torch.testing.assert_close(padded_rfft(volume, box), centred_rfft(padded))
    spectrum = torch.randn(box, box, box // 2 + 1, dtype=torch.complex128)  # inconsistent, too
    inside = slice(before, before + n)
    torch.testing.assert_close(cropped_irfft(spectrum, n, box), centred_irfft(spectrum, box)[inside, inside, inside])
    transposed = cropped_irfft(spectrum / hermitian_weights(box), n, box)
    torch.testing.assert_close(padded_rfft_transpose(spectrum, n, box), transposed)
