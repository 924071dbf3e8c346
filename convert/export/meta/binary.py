"""Many classes from classifiers of two: one against the rest, one against one, output codes."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.multiclass import _ConstantPredictor

from convert.export.meta import asking
from convert.export.meta.asking import Reply
from convert.export.refusal import NotExportable
from convert.export.writer import INT64, Writer


def one_against_rest(writer: Writer) -> None:
    """OneVsRestClassifier of two classes, of more, or of several labels at once."""
    model = writer.model
    scores = [_score(writer, part) for part in model.estimators_]
    together = asking.joined(writer, [reply.numbers for reply in scores])
    above = writer.node("Greater", together, writer.numbers([_threshold(model.estimators_[0])]))
    if model.multilabel_:
        writer.finish(0, writer.node("Cast", above, to=INT64))
    elif len(scores) == 1:
        writer.finish_label(_flat(writer, above))
    else:
        writer.finish_label(asking.chosen(writer, together))
    if writer.decision or not hasattr(model, "predict_proba"):
        writer.finish(1, together)
        return
    pairs = zip(model.estimators_, scores, strict=True)
    writer.finish(1, _normal(writer, asking.joined(writer, [_positive(writer, *pair) for pair in pairs])))


def _score(writer: Writer, part: Any) -> Reply:
    if isinstance(part, _ConstantPredictor):
        numbers = _same(writer, float(part.y_[0]))
        return Reply(numbers, numbers, np.array([0, 1]))
    if is_regressor(part):
        numbers = asking.values(writer, part)
        return Reply(numbers, numbers, np.array([0, 1]))
    return asking.binary_scores(writer, part)


def _positive(writer: Writer, part: Any, score: Reply) -> str:
    return score.numbers if isinstance(part, _ConstantPredictor) else asking.second_probability(writer, part, score)


def _same(writer: Writer, number: float) -> str:
    """The same number [rows, 1] for each row."""
    return constant_rows(writer, writer.numbers([[number]]), 1)


def constant_rows(writer: Writer, row: str, width: int) -> str:
    """A tensor [1, width] repeated for each of the rows that were given."""
    shape = writer.node("Shape", writer.any_input, start=0, end=1)
    return writer.node(
        "Expand", row, writer.node("Concat", shape, writer.constant(np.array([width], dtype=np.int64)), axis=0)
    )


def _normal(writer: Writer, shares: str) -> str:
    """Of two classes [1 - p, p]; of more, divided by their sum where that is not 0; of several labels, as they are."""
    model = writer.model
    if len(model.estimators_) == 1:
        return asking.joined(writer, [writer.node("Sub", writer.numbers([1.0]), shares), shares])
    if model.multilabel_:
        return shares
    total = writer.node("ReduceSum", shares, writer.constant(np.array([1])), keepdims=1)
    nothing = writer.node("Equal", total, writer.numbers([0.0]))
    return writer.node("Div", shares, writer.node("Where", nothing, writer.numbers([1.0]), total))


def _threshold(part: Any) -> float:
    """scikit-learn's `_threshold_for_binary_predict`."""
    return 0.0 if hasattr(part, "decision_function") and is_classifier(part) else 0.5


def _flat(writer: Writer, chosen: str) -> str:
    """[rows, 1] of booleans as the places [rows] 0 and 1."""
    return writer.node("Squeeze", writer.node("Cast", chosen, to=INT64), writer.constant(np.array([1])))


def one_against_one(writer: Writer) -> None:
    """OneVsOneClassifier: votes, with the sums of confidences, squeezed into (-1/3, 1/3), to break ties."""
    model = writer.model
    if model.pairwise_indices_ is not None:
        raise NotExportable("its kernel is computed beforehand from training rows")
    replies = [_score(writer, part) for part in model.estimators_]
    confidences = asking.joined(writer, [reply.numbers for reply in replies])
    # Predictions are compared with 0 and 1: one that is neither (of a regressor) is no vote.
    predicted = asking.joined(
        writer, [_predicted(writer, part, reply) for part, reply in zip(model.estimators_, replies, strict=True)]
    )
    first, second, signs = _tables(len(model.classes_))
    zeros = writer.node("Equal", predicted, writer.numbers([0.0]))
    ones = writer.node("Equal", predicted, writer.numbers([1.0]))
    votes = writer.node(
        "Add",
        writer.node("MatMul", writer.node("Cast", zeros, to=writer.element), writer.numbers(first)),
        writer.node("MatMul", writer.node("Cast", ones, to=writer.element), writer.numbers(second)),
    )
    sums = writer.node("MatMul", confidences, writer.numbers(signs))
    size = writer.node("Add", writer.node("Abs", sums), writer.numbers([1.0]))
    scores = writer.node("Add", votes, writer.node("Div", sums, writer.node("Mul", size, writer.numbers([3.0]))))
    if len(model.classes_) == 2:
        scores = asking.last_columns(writer, scores)
        above = writer.node("Greater", scores, writer.numbers([_threshold(model.estimators_[0])]))
        writer.finish_label(_flat(writer, above))
    else:
        writer.finish_label(asking.chosen(writer, scores))
    writer.finish(1, scores)


def _predicted(writer: Writer, part: Any, reply: Reply) -> str:
    if is_regressor(part) or isinstance(part, _ConstantPredictor):
        return reply.numbers
    place = asking.places(writer, reply)
    return asking.column(writer, writer.node("Gather", writer.numbers(reply.classes), place, axis=0))


def _tables(width: int) -> tuple[Any, Any, Any]:
    """For each pair of classes (i, j): whom a vote for the first or second one counts for, and confidence's signs."""
    pairs = list(combinations(range(width), 2))
    first, second = np.zeros((len(pairs), width)), np.zeros((len(pairs), width))
    for place, (i, j) in enumerate(pairs):
        first[place, i] = second[place, j] = 1
    return first, second, second - first


def output_code(writer: Writer) -> None:
    """OutputCodeClassifier: the class whose code is nearest to the scores (by the squared distance, less what is the
    same for all).
    """
    model = writer.model
    scores = asking.joined(writer, [_score(writer, part).numbers for part in model.estimators_])
    codes = np.asarray(model.code_book_, dtype=np.float64)
    near = writer.node("MatMul", scores, writer.numbers(2 * codes.T))
    distance = writer.node("Sub", writer.numbers((codes**2).sum(axis=1)), near)
    writer.finish_label(writer.node("ArgMin", distance, axis=1, keepdims=0))
    writer.skip(1)
