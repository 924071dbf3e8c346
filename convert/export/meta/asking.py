"""How an estimator that is made of others asks them: classes as places, decisions and probabilities in one type.

Wherever an answer comes from (an own exporter or skl2onnx's), it is brought into the same form here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV

from convert.export.parts import answering
from convert.export.refusal import NotExportable
from convert.export.writer import INT64, PRIVATE_DOMAIN, Writer

# Their probabilities of two classes are the logistic function of their decision.
_LOGISTIC = (GradientBoostingClassifier, HistGradientBoostingClassifier, LogisticRegression, LogisticRegressionCV)
_LAST = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Rows:
    """Rows to ask about: a tensor [rows, width] of the writer's element type."""

    name: str
    width: int


@dataclass(frozen=True)
class Reply:
    """A classifier's answer. `label` [rows]: one of `classes`; `numbers` [rows, k]: of the writer's element type."""

    label: str
    numbers: str
    classes: NDArray[Any]


def ask(writer: Writer, estimator: Any, rows: Rows | None, *, decision: bool = False) -> list[str]:
    """The names of another estimator's outputs; without `rows`, for those that this one was given."""
    if rows is None:
        return writer.ask(estimator, decision=decision)
    return writer.ask(estimator, rows.name, rows.width, decision=decision)


def classify(writer: Writer, estimator: Any, rows: Rows | None = None, *, decision: bool = False) -> Reply:
    """Label, and probabilities (or the decision function, where it has no probabilities or `decision` says so)."""
    found = ask(writer, estimator, rows, decision=decision)
    if len(found) != 2:
        raise NotExportable(f"{type(answering(estimator)).__name__} does not answer as a classifier does")
    return Reply(found[0], writer.node("Cast", found[1], to=writer.element), np.asarray(estimator.classes_))


def values(writer: Writer, estimator: Any, rows: Rows | None = None) -> str:
    """What a regressor predicts, or another estimator transforms rows to: [rows, k]."""
    return writer.node("Cast", ask(writer, estimator, rows)[0], to=writer.element)


def probabilities(writer: Writer, estimator: Any, rows: Rows | None = None) -> str:
    """The probabilities [rows, classes]. Raises NotExportable when it gives none."""
    if not hasattr(estimator, "predict_proba"):
        raise NotExportable(f"{type(answering(estimator)).__name__} gives no probabilities")
    return classify(writer, estimator, rows).numbers


def decided(writer: Writer, estimator: Any, rows: Rows | None = None) -> Reply:
    """Label and decision function [rows, 1] of two classes or [rows, classes] of more."""
    if not hasattr(estimator, "decision_function"):
        raise NotExportable(f"{type(answering(estimator)).__name__} has no decision function")
    reply = classify(writer, estimator, rows, decision=True)
    return Reply(reply.label, last_columns(writer, reply.numbers), reply.classes) if len(reply.classes) == 2 else reply


def binary_scores(writer: Writer, estimator: Any, rows: Rows | None = None) -> Reply:
    """Label and score [rows, 1] of a classifier of two classes: its decision, else the second one's probability."""
    if hasattr(estimator, "decision_function"):
        return decided(writer, estimator, rows)
    reply = classify(writer, estimator, rows)
    return Reply(reply.label, last_columns(writer, reply.numbers), reply.classes)


def second_probability(writer: Writer, estimator: Any, scores: Reply, rows: Rows | None = None) -> str:
    """The probability [rows, 1] of the second of two classes; from the scores where that is possible."""
    if not hasattr(estimator, "decision_function"):
        return scores.numbers
    last = answering(estimator)
    if isinstance(last, _LOGISTIC) and getattr(last, "loss", "log_loss") == "log_loss":
        return writer.node("Sigmoid", scores.numbers)
    return last_columns(writer, probabilities(writer, estimator, rows))


def last_columns(writer: Writer, name: str, start: int = -1) -> str:
    """The columns from `start` on; by default the last one."""
    bounds = [writer.constant(np.array([value], dtype=np.int64)) for value in (start, _LAST, 1)]
    return writer.node("Slice", name, *bounds)


def places(writer: Writer, reply: Reply, classes: Sequence[Any] | NDArray[Any] | None = None) -> str:
    """Where the label stands among `classes` (by default the classifier's own): [rows] int64."""
    order = np.asarray(reply.classes if classes is None else classes)
    if reply.classes.dtype.kind in "OUS":
        tables = {
            "keys_tensor": numpy_helper.from_array(order.astype(object), "keys_tensor"),
            "values_tensor": numpy_helper.from_array(np.arange(len(order)), "values_tensor"),
            "default_tensor": numpy_helper.from_array(np.array([-1]), "default_tensor"),
        }
        return writer.node("LabelEncoder", reply.label, domain=PRIVATE_DOMAIN, **tables)
    label = writer.node("Cast", reply.label, to=INT64)
    if np.array_equal(order, np.arange(len(order))):
        return label
    if not np.array_equal(order, order.astype(np.int64)):
        raise NotExportable("its classes are fractions")
    known = writer.constant(order.astype(np.int64).reshape(1, -1))
    same = writer.node("Equal", column(writer, label), known)
    return writer.node("ArgMax", writer.node("Cast", same, to=INT64), axis=1, keepdims=0)


def column(writer: Writer, flat: str) -> str:
    """[rows] as [rows, 1]."""
    return writer.node("Unsqueeze", flat, writer.constant(np.array([1], dtype=np.int64)))


def joined(writer: Writer, parts: Sequence[str]) -> str:
    """Columns side by side."""
    return parts[0] if len(parts) == 1 else writer.node("Concat", *parts, axis=1)


def spread(writer: Writer, numbers: str, positions: NDArray[Any], width: int) -> str:
    """Columns at `positions` among `width` ones, the others 0."""
    if np.array_equal(positions, np.arange(width)):
        return numbers
    table = np.zeros((len(positions), width))
    table[np.arange(len(positions)), positions] = 1
    return writer.node("MatMul", numbers, writer.numbers(table))


def marked(writer: Writer, place: str, width: int) -> str:
    """[rows, width]: 1 in the column of each row's place, 0 elsewhere."""
    return writer.node("Gather", writer.numbers(np.eye(width)), place, axis=0)


def added(writer: Writer, parts: Sequence[str]) -> str:
    """The sum of tensors of one shape."""
    return parts[0] if len(parts) == 1 else writer.node("Sum", *parts)


def chosen(writer: Writer, numbers: str) -> str:
    """The first column with the largest number: [rows] int64."""
    return writer.node("ArgMax", numbers, axis=1, keepdims=0)
