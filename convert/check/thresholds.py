"""Where a fitted model changes its mind: the thresholds of all trees in it, told in the rows' own columns.

Walks pipelines, column transformers and ensembles, and maps thresholds back through scalers (`x · scale + offset`).
What it does not know it leaves out: a threshold that is missed costs an edge row, never a wrong verdict.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

Reals = NDArray[np.float64]
_MEMBERS = (
    "estimators_",
    "estimator_",
    "regressor_",
    "final_estimator_",
    "calibrated_classifiers_",
    "best_estimator_",
    "estimator",
)
_DEEPEST = 8


@dataclass(frozen=True)
class View:
    """The columns that a step sees: column i is `scale[i] × row[place[i]] + offset[i]`; place -1 where not known."""

    place: NDArray[np.int64]
    scale: Reals
    offset: Reals

    def take(self, columns: NDArray[np.int64]) -> View:
        """Some of the columns."""
        return View(self.place[columns], self.scale[columns], self.offset[columns])

    def then(self, scale: Reals, offset: Reals) -> View:
        """The columns after another scaling."""
        return View(self.place, self.scale * scale, self.offset * scale + offset)


def unscaled(width: int) -> View:
    """The rows as they come."""
    return View(np.arange(width), np.ones(width), np.zeros(width))


def unknown(width: int) -> View:
    """Columns that are no scaled columns of the rows."""
    return View(np.full(width, -1), np.ones(width), np.zeros(width))


def thresholds_of(estimator: Any, width: int, names: list[str]) -> tuple[NDArray[np.int64], Reals]:
    """Columns and values of all finite thresholds, each pair once, sorted."""
    found = [pair for pair in _walk(estimator, unscaled(width), names, 0) if len(pair[0])]
    if not found:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    pairs = np.unique(np.column_stack([np.concatenate(part) for part in zip(*found, strict=True)]), axis=0)
    return pairs[:, 0].astype(np.int64), pairs[:, 1]


def stored_rows(estimator: Any, width: int, names: list[str]) -> Reals | None:
    """Training rows that the model keeps (neighbours), as rows of its input; None where it keeps none."""
    view, last = unscaled(width), estimator
    while isinstance(last, Pipeline):
        for _, step in last.steps[:-1]:
            view = after(step, view, names)
        last = last.steps[-1][1]
    kept = getattr(last, "_fit_X", None)
    complete = sorted(view.place.tolist()) == list(range(width))
    if not isinstance(kept, np.ndarray) or kept.ndim != 2 or kept.shape[1] != width or not complete:
        return None
    rows = np.empty(kept.shape)
    rows[:, view.place] = (kept - view.offset) / view.scale
    return rows


def _walk(estimator: Any, view: View, names: list[str], depth: int) -> Iterator[tuple[Reals, Reals]]:
    if depth > _DEEPEST or estimator is None or isinstance(estimator, str):
        return
    if isinstance(estimator, Pipeline):
        for _, step in estimator.steps[:-1]:
            view = after(step, view, names)
        yield from _walk(estimator.steps[-1][1], view, names, depth + 1)
        return
    own = _own_thresholds(estimator)
    if own is not None:
        yield _mapped(*own, view)
        return
    for member, columns in members(estimator):
        yield from _walk(member, view if columns is None else view.take(columns), names, depth + 1)


def members(estimator: Any) -> Iterator[tuple[Any, NDArray[np.int64] | None]]:
    """The fitted estimators that it is made of, with the columns each one sees (None: all)."""
    for name in _MEMBERS:
        held = getattr(estimator, name, None)
        if held is None:
            continue
        members = list(np.ravel(np.asarray(held, dtype=object))) if isinstance(held, list | np.ndarray) else [held]
        columns = getattr(estimator, "estimators_features_", None) if name == "estimators_" else None
        for index, member in enumerate(members):
            yield member, None if columns is None else np.asarray(columns[index], dtype=np.int64)
        return


def _own_thresholds(estimator: Any) -> tuple[NDArray[Any], NDArray[Any]] | None:
    if hasattr(estimator, "tree_"):
        inner = estimator.tree_.children_left >= 0
        return estimator.tree_.feature[inner], estimator.tree_.threshold[inner]
    if isinstance(estimator, HistGradientBoostingClassifier | HistGradientBoostingRegressor):
        return hist_thresholds(estimator)
    if hasattr(estimator, "booster_"):
        return light_thresholds(estimator)
    if hasattr(estimator, "get_booster"):
        return _xgboost(estimator)
    return None


def hist_thresholds(estimator: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features and values of a HistGradientBoosting model's thresholds."""
    nodes = np.concatenate([tree.nodes for turn in estimator._predictors for tree in turn])
    nodes = nodes[(nodes["is_leaf"] == 0) & (nodes["is_categorical"] == 0)]
    feature = nodes["feature_idx"].astype(np.int64)
    marked = estimator.is_categorical_
    if marked is not None and getattr(estimator, "_preprocessor", None) is not None:
        # Its trees see the categorical columns first.
        feature = np.concatenate([np.flatnonzero(marked), np.flatnonzero(~np.asarray(marked))])[feature]
    return feature, nodes["num_threshold"]


def light_thresholds(estimator: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features and values of a LightGBM model's thresholds."""
    features, values = [], []
    waiting = [tree["tree_structure"] for tree in estimator.booster_.dump_model()["tree_info"]]
    while waiting:
        node = waiting.pop()
        if "split_feature" not in node:
            continue
        if node["decision_type"] == "<=":
            features.append(int(node["split_feature"]))
            values.append(float(node["threshold"]))
        waiting += [node["left_child"], node["right_child"]]
    return np.asarray(features, dtype=np.int64), np.asarray(values, dtype=np.float64)


def _xgboost(estimator: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    booster = estimator.get_booster()
    table = booster.trees_to_dataframe()
    table = table[(table["Feature"] != "Leaf") & table["Split"].notna()]
    known = booster.feature_names or [f"f{i}" for i in range(booster.num_features())]
    place = {name: index for index, name in enumerate(known)}
    return table["Feature"].map(place).to_numpy(dtype=np.int64), table["Split"].to_numpy(dtype=np.float64)


def _mapped(feature: NDArray[Any], value: NDArray[Any], view: View) -> tuple[Reals, Reals]:
    feature = np.asarray(feature, dtype=np.int64)
    inside = feature < len(view.place)
    feature, value = feature[inside], np.asarray(value, dtype=np.float64)[inside]
    with np.errstate(all="ignore"):
        back = (value - view.offset[feature]) / view.scale[feature]
    usable = np.isfinite(back) & (view.place[feature] >= 0) & (np.abs(back) < np.finfo(np.float32).max)
    return view.place[feature][usable].astype(np.float64), back[usable]


def after(step: Any, view: View, names: list[str]) -> View:
    """What the step that follows this one sees."""
    if step is None or step == "passthrough" or (isinstance(step, FunctionTransformer) and step.func is None):
        return view  # a column transformer passes columns on by such a function
    if isinstance(step, Pipeline):
        for _, inner in step.steps:
            view = after(inner, view, names)
        return view
    if isinstance(step, ColumnTransformer):
        return _after_columns(step, view, names)
    affine = _affine(step, len(view.place))
    if affine is not None:
        return view.then(*affine)
    return unknown(_width_out(step, len(view.place)))


def _affine(step: Any, width: int) -> tuple[Reals, Reals] | None:
    """Scale and offset of a scaler of scikit-learn, column by column."""
    ones, zeros = np.ones(width), np.zeros(width)
    if isinstance(step, SimpleImputer) and not step.add_indicator and len(step.statistics_) == width:
        return ones, zeros
    if isinstance(step, MinMaxScaler):
        return step.scale_, step.min_
    if isinstance(step, MaxAbsScaler):
        return 1 / step.scale_, zeros
    if isinstance(step, StandardScaler | RobustScaler):
        centre = getattr(step, "mean_", None) if isinstance(step, StandardScaler) else step.center_
        centred = step.with_mean if isinstance(step, StandardScaler) else step.with_centering
        scale = ones if step.scale_ is None else 1 / step.scale_
        return scale, -np.asarray(centre) * scale if centred else zeros
    return None


def _after_columns(step: ColumnTransformer, view: View, names: list[str]) -> View:
    parts: dict[int, View] = {}
    for name, inner, columns in step.transformers_:
        place = step.output_indices_.get(name)
        if place is None or place.stop == place.start:
            continue
        chosen = positions(columns, names, len(view.place))
        width = place.stop - place.start
        seen = unknown(width) if chosen is None else after(inner, view.take(chosen), names)
        parts[place.start] = seen if len(seen.place) == width else unknown(width)
    ordered = [parts[start] for start in sorted(parts)]
    if not ordered:
        return unknown(0)
    return View(*(np.concatenate([getattr(part, line) for part in ordered]) for line in ("place", "scale", "offset")))


def positions(columns: Any, names: list[str], width: int) -> NDArray[np.int64] | None:
    """The places of a column transformer's columns; None where that is not known."""
    listed = list(columns) if isinstance(columns, list | tuple | np.ndarray) else [columns]
    if all(isinstance(name, str) and name in names for name in listed):
        return np.array([names.index(name) for name in listed], dtype=np.int64)
    if all(isinstance(place, int | np.integer) and not isinstance(place, bool | np.bool_) for place in listed):
        return np.array(listed, dtype=np.int64) % max(width, 1)
    return None


def _width_out(step: Any, width: int) -> int:
    try:
        return len(step.get_feature_names_out())
    except (AttributeError, ValueError, TypeError):
        return width
