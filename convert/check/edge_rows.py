"""Rows at the rim of the training data and of the model: extremes, missing values, unseen categories, the thresholds of
its trees and their neighbours, ties of its decision, rows that it keeps, values far from everything.

Each edge row is a real row with one feature replaced (or two rows mixed, for a tie). Where the source model itself
refuses a value there is no such edge row; a feature that refuses unseen categories is marked closed, and the device
refuses them too. Another seed gives other rows, so that those which judge are not those which chose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convert.check.parity import Tolerance, compare
from convert.check.special_values import UNSEEN, Kind, Special, special_values
from convert.check.thresholds import stored_rows, thresholds_of
from convert.check.ties import find_ties
from convert.check.trial import Trial
from convert.read.columns import Column
from convert.read.source import Source

_BASE_ROWS = 4
_MAX_FEATURES = 256
_MAX_SPECIAL_ROWS = 2048
_MAX_THRESHOLDS = 512
_STORED_ROWS = 16
_ALIKE_ROWS = 64


@dataclass(frozen=True)
class EdgeRows:
    """`labels[i]` says what is special about row i and `kinds[i]` of which kind it is; `closed` names the features that
    take no unseen category, `empties` those whose empty text is another thing to the source model than a missing one.
    """

    frame: pd.DataFrame
    labels: tuple[str, ...]
    kinds: NDArray[np.str_]
    closed: frozenset[str]
    empties: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Part:
    """Some edge rows of one kind."""

    frame: pd.DataFrame
    labels: list[str]
    kind: Kind


@dataclass(frozen=True)
class _Swap:
    """A special value for one column."""

    column: Column
    special: Special

    @property
    def value(self) -> Any:
        """As the column holds it."""
        return int(self.special.value) if self.column.kind == "integer" else self.special.value


def make_edge_rows(source: Source, rows: Trial, columns: tuple[Column, ...], seed: int = 0) -> EdgeRows:
    """Edge rows built on rows of this trial: for at most the first 256 features and 512 thresholds."""
    rng = np.random.default_rng(seed)
    frame = rows.frame
    parts, closed = _specials(source, frame, columns, rng)
    parts += list(_at_thresholds(source, frame, columns, rng))
    parts += list(_stored(source, frame, rng))
    ties = find_ties(source, frame, rows.expected, rng)
    parts.append(_Part(ties, ["the mean of two rows, where the label turns"] * len(ties), Kind.TIE))
    kept = [part for part in parts if len(part.frame)]
    joined = pd.concat([part.frame for part in kept], ignore_index=True) if kept else frame.head(0)
    return EdgeRows(
        frame=joined.astype(frame.dtypes.to_dict()),
        labels=tuple(label for part in kept for label in part.labels),
        kinds=np.array([part.kind.value for part in kept for _ in part.labels], dtype=np.str_),
        closed=frozenset(closed) | {name for name, known in source.known(frame).items() if known.closed},
        empties=_told_from_missing(source, frame, columns, rows.tolerance),
    )


def _told_from_missing(
    source: Source, frame: pd.DataFrame, columns: tuple[Column, ...], tolerance: Tolerance
) -> frozenset[str]:
    """The text columns whose empty text the model answers otherwise than a missing one: a device sends both alike."""
    base = frame.head(_ALIKE_ROWS)
    texts = [column for column in columns[:_MAX_FEATURES] if column.kind == "string" and column.missing]
    return frozenset(column.name for column in texts if not _alike(source, base, column, tolerance))


def _alike(source: Source, base: pd.DataFrame, column: Column, tolerance: Tolerance) -> bool:
    missing, empty = (_replaced(base, {column.name: [(0, len(base), value)]}) for value in (np.nan, ""))
    if source.refuses(empty):
        return False
    return compare(source.answers(missing), source.answers(empty), tolerance).exact


def _specials(
    source: Source, frame: pd.DataFrame, columns: tuple[Column, ...], rng: np.random.Generator
) -> tuple[list[_Part], set[str]]:
    wanted = [_Swap(column, special) for column in columns[:_MAX_FEATURES] for special in special_values(column)]
    wanted = [swap for swap in wanted if _fits(frame[swap.column.name].dtype, swap.special.value)]
    each = max(1, min(_BASE_ROWS, len(frame), _MAX_SPECIAL_ROWS // max(len(wanted), 1)))
    base = frame.iloc[np.sort(rng.choice(len(frame), each, replace=False))].reset_index(drop=True)
    unseen = [swap for swap in wanted if swap.special.value == UNSEEN]
    closed = {swap.column.name for swap in unseen if source.refuses(_swapped(base, [swap]))}
    open_ones = [swap for swap in wanted if not (swap.column.name in closed and isinstance(swap.value, str))]
    parts = []
    by_kind = groupby(sorted(open_ones, key=lambda swap: swap.special.kind), lambda swap: swap.special.kind)
    for kind, alike in ((kind, list(group)) for kind, group in by_kind):
        # A model that refuses values seen in the rows is at fault elsewhere.
        kept = alike if kind is Kind.RIM else _answered(source, base, alike)
        labels = [f"{swap.column.name} {swap.special.about}" for swap in kept for _ in range(each)]
        parts.append(_Part(_swapped(base, kept), labels, kind))
    return parts, closed


def _answered(source: Source, base: pd.DataFrame, swaps: list[_Swap]) -> list[_Swap]:
    """The swaps that the source model answers, found by halving: some models take their time per call."""
    if not swaps or not source.refuses(_swapped(base, swaps)):
        return swaps
    if len(swaps) == 1:
        return []
    middle = len(swaps) // 2
    return _answered(source, base, swaps[:middle]) + _answered(source, base, swaps[middle:])


def _swapped(base: pd.DataFrame, swaps: list[_Swap]) -> pd.DataFrame:
    """The base rows once for each swap, with its value in its column."""
    each = len(base)
    places: dict[str, list[int]] = {}
    for place, swap in enumerate(swaps):
        places.setdefault(swap.column.name, []).append(place)
    values = {
        name: [(place * each, (place + 1) * each, swaps[place].value) for place in found]
        for name, found in places.items()
    }
    return _replaced(base.iloc[np.tile(np.arange(each), len(swaps))], values)


def _replaced(rows: pd.DataFrame, values: dict[str, list[tuple[int, int, Any]]]) -> pd.DataFrame:
    """The rows, numbered anew, with other values in some columns: from one place to another."""
    changed = {}
    for name, spans in values.items():
        column = rows[name].to_numpy(copy=True)
        for start, end, value in spans:
            column[start:end] = value
        changed[name] = column
    return rows.reset_index(drop=True).assign(**changed)


def _fits(dtype: Any, value: Any) -> bool:
    """An integer column holds only what its type holds."""
    if dtype.kind not in "iu" or not isinstance(value, int | float) or np.isnan(value):
        return True
    return bool(np.iinfo(dtype).min <= value <= np.iinfo(dtype).max)


def _at_thresholds(
    source: Source, frame: pd.DataFrame, columns: tuple[Column, ...], rng: np.random.Generator
) -> Iterator[_Part]:
    if source.text:
        return
    names = [column.name for column in columns]
    places, values = thresholds_of(source.estimator, len(names), names)
    usable = np.flatnonzero([columns[place].kind in ("number", "integer") for place in places])
    chosen = np.sort(rng.choice(usable, min(_MAX_THRESHOLDS, len(usable)), replace=False))
    spans: dict[str, list[tuple[int, int, Any]]] = {}
    labels: list[str] = []
    picked = [np.zeros(0, dtype=np.int64)]
    for place in np.unique(places[chosen]):
        here = values[chosen][places[chosen] == place]
        near, about = _neighbours(frame[names[place]], here)
        picked.append(rng.integers(0, len(frame), len(near)))
        spans[names[place]] = [(len(labels), len(labels) + len(near), near)]
        labels += [f"{names[place]} {text}" for text in about]
    yield _Part(_replaced(frame.iloc[np.concatenate(picked)], spans), labels, Kind.THRESHOLD)


def _neighbours(column: pd.Series, values: NDArray[np.float64]) -> tuple[NDArray[Any], list[str]]:
    """Each threshold with its neighbours, in the precision of the column's own values."""
    if column.dtype.kind in "iu":
        low, high = np.iinfo(column.dtype).min, np.iinfo(column.dtype).max
        near = [np.clip(side, low, high).astype(column.dtype) for side in (np.floor(values), np.floor(values) + 1)]
    elif _holds_float32(column):
        middle = values.astype(np.float32)
        steps = (np.float32(-np.inf), np.float32(np.inf))
        near = [np.asarray(side, dtype=np.float64) for side in (middle, *(np.nextafter(middle, to) for to in steps))]
    else:
        step = np.spacing(np.abs(values).astype(np.float32)).astype(np.float64)
        near = [values, values - step, values + step]
    about = ("on the threshold {:.9g} of a tree", "just below the threshold {:.9g}", "just above the threshold {:.9g}")
    told = about[1:] if len(near) == 2 else about
    return np.concatenate(near), [text.format(value) for text in told for value in values]


def _holds_float32(column: pd.Series) -> bool:
    values = column.to_numpy(dtype=np.float64)
    return bool(((values == values.astype(np.float32)) | np.isnan(values)).all())


def _stored(source: Source, frame: pd.DataFrame, rng: np.random.Generator) -> Iterator[_Part]:
    names = [str(name) for name in frame.columns]
    kept = None if source.text else stored_rows(source.estimator, len(names), names)
    if kept is None or any(frame[name].dtype.kind != "f" for name in names):
        return
    picked = kept[np.sort(rng.choice(len(kept), min(_STORED_ROWS, len(kept)), replace=False))]
    rows = pd.DataFrame(picked, columns=frame.columns)
    yield _Part(rows, ["a training row that the model keeps"] * len(rows), Kind.STORED)
