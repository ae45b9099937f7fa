"""Arrays there and back."""

import numpy as np
import pytest

from cryoinv.parallel.messages import packed, unpacked


def test_arrays_of_all_kinds_and_shapes_come_back():
    given = {
        "scalar": np.array(True), "empty": np.empty((0, 3)), "complex": np.ones((2, 3), np.complex64) * 1j,
        "not contiguous": np.arange(12.0).reshape(3, 4).T, "with a\nline": np.arange(3, dtype=np.uint8),
    }
    found = unpacked(packed(given))
    assert list(found) == list(given)
    for name, array in given.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)
        found[name][...] = 0  # it is the receiver's own
    assert unpacked(packed({})) == {}


def test_objects_do_not_travel():
    with pytest.raises(TypeError, match="'a' is of type object"):
        packed({"a": np.array([{}])})
