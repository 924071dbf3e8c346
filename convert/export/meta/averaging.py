"""Voting, bagging and stacking: several estimators answer, and their answers are averaged, counted or learnt from."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from convert.export.meta import asking
from convert.export.meta.asking import Rows
from convert.export.refusal import NotExportable
from convert.export.writer import Writer


def vote(writer: Writer) -> None:
    """VotingClassifier: the average of probabilities, or the class with the most votes."""
    model = writer.model
    weights = _weights(model)
    if model.voting == "soft":
        shares = [asking.probabilities(writer, part) for part in model.estimators_]
        average = _average(writer, shares, weights)
        writer.finish_label(asking.chosen(writer, average))
        writer.finish(1, average)
        return
    width = len(model.classes_)
    votes = [_vote(writer, part, width) for part in model.estimators_]
    total = asking.added(writer, _weighted(writer, votes, weights))
    writer.finish_label(asking.chosen(writer, total))
    writer.skip(1)


def _vote(writer: Writer, part: Any, width: int) -> str:
    """Its members were fitted to the numbers of the classes."""
    reply = asking.classify(writer, part)
    return asking.marked(writer, asking.places(writer, reply, np.arange(width)), width)


def vote_value(writer: Writer) -> None:
    """VotingRegressor: the weighted average."""
    found = [asking.values(writer, part) for part in writer.model.estimators_]
    writer.finish(0, _average(writer, found, _weights(writer.model)))


def _weights(model: Any) -> list[float] | None:
    if model.weights is None:
        return None
    return [
        float(weight)
        for (_, part), weight in zip(model.estimators, model.weights, strict=True)
        if not (isinstance(part, str) and part == "drop")
    ]


def _weighted(writer: Writer, parts: list[str], weights: list[float] | None) -> list[str]:
    if weights is None:
        return parts
    return [writer.node("Mul", part, writer.numbers([weight])) for part, weight in zip(parts, weights, strict=True)]


def _average(writer: Writer, parts: list[str], weights: list[float] | None) -> str:
    total = asking.added(writer, _weighted(writer, parts, weights))
    return writer.node("Div", total, writer.numbers([len(parts) if weights is None else sum(weights)]))


def bag(writer: Writer) -> None:
    """BaggingClassifier: the average of probabilities, or of votes where a member gives none."""
    model = writer.model
    if not writer.decision and _whole_trees(model, DecisionTreeClassifier, ExtraTreeClassifier):
        label, average = writer.ask(_as_forest(model, RandomForestClassifier))
        writer.finish(0, label)
        writer.finish(1, writer.node("Cast", average, to=writer.output_type(1)))
        return
    average = _average(writer, [_share(writer, *pair) for pair in _members(writer)], None)
    writer.finish_label(asking.chosen(writer, average))
    if writer.decision:
        average = _average(writer, [asking.decided(writer, *pair).numbers for pair in _members(writer)], None)
    writer.finish(1, average)


def _share(writer: Writer, part: Any, rows: Rows | None) -> str:
    """The probabilities among all classes; its own are the numbers of those it has seen."""
    width = len(writer.model.classes_)
    reply = asking.classify(writer, part, rows)
    if hasattr(part, "predict_proba"):
        return asking.spread(writer, reply.numbers, np.asarray(part.classes_).astype(int), width)
    return asking.marked(writer, asking.places(writer, reply, np.arange(width)), width)


def bag_value(writer: Writer) -> None:
    """BaggingRegressor: the average."""
    if _whole_trees(writer.model, DecisionTreeRegressor, ExtraTreeRegressor):
        (average,) = writer.ask(_as_forest(writer.model, RandomForestRegressor))
    else:
        average = _average(writer, [asking.values(writer, *pair) for pair in _members(writer)], None)
    writer.finish(0, writer.node("Cast", average, to=writer.output_type(0)))


def _members(writer: Writer) -> list[tuple[Any, Rows | None]]:
    """Each member with its columns of the rows."""
    model = writer.model
    found: list[tuple[Any, Rows | None]] = []
    for part, features in zip(model.estimators_, model.estimators_features_, strict=True):
        places = np.asarray(features).astype(int)
        everything = np.array_equal(places, np.arange(model.n_features_in_))
        rows = None if everything else Rows(writer.columns(writer.rows, places.tolist()), len(places))
        found.append((part, rows))
    return found


def _whole_trees(model: Any, *kinds: type[Any]) -> bool:
    """True for plain trees that were given every column and have seen every class."""
    classes = getattr(model, "n_classes_", None)
    return all(
        type(part) in kinds
        and np.array_equal(features, np.arange(model.n_features_in_))
        and getattr(part, "n_classes_", None) == classes
        and part.n_outputs_ == 1
        for part, features in zip(model.estimators_, model.estimators_features_, strict=True)
    )


def _as_forest(model: Any, kind: type[Any]) -> Any:
    """Bagged trees are a forest: one operator instead of one for each tree."""
    forest = kind(n_estimators=len(model.estimators_))
    forest.estimators_, forest.n_outputs_ = list(model.estimators_), 1
    forest.n_features_in_ = model.n_features_in_
    if hasattr(model, "classes_"):
        forest.classes_, forest.n_classes_ = model.classes_, model.n_classes_
    return forest


def stack(writer: Writer) -> None:
    """StackingClassifier: the final estimator learns from what the others answer."""
    model = writer.model
    if isinstance(model.classes_, list):
        raise NotExportable("it stacks classifiers of several targets")
    reply = asking.classify(writer, model.final_estimator_, _stacked(writer), decision=writer.decision)
    writer.finish_label(asking.places(writer, reply, np.arange(len(model.classes_))))
    writer.finish(1, reply.numbers)


def stack_value(writer: Writer) -> None:
    """StackingRegressor."""
    writer.finish(0, asking.values(writer, writer.model.final_estimator_, _stacked(writer)))


def _stacked(writer: Writer) -> Rows:
    model = writer.model
    parts = [_answer(writer, part, method) for part, method in zip(model.estimators_, model.stack_method_, strict=True)]
    if model.passthrough:
        parts.append(writer.rows)
    return Rows(asking.joined(writer, parts), model.final_estimator_.n_features_in_)


def _answer(writer: Writer, part: Any, method: str) -> str:
    """A member's column or columns. Of two classes, the second one's probability."""
    if method == "predict_proba":
        shares = asking.probabilities(writer, part)
        return asking.last_columns(writer, shares) if len(part.classes_) == 2 else shares
    if method == "decision_function":
        return asking.decided(writer, part).numbers
    if not hasattr(part, "classes_"):
        return asking.values(writer, part)
    place = asking.places(writer, asking.classify(writer, part))
    label = writer.node("Gather", writer.numbers(np.asarray(part.classes_, dtype=np.float64)), place, axis=0)
    return asking.column(writer, label)
