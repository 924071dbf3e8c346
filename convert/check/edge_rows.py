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
        closed=frozenset(closed),
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
    empty = _with(base, column, "")
    if source.refuses(empty):
        return False
    return compare(source.answers(_with(base, column, np.nan)), source.answers(empty), tolerance).exact


def _specials(
    source: Source, frame: pd.DataFrame, columns: tuple[Column, ...], rng: np.random.Generator
) -> tuple[list[_Part], set[str]]:
    wanted = [(column, special) for column in columns[:_MAX_FEATURES] for special in special_values(column)]
    wanted = [(column, special) for column, special in wanted if _fits(frame[column.name].dtype, special.value)]
    each = max(1, min(_BASE_ROWS, len(frame), _MAX_SPECIAL_ROWS // max(len(wanted), 1)))
    base = frame.iloc[np.sort(rng.choice(len(frame), each, replace=False))]
    closed = {
        column.name
        for column, special in wanted
        if special.value == UNSEEN and source.refuses(_with(base, column, special.value))
    }
    texts = [(column, special) for column, special in wanted if not (column.name in closed and _is_text(special))]
    made = [
        _Part(_with(base, column, special.value), [f"{column.name} {special.about}"] * each, special.kind)
        for column, special in sorted(texts, key=lambda pair: pair[1].kind)
    ]
    return [part for _, parts in groupby(made, lambda part: part.kind) for part in _taken(source, list(parts))], closed


def _is_text(special: Special) -> bool:
    return isinstance(special.value, str)


def _taken(source: Source, parts: list[_Part]) -> list[_Part]:
    """The parts that the source model answers. A model that refuses values seen in the rows is at fault elsewhere."""
    if not parts or parts[0].kind is Kind.RIM:
        return parts
    if not source.refuses(pd.concat([part.frame for part in parts], ignore_index=True)):
        return parts
    return [part for part in parts if not source.refuses(part.frame)]


def _fits(dtype: Any, value: Any) -> bool:
    """An integer column holds only what its type holds."""
    if dtype.kind not in "iu" or not isinstance(value, int | float) or np.isnan(value):
        return True
    return bool(np.iinfo(dtype).min <= value <= np.iinfo(dtype).max)


def _with(base: pd.DataFrame, column: Column, value: Any) -> pd.DataFrame:
    held = int(value) if column.kind == "integer" else value
    return base.assign(**{column.name: pd.Series([held] * len(base), index=base.index, dtype=base[column.name].dtype)})


def _at_thresholds(
    source: Source, frame: pd.DataFrame, columns: tuple[Column, ...], rng: np.random.Generator
) -> Iterator[_Part]:
    if source.text:
        return
    names = [column.name for column in columns]
    places, values = thresholds_of(source.estimator, len(names), names)
    usable = np.flatnonzero([columns[place].kind in ("number", "integer") for place in places])
    chosen = np.sort(rng.choice(usable, min(_MAX_THRESHOLDS, len(usable)), replace=False))
    for place in np.unique(places[chosen]):
        here = values[chosen][places[chosen] == place]
        near, about = _neighbours(frame[names[place]], here)
        picked = frame.iloc[rng.integers(0, len(frame), len(near))].reset_index(drop=True)
        labels = [f"{names[place]} {text}" for text in about]
        yield _Part(picked.assign(**{names[place]: near}), labels, Kind.THRESHOLD)


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
