"""CalibratedClassifierCV: the scores of classifiers, each made a probability by its own fitted curve, and averaged.

scikit-learn takes a classifier's decision function where it has one and its probabilities otherwise; so does this.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.export.meta import asking
from convert.export.meta.curves import follow
from convert.export.writer import Writer


def calibrate(writer: Writer) -> None:
    """The average of the calibrated probabilities of all folds."""
    model = writer.model
    parts = [_calibrated(writer, part) for part in model.calibrated_classifiers_]
    average = asking.added(writer, parts)
    if len(parts) > 1:
        average = writer.node("Div", average, writer.numbers([len(parts)]))
    writer.finish_label(asking.chosen(writer, average))
    writer.finish(1, average)


def _calibrated(writer: Writer, part: Any) -> str:
    """One fold's probabilities [rows, classes]."""
    scores = _scores(writer, part.estimator)
    if part.method == "temperature":
        return _tempered(writer, part, scores)
    width = len(part.classes)
    if part.method == "sigmoid":
        found = _sigmoid(writer, part.calibrators, scores)
    else:
        found = _isotonic(writer, part.calibrators, scores)
    if width == 2:
        return asking.joined(writer, [writer.node("Sub", writer.numbers([1.0]), found), found])
    everywhere = np.searchsorted(part.classes, part.estimator.classes_)
    return _shares(writer, asking.spread(writer, found, everywhere, width), width)


def _scores(writer: Writer, estimator: Any) -> str:
    """[rows, classes], or [rows, 1] for two classes."""
    if len(estimator.classes_) == 2:
        return asking.binary_scores(writer, estimator).numbers
    if hasattr(estimator, "decision_function"):
        return asking.decided(writer, estimator).numbers
    return asking.probabilities(writer, estimator)


def _sigmoid(writer: Writer, calibrators: list[Any], scores: str) -> str:
    """Platt's curve 1 / (1 + exp(a·score + b)), each column with its own."""
    slopes = writer.numbers([[-each.a_ for each in calibrators]])
    shifts = writer.numbers([[-each.b_ for each in calibrators]])
    return writer.node("Sigmoid", writer.node("Add", writer.node("Mul", scores, slopes), shifts))


def _isotonic(writer: Writer, calibrators: list[Any], scores: str) -> str:
    columns = []
    for place, each in enumerate(calibrators):
        score = scores if len(calibrators) == 1 else writer.columns(scores, [place])
        columns.append(follow(writer, score, each.X_thresholds_, each.y_thresholds_))
    return asking.joined(writer, columns)


def _shares(writer: Writer, found: str, width: int) -> str:
    """Each row divided by its sum; the same share for all where that is 0."""
    total = writer.node("ReduceSum", found, writer.constant(np.array([1])), keepdims=1)
    nothing = writer.node("Equal", total, writer.numbers([0.0]))
    divisor = writer.node("Where", nothing, writer.numbers([1.0]), total)
    return writer.node("Where", nothing, writer.numbers([1 / width]), writer.node("Div", found, divisor))


def _tempered(writer: Writer, part: Any, scores: str) -> str:
    """Softmax of the logits over one temperature (Guo et al. 2017); those of probabilities are their logarithms."""
    of_two = len(part.estimator.classes_) == 2
    if hasattr(part.estimator, "decision_function"):
        logits = asking.joined(writer, [writer.node("Neg", scores), scores]) if of_two else scores
    else:
        if of_two:
            scores = asking.joined(writer, [writer.node("Sub", writer.numbers([1.0]), scores), scores])
        logits = writer.node("Log", writer.node("Add", scores, writer.numbers([1e-12])))
    beta = float(part.calibrators[0].beta_)
    return writer.node("Softmax", writer.node("Mul", logits, writer.numbers([beta])), axis=1)
