"""Callbacks: what they are told, how they compose, and the loops that they end."""

import io

import numpy as np
import pytest
import torch

from cryoinv.errors import InputError
from cryoinv.priors import GaussianPrior
from cryoinv.solvers import (
    ADMM,
    LBFGS,
    FixedPoint,
    GradientDescent,
    Plot,
    PrintProgress,
    ProximalGradient,
    StopOnPlateau,
    StopSolver,
    Store,
    asked_to_stop,
)
from cryoinv.spaces.backend import odl

from .test_m_steps_agree import Hidden, context, made


class StopAt:
    """Plain callable that ends the loop at its n-th iterate."""

    def __init__(self, n):
        self.n, self.seen = n, 0

    def __call__(self, x):
        self.seen += 1
        if self.seen == self.n:
            raise StopSolver


LOOPS = [
    (("proximal",), ADMM(50, tolerance=0)),
    (("proximal",), ProximalGradient(50, tolerance=0)),
    (("gradient", "value"), ProximalGradient(50, tolerance=0)),
    (("gradient", "value"), GradientDescent(50, tolerance=0)),
    (("gradient", "value"), LBFGS(50, tolerance=0)),
]


@pytest.mark.parametrize(("shown", "step"), LOOPS, ids=repr)
def test_a_loop_ends_where_its_callback_says_and_returns_that_iterate(shown, step):
    statistics, store = made("pad1-odd"), Store()
    found = step(statistics, Hidden(*shown).bind(statistics, context(17)), store & StopAt(3))
    assert len(store.results) == 3 and torch.equal(store.results[-1], found)


def test_fixed_point_ends_too():
    statistics, store = made("pad1-odd"), Store()
    FixedPoint(9, tolerance=0)(statistics, GaussianPrior().bind(statistics, context(17)), store & StopAt(1))
    assert len(store.results) == 1


def test_plateau_ends_a_loop_once_nothing_changes():
    statistics, store = made("pad1-odd"), Store()
    bound = Hidden("proximal").bind(statistics, context(17))
    ADMM(2000, tolerance=0)(statistics, bound, store & StopOnPlateau(1e-3, patience=3))
    changes = [float((b - a).norm() / b.norm()) for a, b in zip(store.results, store.results[1:], strict=False)]
    assert 3 < len(changes) < 100
    assert max(changes[-3:]) <= 1e-3 < changes[-4]


def test_plateau_of_an_objective_and_reset():
    stop = StopOnPlateau(0.01, patience=1, objective=lambda x: float(x.real.sum()))
    told = [torch.tensor([value]) for value in (1.0, 2.0, 2.001)]
    assert [asked_to_stop(stop, x) for x in told] == [False, False, True]
    stop.reset()
    assert [asked_to_stop(stop, x) for x in told] == [False, False, True]


def test_other_errors_of_a_callback_pass():
    def broken(x):
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        asked_to_stop(broken, torch.zeros(1))


def test_they_compose_with_functions_and_with_odls_own():
    statistics, store, plain = made("pad1-odd"), Store(), []
    callback = store * statistics.to_volume & odl.solvers.CallbackStore() & plain.append
    x = ADMM(4, tolerance=0)(statistics, Hidden("proximal").bind(statistics, context(17)), callback)
    assert len(store.results) == len(plain) == 4
    assert torch.equal(store.results[-1], statistics.to_volume(x)) and torch.equal(plain[-1], x)
    callback.reset()
    assert store.results == []


def test_store_keeps_copies_of_every_so_manieth():
    store, x = Store(every=2), torch.zeros(1)
    for _ in range(5):
        store(x)
        x += 1
    assert [float(y) for y in store.results] == [0, 2, 4]


def test_progress_in_words():
    stream = io.StringIO()
    progress = PrintProgress(stream=stream)
    for value in (1 + 0j, 2 + 0j, 2 + 0j):
        progress(torch.tensor([value]))
    assert stream.getvalue().splitlines() == ["iteration 1", "iteration 2, change 0.5", "iteration 3, change 0"]


def test_plots_of_maps_and_of_numbers(tmp_path):
    maps = Plot(tmp_path / "map-{}.png", pixel_size=3.0, every=2)
    for _ in range(3):
        maps(torch.rand(8, 8, 8))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map-1.png", "map-3.png"]
    curve = Plot(tmp_path / "curve.png")
    for value in np.linspace(2, 1, 4):
        curve(value)
    assert (tmp_path / "curve.png").stat().st_size > 0
    with pytest.raises(InputError, match="to_volume"):
        maps(torch.zeros(8, 8, 5, dtype=torch.complex64))


@pytest.mark.parametrize(
    "make",
    [lambda: Store(0), lambda: Plot("x.png", every=0), lambda: StopOnPlateau(-1.0), lambda: StopOnPlateau(patience=0)],
)
def test_parameters_out_of_range_are_refused(make):
    with pytest.raises(InputError, match="expected"):
        make()
