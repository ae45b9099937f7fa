"""The arrays of this room's tests are tiny: threads would cost more than they give."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # for every test: numba's first parallel kernel sets it back
    yield
    torch.set_num_threads(before)
