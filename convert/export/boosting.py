"""Gradient boosting and HistGradientBoosting of scikit-learn as ONNX operators.

The trees of class k add to sum k, a baseline is added, and the sums become probabilities. HistGradientBoosting compares
float64: where its rows arrive as float64, thresholds and sums stay so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier

from convert.export.ensemble import Forest
from convert.export.refusal import NotExportable
from convert.export.trees import Categories, Tree, boosted, categories_of, grown, round_down, round_nearest
from convert.export.writer import DOUBLE, FLOAT, INT64, Writer


def classify(writer: Writer, *, missing: bool) -> None:
    """Label and probabilities."""
    raw, element = _raw(writer, missing=missing)
    if len(writer.model.classes_) == 2:
        _binary(writer, raw, element)
        return
    writer.finish_label(writer.node("ArgMax", raw, axis=1, keepdims=0))
    writer.finish(1, writer.cast(writer.node("Softmax", raw, axis=1), writer.output_type(1), element))


def _binary(writer: Writer, raw: str, element: int) -> None:
    # A raw value of exactly 0 is the first class to one of them and the second class to the other.
    hist = isinstance(writer.model, HistGradientBoostingClassifier)
    positive = writer.node("Greater" if hist else "GreaterOrEqual", raw, _number(writer, 0.0, element))
    place = writer.node("Squeeze", writer.cast(positive, INT64), writer.constant(np.array([1])))
    writer.finish_label(place)
    if getattr(writer.model, "loss", "") == "exponential":
        raw = writer.node("Mul", raw, _number(writer, 2.0, element))
    share = writer.node("Sigmoid", raw)
    rest = writer.node("Sub", _number(writer, 1.0, element), share)
    writer.finish(1, writer.cast(writer.node("Concat", rest, share, axis=1), writer.output_type(1), element))


def regress(writer: Writer, *, missing: bool) -> None:
    """The value; its logarithm is what Poisson and gamma losses sum."""
    raw, element = _raw(writer, missing=missing)
    if getattr(writer.model, "loss", "") in ("poisson", "gamma"):
        raw = writer.node("Exp", raw)
    writer.finish(0, writer.cast(raw, writer.output_type(0), element))


def _raw(writer: Writer, *, missing: bool) -> tuple[str, int]:
    """The sums with the baseline, [rows, k], and their element type."""
    model = writer.model
    hist = hasattr(model, "_predictors")
    element = DOUBLE if hist and writer.input_type != FLOAT else FLOAT
    rows = writer.cast(writer.input, element, writer.input_type)
    if hist:
        categories = categories_of(model)
        rows = _numbered(writer, rows, categories, element)
        trees = [boosted(tree, k, categories) for turn in model._predictors for k, tree in enumerate(turn)]
        baseline = np.asarray(model._baseline_prediction)
    else:
        trees, baseline = _classic(model)
    splits = [_split(tree, element, hist=hist) for tree in trees]
    sums = writer.trees(rows, Forest(trees, splits, baseline.size, missing))
    return writer.node("Add", sums, writer.constant(baseline.reshape(1, -1).astype(_numpy(element)))), element


def _numbered(writer: Writer, rows: str, categories: Categories, element: int) -> str:
    """The rows as the trees read them: each category by its number, then the other columns."""
    if not categories.columns:
        return rows
    parts = []
    for column, values in zip(categories.columns, categories.values, strict=True):
        keys = values.astype(_numpy(element))
        numbers = np.arange(len(keys), dtype=keys.dtype)
        parts.append(writer.encode(writer.columns(rows, [column]), keys, numbers))
    if categories.rest:
        parts.append(writer.columns(rows, list(categories.rest)))
    return writer.node("Concat", *parts, axis=1)


def _split(tree: Tree, element: int, *, hist: bool) -> Any:
    if element == DOUBLE:
        return tree.threshold
    return round_nearest(tree.threshold) if hist else round_down(tree.threshold)


def _classic(model: Any) -> tuple[list[Tree], Any]:
    if not (isinstance(model.init_, DummyClassifier | DummyRegressor) or model.init_ == "zero"):
        raise NotExportable("it starts from another model (init=…)")
    baseline = model._raw_predict_init(np.zeros((1, model.n_features_in_), dtype=np.float32))
    trees = [
        grown(each.tree_, np.full(each.tree_.node_count, k), model.learning_rate * each.tree_.value[:, 0, 0])
        for turn in model.estimators_
        for k, each in enumerate(turn)
    ]
    return trees, baseline


def _number(writer: Writer, value: float, element: int) -> str:
    return writer.constant(np.array([value], dtype=_numpy(element)))


def _numpy(element: int) -> type[Any]:
    return np.float64 if element == DOUBLE else np.float32
