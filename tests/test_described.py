"""How objects print: by the arguments they were made with, whatever they keep of them."""

import copy
import functools

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


def rule(factor):
    def scaled(x, more=1):
        return factor * x * more

    return scaled


class Callable:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * x


class Gate(torch.nn.Module):
    def __init__(self, slope):
        super().__init__()
        self.slope = slope

    def extra_repr(self):
        return str(self.slope)


def test_functions_are_told_apart_by_what_they_do_and_hold_on_to():
    assert repr(Thing(len)) == "Thing(size=len)"
    pairs = [
        (lambda x: x + 1, lambda x: x * 2),
        (lambda x: 0.1, lambda x: 0.9),
        (lambda x: x.real, lambda x: x.imag),
        (rule(0.1), rule(0.9)),
        (Callable(1), Callable(2)),
        (functools.partial(rule(1), more=2), functools.partial(rule(1), more=3)),
        (Gate(1.0), Gate(2.0)),
    ]
    for one, other in pairs:
        assert repr(Thing(one)) != repr(Thing(other))
    assert repr(Thing(rule(0.1))) == repr(Thing(rule(0.1)))
    assert repr(Thing(Callable(1))) == repr(Thing(Callable(1)))


def test_half_precision_of_any_kind_is_printed():
    assert repr(Thing(torch.ones(40, dtype=torch.bfloat16))) == repr(Thing(torch.ones(40, dtype=torch.bfloat16)))


def test_classes_of_one_name_in_two_modules_are_not_the_same():
    other = type("Thing", (Described,), {"__module__": "elsewhere"})
    assert repr(other()) == "Thing()" and other().identity() == "elsewhere.Thing()"


def test_copies_keep_their_arguments():
    assert repr(copy.deepcopy(Thing(Thing(2)))) == "Thing(size=Thing(size=2))"
