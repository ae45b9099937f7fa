"""How objects print: by the arguments they were made with, whatever they keep of them."""

import copy

import numpy as np
import torch

from cryoinv.described import Described


class Thing(Described):
    def __init__(self, size, values=None, flag=False, *more, name="a"):
        pass


class Inherits(Thing):
    pass


def test_only_what_differs_from_the_default_is_printed():
    assert repr(Thing(3)) == "Thing(size=3)"
    assert repr(Thing(size=3.0, flag=False, name="a")) == "Thing(size=3)"
    assert repr(Inherits(0.1, name="b")) == "Inherits(size=0.1, name='b')"


def test_whole_floats_are_told_apart():
    one, other = Thing(0.1), Thing(np.nextafter(0.1, 1))
    assert repr(one) != repr(other)


def test_arrays_are_told_apart_by_their_values():
    large = torch.zeros(100)
    other = large.clone()
    other[7] = 1e-30
    assert repr(Thing(1, large)) == repr(Thing(1, torch.zeros(100)))
    assert repr(Thing(1, large)) != repr(Thing(1, other))
    assert repr(Thing(1, [1, 2.5])) == repr(Thing(1, (1, 2.5))) == "Thing(size=1, values=[1, 2.5])"


def test_networks_are_told_apart_by_their_weights():
    torch.manual_seed(0)
    one, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    assert repr(Thing(one)) == repr(Thing(one)) != repr(Thing(other))


def test_functions_go_by_their_name_and_copies_keep_their_arguments():
    assert repr(Thing(len)) == "Thing(size=len)"
    assert repr(Thing(lambda x: x + 1)) != repr(Thing(lambda x: x * 2))
    assert repr(copy.deepcopy(Thing(Thing(2)))) == "Thing(size=Thing(size=2))"
