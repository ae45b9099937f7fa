"""Insertion tile by tile: what many large slices touch is more than a cache holds, so they go to one part at a time.

A tile is a square of rows (z, y) of the half-spectrum, whole in x. The pixels of every slice are put in the order of
the tiles that their points fall into; then every tile takes its pixels of all slices. A point on the last row of a tile
reaches into the next one, so that neighbours are not worked on at the same time: of four colours of tiles one is at
work. All threads share one accumulator, and the result does not depend on how many they are.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from torch import Tensor

from .trilinear_point_numba import STRIP, deposit, locate, wrap

__all__ = ["insert_by_tiles", "tiles_for"]

_CACHE_BYTES = 1 << 21  # slices that touch no more than this need no tiles
_TILE_BYTES = 1 << 18
_SORTED_PIXELS = 1 << 22  # at a time


def tiles_for(pixels: Tensor, scale: float, entry_bytes: int) -> int:
    """Tiles an axis, an even number; 0 where all entries that slices can touch fit into a cache."""
    reach = scale * float(pixels.abs().max()) if len(pixels) else 0.0
    if (2 * reach) ** 2 * reach * entry_bytes <= _CACHE_BYTES:
        return 0
    edge = math.sqrt(_TILE_BYTES / (reach * entry_bytes))
    return 2 * max(1, round(reach / edge))


def insert_by_tiles(
    data: np.ndarray | None,
    weights: np.ndarray | None,
    turns: np.ndarray,
    pixels: np.ndarray,
    total: np.ndarray,
    box: int,
    tiles: int,
) -> None:
    """Insert slices into one flat accumulator; there are no more tiles an axis than rows, and an even number."""
    tiles = min(tiles, box // 2 * 2)
    tile_of = (np.arange(box) * tiles // box).astype(np.int32)
    size = max(1, _SORTED_PIXELS // max(1, pixels.shape[1]))
    for start in range(0, len(turns), size):
        some = slice(start, start + size)
        order, ends = _in_order(turns[some], pixels, tile_of, tiles, box)
        _insert(
            None if data is None else data[some],
            None if weights is None else weights[some],
            turns[some],
            pixels,
            order,
            ends,
            total,
            box,
            tiles,
        )


@numba.njit(cache=True, parallel=True, error_model="numpy")
def _in_order(
    turns: np.ndarray, pixels: np.ndarray, tile_of: np.ndarray, tiles: int, box: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (M, P) of every slice in the order of their tiles, and the end (M, tiles**2) of each tile's run."""
    count = pixels.shape[1]
    order = np.empty((len(turns), count), np.uint32)
    ends = np.zeros((len(turns), tiles * tiles), np.uint32)
    for m in numba.prange(len(turns)):
        kind, turn = turns.dtype.type, turns[m]
        xx, xy, yx, yy, zx, zy = turn[0, 0], turn[0, 1], turn[1, 0], turn[1, 1], turn[2, 0], turn[2, 1]
        rows, tile = np.empty((2, count), np.int32), np.empty(count, np.int32)
        for p in range(count):
            kx, ky = pixels[0, p], pixels[1, p]
            sign = kind(1) if xx * kx + xy * ky >= 0 else kind(-1)  # as `locate` does
            rows[0, p] = wrap(np.int32(np.floor(sign * (yx * kx + yy * ky))), box)
            rows[1, p] = wrap(np.int32(np.floor(sign * (zx * kx + zy * ky))), box)
        end = ends[m]
        for p in range(count):
            tile[p] = tile_of[rows[1, p]] * tiles + tile_of[rows[0, p]]
            end[tile[p]] += 1
        before = 0
        for t in range(len(end)):
            before, end[t] = before + end[t], before
        for p in range(count):
            order[m, end[tile[p]]] = p
            end[tile[p]] += 1
    return order, ends


@numba.njit(cache=True, parallel=True, error_model="numpy", fastmath={"contract", "nsz"})
def _insert(
    data: np.ndarray | None,
    weights: np.ndarray | None,
    turns: np.ndarray,
    pixels: np.ndarray,
    order: np.ndarray,
    ends: np.ndarray,
    total: np.ndarray,
    box: int,
    tiles: int,
) -> None:
    half = tiles // 2
    for colour in range(4):
        for k in numba.prange(half * half):
            tile = (2 * (k // half) + colour // 2) * tiles + 2 * (k % half) + colour % 2
            corners, places = np.empty((4, STRIP), np.uint32), np.empty((4, STRIP), turns.dtype)
            columns, rows = np.empty(STRIP, turns.dtype), np.empty(STRIP, turns.dtype)
            for m in range(len(turns)):
                values = None if data is None else data[m]
                lumps = None if weights is None else weights[m]
                first = np.int64(ends[m, tile - 1]) if tile > 0 else 0
                for start in range(first, np.int64(ends[m, tile]), STRIP):
                    own = order[m, start : min(start + STRIP, np.int64(ends[m, tile]))]
                    for p in range(len(own)):
                        columns[p], rows[p] = pixels[0, own[p]], pixels[1, own[p]]
                    locate(turns[m], columns[: len(own)], rows[: len(own)], box, corners, places)
                    for p in range(len(own)):
                        deposit(values, lumps, own[p], corners, places, p, total)
