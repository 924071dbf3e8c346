"""Where a fitted model compares float64 numbers, and where float32 could take the wrong side. Pure.

HistGradientBoosting and LightGBM compare float64 with their thresholds, binning and binarizing steps with their edges,
encoders with the numbers that are their categories. float32 takes a value for a limit where both round to one number.
A value that equals its limit stays equal; but where rounding already makes one of many values, another value may lie
beside it tomorrow, on the other side. So may one on the threshold amid two values of a grid (hundredths of a
dollar), when the value between was not shown. (Other trees compare float32, and interpolating steps do not jump.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_selection import SelectFromModel
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import Binarizer, KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, TargetEncoder

from convert.check import thresholds
from convert.check.thresholds import Reals, View
from convert.export.trees.remembered import remembered
from convert.read.columns import Column

Compared = tuple[NDArray[Any], NDArray[Any]]

_DEEPEST = 8
# Of ten thousand ordinary values two or three pairs round to one float32 by chance.
_MERGED_SHARE = 0.01
# Values of a column that is measured on no grid hardly ever repeat.
_DISTINCT_SHARE = 0.95
_ON_GRID = 1e-3


@dataclass(frozen=True)
class Limits:
    """Numbers that one column of the rows is compared with. `place`: which column, as it comes; None where steps before
    have computed what is compared.
    """

    place: int | None
    values: Reals


def limits_of(estimator: Any, names: list[str]) -> list[Limits]:
    """All comparisons in float64 that the estimator makes, of rows with columns of these names."""
    found: list[Limits] = []
    for part, view in views(estimator, names):
        own = _own(part)
        if own is not None:
            found += _seen(*own, view)
    return found


def views(estimator: Any, names: list[str]) -> Iterator[tuple[Any, View]]:
    """Every estimator in this one that is no pipeline, with the columns of the rows that it sees."""
    return _walk(estimator, thresholds.unscaled(len(names)), names, 0)


def mark(estimator: Any, frame: pd.DataFrame, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """The columns, those marked in which float32 could confuse a value with what it is compared with."""
    limits: dict[int, list[Reals]] = {}
    for one in limits_of(estimator, [column.name for column in columns]):
        if one.place is not None:
            limits.setdefault(one.place, []).append(one.values)
    return tuple(
        replace(column, confusable=True) if place in limits and _confused(column, frame, limits[place]) else column
        for place, column in enumerate(columns)
    )


def _confused(column: Column, frame: pd.DataFrame, limits: list[Reals]) -> bool:
    if column.kind not in ("number", "integer"):
        return False
    return confuses(frame[column.name].to_numpy(dtype=np.float64), np.concatenate(limits))


def confuses(values: Reals, limits: Reals) -> bool:
    """True when float32 makes one number of a limit and a value that differ, shown or to be expected."""
    known, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    limits = np.unique(limits[np.isfinite(limits)])
    with np.errstate(over="ignore"):
        narrow, rounded = known.astype(np.float32), limits.astype(np.float32)
    near = np.searchsorted(narrow, rounded, side="right") - np.searchsorted(narrow, rounded, side="left")
    merged = len(known) - len(np.unique(narrow)) > _MERGED_SHARE * len(known)
    equal = np.zeros(len(limits), dtype=np.int64) if merged else np.isin(limits, known).astype(np.int64)
    if (near > equal).any():
        return True
    rough = not np.array_equal(narrow, known) and len(known) < _DISTINCT_SHARE * counts.sum()
    return bool(rough) and _on_grid(known, limits[near == 0])


def _on_grid(known: Reals, limits: Reals) -> bool:
    """True when some limit between two values is a whole number of the smallest step away from them."""
    gaps = np.diff(known)
    gaps = gaps[gaps > np.spacing(np.float32(np.abs(known).max()))]
    places = np.searchsorted(known, limits)
    inside = (places > 0) & (places < len(known))
    if len(gaps) == 0 or not inside.any():
        return False
    steps = (limits[inside] - known[places[inside] - 1]) / gaps.min()
    return bool((np.abs(steps - np.rint(steps)) < _ON_GRID).any())


def _walk(estimator: Any, view: View, names: list[str], depth: int) -> Iterator[tuple[Any, View]]:
    if depth > _DEEPEST or estimator is None or isinstance(estimator, str | SelectFromModel):
        return
    if isinstance(estimator, Pipeline):
        for _, step in estimator.steps:
            yield from _walk(step, view, names, depth + 1)
            view = thresholds.after(step, view, names)
        return
    yield estimator, view
    for part, columns in _parts(estimator, names, len(view.place)):
        yield from _walk(part, view if columns is None else view.take(columns), names, depth + 1)


def _parts(estimator: Any, names: list[str], width: int) -> Iterator[tuple[Any, NDArray[np.int64] | None]]:
    if isinstance(estimator, FeatureUnion):
        yield from ((part, None) for _, part in estimator.transformer_list)
    elif isinstance(estimator, ColumnTransformer):
        for _, part, columns in estimator.transformers_:
            chosen = thresholds.positions(columns, names, width)
            if chosen is not None:
                yield part, chosen
    else:
        yield from thresholds.members(estimator)


def _own(estimator: Any) -> Compared | None:
    """Columns and values that the estimator itself compares."""
    if isinstance(estimator, HistGradientBoostingClassifier | HistGradientBoostingRegressor):
        return thresholds.hist_thresholds(estimator)
    if hasattr(estimator, "booster_") or hasattr(estimator, "get_booster"):
        return _joined(thresholds.light_thresholds(estimator) if hasattr(estimator, "booster_") else None, estimator)
    if isinstance(estimator, KBinsDiscretizer):
        return _listed([np.asarray(edges, dtype=np.float64) for edges in estimator.bin_edges_])
    if isinstance(estimator, Binarizer):
        return _listed([np.array([float(estimator.threshold)])] * estimator.n_features_in_)
    if isinstance(estimator, OneHotEncoder | OrdinalEncoder | TargetEncoder):
        return _listed([_numbers(known) for known in estimator.categories_])
    return None


def _joined(compared: Compared | None, booster: Any) -> Compared | None:
    """What a model of LightGBM or XGBoost compares, and the numbers that are its categories."""
    found = [] if compared is None else [compared]
    told = remembered(booster)
    if told is not None and len(told.marked) == len(told.values):
        values = [_numbers(part) for part in told.values]
        places = np.repeat(told.marked, [len(part) for part in values])
        found.append((places, np.concatenate(values)))
    if not found:
        return None
    features, limits = zip(*found, strict=True)
    return np.concatenate(features), np.concatenate(limits)


def _numbers(known: NDArray[Any]) -> Reals:
    return known.astype(np.float64) if known.dtype.kind in "iuf" else np.zeros(0)


def _listed(values: list[Reals]) -> tuple[NDArray[Any], NDArray[Any]]:
    places = np.repeat(np.arange(len(values)), [len(part) for part in values])
    return places, np.concatenate(values) if values else np.zeros(0)


def _seen(feature: NDArray[Any], values: NDArray[Any], view: View) -> Iterator[Limits]:
    for column in np.unique(feature).astype(np.int64).tolist():
        if column >= len(view.place):
            continue
        as_it_comes = view.place[column] >= 0 and view.scale[column] == 1 and view.offset[column] == 0
        yield Limits(
            int(view.place[column]) if as_it_comes else None, np.asarray(values[feature == column], np.float64)
        )
