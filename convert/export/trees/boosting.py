"""Gradient boosting and HistGradientBoosting of scikit-learn as ONNX operators.

The trees of class k add to sum k, a baseline is added, and the sums become probabilities. HistGradientBoosting compares
float64: where its rows arrive as float64, thresholds and sums stay so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from convert.export.trees import ensemble, initial
from convert.export.trees.ensemble import Forest
from convert.export.trees.fitted import (
    Reals,
    Tree,
    boosted,
    categories_of,
    grown,
    round_down,
    round_nearest,
)
from convert.export.trees.inputs import numbered
from convert.export.trees.lookup import float32_rows
from convert.export.writer import DOUBLE, FLOAT, Writer


def classify(writer: Writer) -> None:
    """Label and probabilities. Of two classes the first one's sum is 0, and softmax is then the logistic function."""
    model = writer.model
    binary = len(model.classes_) == 2
    hist = hasattr(model, "_predictors")
    trees, baseline = (_hist if hist else _classic)(model)
    scale = 2.0 if getattr(model, "loss", "") == "exponential" else 1.0  # scikit-learn: expit(2 × raw)
    if binary:
        trees = [replace(tree, target=tree.target + 1, weight=tree.weight * scale) for tree in trees]
        baseline = np.array([0.0, baseline.item() * scale])
    raw, element = _summed(writer, _started(trees, baseline), baseline.size)
    if not (hist or initial.constant(model)):
        start = initial.scores(writer)
        if binary:
            both = np.array([[0.0, scale]])
            start = writer.node("Mul", start, writer.numbers(both, DOUBLE))
        raw, element = writer.node("Add", start, writer.cast(raw, DOUBLE, element)), DOUBLE
    # A tie is the first class to HistGradientBoosting and the second one to gradient boosting of two classes.
    label = writer.node("ArgMax", raw, axis=1, keepdims=0, select_last_index=int(binary and not hist))
    writer.finish_label(label)
    if not writer.decision:
        raw = writer.node("Softmax", raw, axis=1)
    elif binary and scale != 1.0:
        raw = writer.node("Div", raw, writer.numbers([scale], element))
    writer.finish(1, writer.cast(raw, writer.output_type(1), element))


def _started(trees: list[Tree], baseline: Reals) -> list[Tree]:
    """The baseline moved into the first turn's trees: one operator less. Log-odds are small enough for that."""
    turn = len(np.unique([tree.target[0] for tree in trees]))
    first = [replace(tree, weight=tree.weight + baseline[tree.target[0]]) for tree in trees[:turn]]
    return first + trees[turn:]


def regress(writer: Writer) -> None:
    """The value; its logarithm is what Poisson and gamma losses sum."""
    trees, baseline = (_hist if hasattr(writer.model, "_predictors") else _classic)(writer.model)
    raw, element = _summed(writer, trees, 1)
    if hasattr(writer.model, "_predictors") or initial.constant(writer.model):
        raw = writer.node("Add", raw, writer.numbers(baseline, element))
    else:
        raw, element = writer.node("Add", initial.values(writer), writer.cast(raw, DOUBLE, element)), DOUBLE
    if getattr(writer.model, "loss", "") in ("poisson", "gamma"):
        raw = writer.node("Exp", raw)
    writer.finish(0, writer.cast(raw, writer.output_type(0), element))


def _summed(writer: Writer, trees: list[Tree], targets: int) -> tuple[str, int]:
    """The sums [rows, targets] and their element type."""
    hist = hasattr(writer.model, "_predictors")
    element = DOUBLE if hist and writer.input_type != FLOAT else FLOAT
    rows = numbered(writer, categories_of(writer.model), element) if hist else float32_rows(writer)
    splits = [_split(tree, element, hist=hist) for tree in trees]
    return ensemble.add(writer, rows, Forest(trees, splits, targets, writer.missing)), element


def _split(tree: Tree, element: int, *, hist: bool) -> Any:
    if element == DOUBLE:
        return tree.threshold
    return round_nearest(tree.threshold) if hist else round_down(tree.threshold)


def _hist(model: Any) -> tuple[list[Tree], Reals]:
    categories = categories_of(model)
    trees = [boosted(tree, k, categories) for turn in model._predictors for k, tree in enumerate(turn)]
    return trees, np.ravel(model._baseline_prediction)


def _classic(model: Any) -> tuple[list[Tree], Reals]:
    baseline = np.zeros(model.n_trees_per_iteration_)
    if initial.constant(model):
        baseline = model._raw_predict_init(np.zeros((1, model.n_features_in_), dtype=np.float32))
    trees = [
        grown(each.tree_, np.full(each.tree_.node_count, k), model.learning_rate * each.tree_.value[:, 0, 0])
        for turn in model.estimators_
        for k, each in enumerate(turn)
    ]
    return trees, np.ravel(baseline)
