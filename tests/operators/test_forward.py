"""The fused forward model."""

import numpy as np
import pytest
import torch
from operator_cases import COUNT, ctfs, model, rotations, shifts, slices

from cryoinv import testing
from cryoinv.errors import InputError
from cryoinv.operators import CTF, ForwardModel, Shift

OPTIONS = {
    "pad1": {"padding": 1},
    "pad2": {},
    "radial": {"gridding": "radial"},
    "disc": {"r_max": 2},
    "nufft": {"interpolation": "nufft"},
}
options = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


@options
@pytest.mark.parametrize("n", [8, 9])
def test_fused_equals_composed(n, options):
    testing.assert_fused_equals_composed(model(n, "float64", **options))


def test_fused_equals_composed_in_single_precision():
    testing.assert_fused_equals_composed(model(8, "float32"))


@pytest.mark.parametrize("with_ctf", [False, True])
@pytest.mark.parametrize("with_shift", [False, True])
def test_ctf_and_shift_are_optional(with_ctf, with_shift):
    parts = slices(8, "float64")
    ctf = CTF(parts.range, ctfs(8, 1)) if with_ctf else None
    shift = Shift(parts.range, [0.5, 1.0]) if with_shift else None
    operator = ForwardModel(parts, ctf, shift)
    assert (operator.slice, operator.ctf, operator.shift) == (parts, ctf, shift)
    testing.assert_fused_equals_composed(operator)
    testing.assert_fused_equals_composed(operator.at(slice(0, 2)))


@pytest.mark.parametrize("batch", [[2, 0], slice(1, 3), np.array([1]), torch.tensor([0, 2]), []], ids=str)
def test_batches_are_rows_of_the_whole(batch):
    whole = model(8, "float64")
    x = testing.random_element(whole.domain)
    rows = batch if isinstance(batch, slice) else torch.as_tensor(batch, dtype=torch.long)
    assert torch.allclose(whole.at(batch)(x).data, whole(x).data[rows])


def test_batches_sum_to_the_whole_adjoint():
    whole = model(9, "float64")
    y = testing.random_element(whole.range)
    parts = [whole.at([i]).adjoint(whole.at([i]).range.element(y.data[[i]])) for i in range(COUNT)]
    assert torch.allclose(sum(part.data for part in parts), whole.adjoint(y).data)


def test_new_poses_keep_the_ctf():
    old = model(8, "float64")
    new = old.with_poses(rotations(seed=9), shifts(seed=9))
    assert new.ctf is old.ctf
    assert new.slice.scheme is old.slice.scheme
    expected = ForwardModel(old.slice.with_rotations(rotations(seed=9)), old.ctf, Shift(old.range, shifts(seed=9)))
    x = testing.random_element(old.domain)
    assert torch.equal(new(x).data, expected(x).data)
    assert old.with_poses(rotations()).shift is None
    with pytest.raises(InputError, match="2 poses were given for 3 particles"):
        old.with_poses(rotations(2))


def test_parts_must_fit():
    parts, other = slices(8, "float64"), slices(9, "float64")
    with pytest.raises(InputError, match="the range of the slices"):
        ForwardModel(parts, CTF(other.range, ctfs(9)))
