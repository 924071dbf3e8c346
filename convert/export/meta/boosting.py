"""AdaBoost: weighted votes of classifiers, the weighted median of regressors.

Plain trees become one operator: each adds its weight to the class that it predicts, or its value to a sum of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from convert.export.meta import asking
from convert.export.trees import ensemble
from convert.export.trees.ensemble import Forest
from convert.export.trees.fitted import Tree, grown
from convert.export.writer import DOUBLE, FLOAT, INT64, Writer


def classify(writer: Writer) -> None:
    """AdaBoostClassifier (SAMME): https://doi.org/10.4310/SII.2009.v2.n3.a8; scikit-learn's `decision_function`."""
    model = writer.model
    width = len(model.classes_)
    if width == 1:
        _certain(writer)
        return
    weights = model.estimator_weights_[: len(model.estimators_)]
    votes = _tree_votes(writer, weights) if _are_trees(model) else _votes(writer, weights)
    scale = 1 / model.estimator_weights_.sum()
    if width == 2:  # twice what the second class has more of
        table = np.array([[-2.0 * scale], [2.0 * scale]])
        decision = writer.node("MatMul", votes, writer.constant(table))
        chosen = writer.node("Greater", decision, writer.constant(np.zeros(1)))
        flat = writer.node("Squeeze", writer.node("Cast", chosen, to=INT64), writer.constant(np.array([1])))
        halves = writer.node("MatMul", decision, writer.constant(np.array([[-0.5, 0.5]])))
    else:
        share = writer.node("Mul", votes, writer.constant(np.array([scale * width / (width - 1)])))
        decision = writer.node("Sub", share, writer.constant(np.array([1 / (width - 1)])))
        flat = asking.chosen(writer, decision)
        halves = writer.node("Div", decision, writer.constant(np.array([width - 1.0])))
    writer.finish_label(flat)
    numbers = decision if writer.decision else writer.node("Softmax", halves, axis=1)
    writer.finish(1, writer.cast(numbers, writer.output_type(1), DOUBLE))


def _certain(writer: Writer) -> None:
    votes = _votes(writer, np.ones(len(writer.model.estimators_)))
    writer.finish_label(asking.chosen(writer, votes))
    ones = writer.node("Div", votes, votes)
    writer.finish(1, writer.cast(ones, writer.output_type(1), DOUBLE))


def _are_trees(model: Any) -> bool:
    kinds = (DecisionTreeClassifier, ExtraTreeClassifier, DecisionTreeRegressor, ExtraTreeRegressor)
    return all(type(part) in kinds and part.n_outputs_ == 1 for part in model.estimators_)


def _votes(writer: Writer, weights: Any) -> str:
    """[rows, classes] float64: the weights of those that chose each class."""
    width = len(writer.model.classes_)
    parts = []
    for part, weight in zip(writer.model.estimators_, weights, strict=True):
        place = asking.places(writer, asking.classify(writer, part), writer.model.classes_)
        mark = writer.cast(asking.marked(writer, place, width), DOUBLE, writer.element)
        parts.append(writer.node("Mul", mark, writer.constant(np.array([weight], dtype=np.float64))))
    return asking.added(writer, parts)


def _tree_votes(writer: Writer, weights: Any) -> str:
    classes = writer.model.classes_
    trees = []
    for part, weight in zip(writer.model.estimators_, weights, strict=True):
        target = np.searchsorted(classes, part.classes_)[part.tree_.value[:, 0, :].argmax(axis=1)]
        trees.append(grown(part.tree_, target.astype(np.int64), np.full(part.tree_.node_count, float(weight))))
    return _forest(writer, trees, len(classes))


def _forest(writer: Writer, trees: list[Tree], targets: int) -> str:
    """Sums in float64. scikit-learn's trees read their rows as float32."""
    rows = writer.cast(writer.cast(writer.input, FLOAT, writer.input_type), DOUBLE, FLOAT)
    return ensemble.add(writer, rows, Forest(trees, [tree.threshold for tree in trees], targets, writer.missing))


def regress(writer: Writer) -> None:
    """AdaBoostRegressor: the first value, from the smallest up, that has half of the weight at or below it."""
    model = writer.model
    count = len(model.estimators_)
    if _are_trees(model):
        trees = [
            grown(part.tree_, np.full(part.tree_.node_count, place), part.tree_.value[:, 0, 0])
            for place, part in enumerate(model.estimators_)
        ]
        values = _forest(writer, trees, count)
    else:
        found = [asking.values(writer, part) for part in model.estimators_]
        values = writer.cast(asking.joined(writer, found), DOUBLE, writer.element)
    ranked, order = writer.nodes("TopK", 2, values, writer.constant(np.array([count])), axis=1, largest=0, sorted=1)
    weights = writer.node("Gather", writer.constant(model.estimator_weights_[:count].astype(np.float64)), order, axis=0)
    below = writer.node("CumSum", weights, writer.constant(np.array(1)))
    half = writer.node("Mul", asking.last_columns(writer, below), writer.constant(np.array([0.5])))
    enough = writer.node("Cast", writer.node("GreaterOrEqual", below, half), to=INT64)
    place = writer.node("ArgMax", enough, axis=1, keepdims=1)
    writer.finish(0, writer.cast(writer.node("GatherElements", ranked, place, axis=1), writer.output_type(0), DOUBLE))
