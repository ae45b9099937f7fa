"""Children of significant orientations, shared by the images of a block: sliced, scored and inserted together.

Wide posteriors keep hundreds of orientations of an image, and other images keep the same ones. Cells, an orientation of
the coarse grid with its eight children, are taken in the order of their directions, as many at a time as fit: slices
are made for all images that keep them, each is scored against its own, and what all of them add to the sums is inserted
once. Posteriors need all scores before anything can be summed, so slices are made twice, for scores and for sums.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from .many_small import shared_out
from .posterior import PoseWeights, normalise
from .scores import ImageTerms, as_real
from .search import ExhaustiveSearch

if TYPE_CHECKING:
    from .expectation import Expectation

__all__ = ["CHILDREN", "ChildPoses", "weigh_children"]

CHILDREN = 8  # of an orientation
_PART_BYTES = 1 << 26  # of slices and sums: every image goes through all parts, so that few are better
_CACHED_BYTES = 1 << 20  # of one image's slices at a time, so that products find them in a core's own cache


@dataclass
class ChildPoses:
    """Poses to score for each image of a block: children of its own cells times translations of its own.

    Parameters
    ----------
    search : ExhaustiveSearch
        The coarse grid.
    cells : list of numpy.ndarray of int, shape (C_i,)
        Orientations of the grid whose children image i is scored against, increasing.
    translations : list of numpy.ndarray, shape (T_i, 2)
        Translations of image i, pixels.
    rows : list of torch.Tensor, shape (T_i,), int64
        Where `table` has the factors that undo them.
    table : torch.Tensor, shape (T, P), complex
        Factors that undo any translation of the search.
    log_prior : float
        Logarithm of the prior mass of each pose.
    """

    search: ExhaustiveSearch
    cells: list[np.ndarray]
    translations: list[np.ndarray]
    rows: list[torch.Tensor]
    table: torch.Tensor
    log_prior: float

    def rotations(self, cells: np.ndarray) -> np.ndarray:
        """Children (8 C, 3, 3) of cells (C,)."""
        return self.search.child_rotations(cells).reshape(-1, 3, 3)

    def take(self, images: slice) -> ChildPoses:
        """Poses of some of the images."""
        return replace(
            self, cells=self.cells[images], translations=self.translations[images], rows=self.rows[images]
        )

    def runs(self, memory_bytes: int) -> Iterator[slice]:
        """Runs of images, one at least, whose tables of masses fit into so many bytes."""
        real = self.table.real.element_size()
        start, total = 0, 0
        for image, (cells, rows) in enumerate(zip(self.cells, self.rows, strict=True)):
            size = CHILDREN * len(cells) * len(rows) * real
            if total and total + size > memory_bytes:
                yield slice(start, image)
                start, total = image, 0
            total += size
        yield slice(start, len(self.cells))

    def shifted(self, image: int, data: torch.Tensor) -> torch.Tensor:
        """Data (P,) of an image at each of its translations, as real numbers (T_i, 2P)."""
        return as_real(data * self.table[self.rows[image]])


_Member = tuple[int, torch.Tensor, slice]  # an image, places among some cells, columns of the image's own table


@dataclass
class _Part:
    """Some cells: their children (8 n, 3, 3), slices (8 n, P), and which images keep which of them."""

    rotations: np.ndarray
    slices: torch.Tensor
    members: list[_Member]


def weigh_children(step: Expectation, terms: ImageTerms, poses: ChildPoses) -> list[PoseWeights]:
    """Posterior of every image over its own poses, accumulated where the step accumulates.

    Parameters
    ----------
    step : Expectation
        The E-step.
    terms : ImageTerms
        The images of a block.
    poses : ChildPoses
        What each of them is scored against.

    Returns
    -------
    list of PoseWeights
        Tables (1, T_i, 8 C_i).
    """
    scores: list[list[torch.Tensor]] = [[] for _ in poses.cells]
    for part in _parts(step, poses):
        _score(terms, poses, part, scores)
    posteriors = []
    for own in scores:
        posteriors.append(normalise(torch.cat(own).T.contiguous()[None]))
        own.clear()  # one image's table is there twice, not all
    if step.sums:
        for part in _parts(step, poses):
            _accumulate(step, terms, poses, part, posteriors)
    return posteriors


def _parts(step: Expectation, poses: ChildPoses) -> Iterator[_Part]:
    """All cells in the order of their directions, with their slices."""
    every = np.unique(np.concatenate(poses.cells))
    size = max(1, step.most_orientations(_PART_BYTES) // CHILDREN)
    for start in range(0, len(every), size):
        some = every[start : start + size]
        members = []
        for image, own in enumerate(poses.cells):
            low, high = np.searchsorted(own, (some[0], some[-1] + 1))
            if high > low:
                places = torch.as_tensor(np.searchsorted(some, own[low:high]), device=step.images.device)
                members.append((image, places, slice(low * CHILDREN, high * CHILDREN)))
        rotations = poses.rotations(some)
        slices = step.interpolation.slices(step.prepared, torch.as_tensor(rotations), step.pixels)
        yield _Part(rotations, slices, members)


def _score(terms: ImageTerms, poses: ChildPoses, part: _Part, scores: list[list[torch.Tensor]]) -> None:
    """Append to every image's scores those (8 m, T) at its m cells of a part."""
    real = as_real(part.slices)
    is_common = len(terms.weight) == 1
    if is_common:
        power = real.square() @ terms.weight[0].repeat_interleave(2)
    else:
        power = real.square().unflatten(1, (-1, 2)).sum(2)
    cells = real.view(-1, CHILDREN * real.shape[1])

    def score(members: Sequence[_Member]) -> None:
        cached = _Cached(cells, members)
        for image, places, _ in members:
            shifted = poses.shifted(image, terms.scored[image]).T
            found = real.new_empty(CHILDREN * len(places), shifted.shape[1])
            for some, own in cached.runs(places):
                torch.index_select(cells, 0, places[some], out=own)
                torch.mm(_by_child(own), shifted, out=found[_children_at(some)])
            squared = _children_of(power, places)
            found -= 0.5 * (squared if is_common else squared @ terms.weight[image])[:, None]
            scores[image].append(found.add_(poses.log_prior))

    shared_out(score, part.members, real.device)


def _accumulate(
    step: Expectation, terms: ImageTerms, poses: ChildPoses, part: _Part, posteriors: list[PoseWeights]
) -> None:
    """Sum all images' data and weights at the children of a part, and insert them."""
    is_masked, is_common = terms.scored is not terms.inserted, len(terms.weight) == 1
    cells, pixels = len(part.slices) // CHILDREN, part.slices.shape[1]

    def summed(members: Sequence[_Member]) -> list[torch.Tensor]:
        widths = (2 * pixels, 1 if is_common else pixels, 2 * pixels if is_masked else 0)
        data, weight, scored = (terms.weight.new_zeros(cells, CHILDREN * width) for width in widths)
        cached = _Cached(data, members)

        def add(total: torch.Tensor, masses: torch.Tensor, shifted: torch.Tensor, places: torch.Tensor) -> None:
            for some, own in cached.runs(places):
                torch.mm(masses[_children_at(some)], shifted, out=_by_child(own))
                total.index_add_(0, places[some], own)

        for image, places, columns in members:
            masses = posteriors[image].weights[0][:, columns].T
            add(data, masses, poses.shifted(image, terms.inserted[image]), places)
            if is_masked:
                add(scored, masses, poses.shifted(image, terms.scored[image]), places)
            mass = masses.sum(1)[:, None]
            weight.index_add_(0, places, _by_cell(mass if is_common else mass * terms.weight[image]).flatten(1))
        return [data, weight, scored]

    shares = shared_out(summed, part.members, part.slices.device)
    data, weight, scored = (functools.reduce(torch.Tensor.add_, each) for each in zip(*shares, strict=True))
    step.accumulator.add_slices(
        terms.group,
        part.rotations,
        part.slices,
        _complex(_by_child(data)),
        _by_child(weight) * terms.weight if is_common else _by_child(weight),
        terms.precision,
        _complex(_by_child(scored)) if is_masked else None,
    )


class _Cached:
    """Room for the slices of as many cells of an image as a core's own cache holds; of all of them on a GPU."""

    def __init__(self, cells: torch.Tensor, members: Sequence[_Member]):
        most = max(len(places) for _, places, _ in members)
        if cells.device.type == "cpu":
            most = min(most, max(1, _CACHED_BYTES // (cells.shape[1] * cells.element_size())))
        self._room = cells.new_empty(most, cells.shape[1])

    def runs(self, places: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
        """Runs of an image's cells, and the room for them."""
        for start in range(0, len(places), len(self._room)):
            some = slice(start, min(start + len(self._room), len(places)))
            yield some, self._room[: some.stop - some.start]


def _children_at(cells: slice) -> slice:
    return slice(CHILDREN * cells.start, CHILDREN * cells.stop)


def _by_child(cells: torch.Tensor) -> torch.Tensor:
    """Cells (n, 8 P) as their children (8 n, P)."""
    return cells.view(CHILDREN * len(cells), -1)


def _by_cell(values: torch.Tensor) -> torch.Tensor:
    """Rows of children (8 n, ...) as (n, 8, ...)."""
    return values.unflatten(0, (-1, CHILDREN))


def _children_of(values: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Rows (8 m, ...) of the children of m cells."""
    return _by_cell(values)[places].flatten(0, 1)


def _complex(values: torch.Tensor) -> torch.Tensor:
    return torch.view_as_complex(values.unflatten(1, (-1, 2)))
