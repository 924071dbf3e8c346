"""Quantised weights: finds the scales of which float32 numbers are small whole multiples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_WHOLE = 32767
_LEVELS = (127, 32767, 255, 128, 63, 31, 15, 7, *range(1, 127))
_SAMPLE = 64
_FEW = 16  # a column this short is no grid that pays


@dataclass(frozen=True)
class Grid:
    """Number i is `scales[i // inner % len(scales)] * whole[i]` in float32."""

    scales: NDArray[np.float32]
    inner: int
    whole: NDArray[np.int64]


def find_grid(values: NDArray[Any], shape: Sequence[int]) -> Grid | None:
    """The grid of float32 `values` [n]: one scale for all, for each last index, or for each first index of `shape`."""
    if len(values) < _FEW or not np.isfinite(values).all():
        return None
    for outer, inner in _groupings(len(values), shape):
        grouped = values.reshape(-1, outer, inner).transpose(1, 0, 2).reshape(outer, -1)
        with np.errstate(all="ignore"):  # thresholds near the largest float32 are no weights, but are tried
            found = _scales(grouped)
        if found is not None:
            scales = np.tile(np.repeat(found, inner), len(values) // (outer * inner))
            return Grid(found, inner, np.rint(values / scales).astype(np.int64))
    return None


def _groupings(count: int, shape: Sequence[int]) -> Iterator[tuple[int, int]]:
    yield 1, count
    if len(shape) > 1 and int(np.prod(shape)) == count:
        yield shape[-1], 1
        yield shape[0], count // shape[0]


def _scales(groups: NDArray[Any]) -> NDArray[np.float32] | None:
    """One scale a row of `groups`, or None when a row has none."""
    largest = np.abs(groups).max(axis=1)
    scales = np.ones(len(groups), dtype=np.float32)
    open_rows = np.flatnonzero(largest)
    for level in _LEVELS:
        for step in (0, 1, -1):
            scale = (largest[open_rows] / np.float32(level)).astype(np.float32)
            if step:
                scale = np.nextafter(scale, np.float32(np.inf * step))
            fits = _fit(groups[open_rows, :_SAMPLE], scale)
            fits[fits] = _fit(groups[open_rows[fits]], scale[fits])
            scales[open_rows[fits]] = scale[fits]
            open_rows = open_rows[~fits]
            if len(open_rows) == 0:
                return scales
    return None


def _fit(groups: NDArray[Any], scale: NDArray[np.float32]) -> NDArray[np.bool_]:
    whole = np.rint(groups / scale[:, None]) + 0.0  # whole numbers have no negative zero
    same = (whole.astype(np.float32) * scale[:, None]).view(np.uint32) == groups.view(np.uint32)
    fits: NDArray[np.bool_] = (same & (np.abs(whole) <= MAX_WHOLE)).all(axis=1)
    return fits
