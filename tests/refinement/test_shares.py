"""Every particle is looked at by one process."""

import numpy as np
import pytest

from cryoinv.refinement.halves import split_halves
from cryoinv.refinement.shares import share_of


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 64])
@pytest.mark.parametrize("unequal", [False, True])
def test_shares_are_of_equal_length_and_hold_each_particle_once(size, unequal):
    halves = np.where(np.arange(101) < 30, 1, 2) if unequal else split_halves(101)
    shares = [share_of(halves, rank, size) for rank in range(size)]
    for half in (1, 2):
        np.testing.assert_array_equal(np.concatenate([s[half - 1] for s in shares]), np.flatnonzero(halves == half))
    lengths = [len(a) + len(b) for a, b in shares]
    assert max(lengths) - min(lengths) <= 2


@pytest.mark.parametrize("size", [2, 4, 6])
def test_an_even_number_of_processes_keeps_to_one_half_each(size):
    for count in (100, 101):
        shares = [share_of(split_halves(count), rank, size) for rank in range(size)]
        assert all(len(a) == 0 or len(b) == 0 for a, b in shares)
