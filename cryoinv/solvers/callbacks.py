"""Callbacks for iterates, in ODL's manner: ``solver(..., callback=PrintProgress() & Store())``.

They take what a solver tells: maps (n, n, n) of EM, elements of the statistics' space of M-steps. ``callback *
function`` is ODL's way to look at something else: ``Store() * statistics.to_volume``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import torch

from cryoinv.described import Described
from cryoinv.errors import InputError
from cryoinv.spaces.backend import odl

if TYPE_CHECKING:
    ODLCallback = object
else:
    ODLCallback = odl.solvers.Callback

__all__ = ["Callback", "Plot", "PrintProgress", "StopOnPlateau", "StopSolver", "Store", "asked_to_stop"]


class StopSolver(Exception):  # noqa: N818 (it is no error)
    """Raised by a callback to end the loop that called it; the solver returns the iterate it had just told of."""


def asked_to_stop(callback: Callable[[torch.Tensor], Any] | None, x: torch.Tensor) -> bool:
    """Tell a callback, if there is one, of an iterate.

    Parameters
    ----------
    callback : callable or None
        What to call.
    x : torch.Tensor
        The iterate.

    Returns
    -------
    bool
        Whether it asks the loop to end, by raising `StopSolver`.
    """
    if callback is None:
        return False
    try:
        callback(x)
    except StopSolver:
        return True
    return False


class Callback(Described, ODLCallback):
    """A callback of ODL that takes tensors: ``first & second`` calls both, ``callback * f`` calls it with ``f(x)``.

    Subclasses implement ``__call__(iterate)`` and `reset`, which makes them as new for the next run. Put
    `StopOnPlateau` last: what stands after it is not told of the last iterate.
    """

    def __call__(self, iterate: torch.Tensor) -> None:
        """Take an iterate."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget all iterates."""

    def __mul__(self, function: Callable[[torch.Tensor], Any]) -> Callback:
        """Call the callback with what `function` makes of each iterate."""
        return _Composed(self, function)


class _Composed(Callback):
    def __init__(self, callback: Callback, function: Callable[[torch.Tensor], Any]):
        self.callback, self.function = callback, function

    def __call__(self, iterate: torch.Tensor) -> None:
        self.callback(self.function(iterate))

    def reset(self) -> None:
        self.callback.reset()


class Store(Callback):
    """Keeps iterates.

    Parameters
    ----------
    every : int
        Keep each so-manieth, from the first.

    Raises
    ------
    InputError
        If `every` is not positive.

    Examples
    --------
    >>> store = Store()
    >>> for size in (3.0, 4.0):
    ...     (store * torch.Tensor.norm)(torch.tensor([size, 0.0]))
    >>> store.results
    [tensor(3.), tensor(4.)]
    """

    results: list[Any]
    _seen: int

    def __init__(self, every: int = 1):
        self.every = _checked_every(every)
        self.reset()

    def __call__(self, iterate: torch.Tensor) -> None:
        """Keep a copy of a tensor, anything else as it is."""
        if self._seen % self.every == 0:
            self.results.append(iterate.detach().clone() if isinstance(iterate, torch.Tensor) else iterate)
        self._seen += 1

    def reset(self) -> None:
        """Drop what was kept."""
        self.results = []
        self._seen = 0


class PrintProgress(Callback):
    """Prints the number of each iterate, how much it differs from the one before, and its objective if there is one.

    Parameters
    ----------
    objective : callable, optional
        ``objective(iterate)`` is a number.
    stream : text file, optional
        Where to; standard output by default.

    Examples
    --------
    >>> progress = PrintProgress(objective=lambda x: float(x.sum()))
    >>> progress(torch.tensor([3.0, 4.0])); progress(torch.tensor([3.0, 5.0]))
    iteration 1, objective 7
    iteration 2, change 0.171, objective 8
    """

    _previous: torch.Tensor | None
    _seen: int

    def __init__(self, objective: Callable[[torch.Tensor], float] | None = None, stream: TextIO | None = None):
        self.objective, self.stream = objective, stream
        self.reset()

    def __call__(self, iterate: torch.Tensor) -> None:
        """Print a line."""
        self._seen += 1
        line = f"iteration {self._seen}"
        if self._previous is not None:
            line += f", change {_change(iterate, self._previous):.3g}"
        if self.objective is not None:
            line += f", objective {float(self.objective(iterate)):.10g}"
        print(line, file=sys.stdout if self.stream is None else self.stream, flush=True)
        self._previous = iterate.detach()

    def reset(self) -> None:
        """Count from one again."""
        self._seen, self._previous = 0, None


class Plot(Callback):
    """Draws iterates to a file: the central slices of a map, a curve of numbers.

    Parameters
    ----------
    path : str or path-like
        Figure (.png, .pdf or .svg), written anew each time; ``{}`` in it stands for the number of the iterate.
    pixel_size : float
        Å, of maps.
    every : int
        Draw each so-manieth, from the first.

    Raises
    ------
    InputError
        If `every` is not positive, or an iterate is neither a real map (n, n, n) nor a number.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "norm.png"
    >>> (Plot(path) * torch.Tensor.norm)(torch.ones(3))
    >>> path.exists()
    True
    """

    _numbers: list[float]
    _seen: int

    def __init__(self, path: str | os.PathLike[str], pixel_size: float = 1.0, every: int = 1):
        self.path, self.pixel_size, self.every = path, float(pixel_size), _checked_every(every)
        self.reset()

    def __call__(self, iterate: torch.Tensor) -> None:
        """Draw, if it is one to be drawn."""
        self._seen += 1
        value = torch.as_tensor(iterate).detach().cpu()
        if value.is_complex() or (value.numel() != 1 and value.ndim != 3):
            raise InputError(
                f"Plot was told a {value.dtype} of shape {tuple(value.shape)}, expected a map (n, n, n) or a number: "
                "compose it with what makes one, as Plot(path) * statistics.to_volume"
            )
        if value.numel() == 1:
            self._numbers.append(float(value))
        if (self._seen - 1) % self.every:
            return
        path = Path(os.fspath(self.path).replace("{}", str(self._seen)))
        if value.numel() != 1:
            from cryoinv.plotting import plot_central_slices

            plot_central_slices({f"iteration {self._seen}": value.numpy()}, self.pixel_size, path)
        else:
            self._curve(path)

    def _curve(self, path: Path) -> None:
        from cryoinv.plotting.canvas import new_figure, save_figure

        figure = new_figure(5.0, 3.5, "")
        axes = figure.subplots()
        axes.plot(range(1, len(self._numbers) + 1), self._numbers)
        axes.set_xlabel("iteration")
        save_figure(figure, path)

    def reset(self) -> None:
        """Begin a new curve."""
        self._seen, self._numbers = 0, []


class StopOnPlateau(Callback):
    """Ends the loop once nothing changes any more, for a number of iterates in a row.

    Parameters
    ----------
    tolerance : float
        Change that counts as none, relative to the norm of the iterate, or to the size of the objective.
    patience : int
        How many iterates in a row.
    objective : callable, optional
        Look at ``objective(iterate)``, a number, in the place of the iterate.

    Raises
    ------
    InputError
        If a parameter is out of range.

    Examples
    --------
    >>> told = Store()
    >>> stop = told & StopOnPlateau(tolerance=0.1, patience=2)
    >>> for value in (1.0, 2.0, 2.01, 2.02, 2.03):
    ...     if asked_to_stop(stop, torch.tensor([value])):
    ...         break
    >>> len(told.results)
    4
    """

    _previous: torch.Tensor | None
    _quiet: int

    def __init__(
        self,
        tolerance: float = 1e-4,
        patience: int = 2,
        objective: Callable[[torch.Tensor], float] | None = None,
    ):
        if not tolerance >= 0 or patience < 1:
            raise InputError(f"tolerance is {tolerance} and patience {patience}, expected at least 0 and at least 1")
        self.tolerance, self.patience, self.objective = float(tolerance), int(patience), objective
        self.reset()

    def __call__(self, iterate: torch.Tensor) -> None:
        """Look at an iterate; raise `StopSolver` if it ends the loop."""
        value = iterate.detach() if self.objective is None else torch.tensor(float(self.objective(iterate)))
        if self._previous is not None:
            still = _change(value, self._previous) <= self.tolerance
            self._quiet = self._quiet + 1 if still else 0
        self._previous = value
        if self._quiet >= self.patience:
            raise StopSolver(f"no change above {self.tolerance:g} in {self.patience} iterations")

    def reset(self) -> None:
        """Forget what came before."""
        self._previous = None
        self._quiet = 0


def _change(new: torch.Tensor, old: torch.Tensor) -> float:
    """Norm of the difference, relative to that of the new; zero where both are zero."""
    norm = torch.linalg.vector_norm
    difference, size = float(norm(new - old)), float(norm(new))
    return difference / size if size else float("inf") if difference else 0.0


def _checked_every(every: int) -> int:
    if int(every) != every or every < 1:
        raise InputError(f"every is {every}, expected a whole number of at least 1")
    return int(every)
