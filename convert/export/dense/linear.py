"""Linear models as one matrix product each, with what comes after it.

Probabilities repeat scikit-learn's: Softmax of all scores, normalised one-against-rest, or a modified Huber loss's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import LinearRegression

from convert.export.affine import Reals
from convert.export.dense import answers, fused
from convert.export.fold import carried
from convert.export.products import product
from convert.export.refusal import NotExportable
from convert.export.writer import DOUBLE, Writer
from convert.read.targets import read

# Where the logistic function of a double is zero: all classes there share alike (`_predict_proba_lr`).
_UNDERFLOW = 745.0


def regress(writer: Writer) -> None:
    """Values [rows, targets] of any model with `coef_` and `intercept_`."""
    writer.finish(0, _scores(writer))


def regress_linked(writer: Writer) -> None:
    """A generalised linear model: the inverse of its link after the product."""
    link = type(writer.model._base_loss.link).__name__
    if link not in ("IdentityLink", "LogLink"):
        raise NotExportable(f"its link function {link} is unknown")
    scores = _scores(writer)
    writer.finish(0, writer.node("Exp", scores) if link == "LogLink" else scores)


def regress_by_consensus(writer: Writer) -> None:
    """RANSAC: its final estimator answers."""
    inner = writer.model.estimator_
    if type(inner) is LinearRegression:
        writer.finish(0, product(writer, *_matrix(inner)))
        return
    if carried(writer.model) is not None:
        raise NotExportable("its estimator cannot take the step before it")
    writer.finish(0, writer.ask(inner)[0])


def score(writer: Writer) -> None:
    """A classifier without probabilities: label and decision function."""
    weights, offset = _matrix(writer.model)
    if read(writer.model):
        answers.present(writer, product(writer, weights, offset))
        return
    if not fused.fits(writer, weights):
        answers.scored(writer, product(writer, weights, offset), len(writer.model.classes_))
        return
    scores = fused.classify(writer, *fused.both_sides(weights, offset), "NONE")
    writer.finish(1, writer.columns(scores, [1]) if weights.shape[1] == 1 else scores)


def classify(writer: Writer) -> None:
    """Logistic regression and linear discriminants."""
    if writer.decision:
        score(writer)
        return
    weights, offset = _matrix(writer.model)
    if weights.shape[1] > 1 and _one_against_rest(writer.model):
        _share_of_rest(writer, weights, offset)
    elif weights.shape[1] > 1:
        _exclusive(writer, weights, offset)
    else:
        factor = 2.0 if _both_sides(writer.model) else 1.0
        _two_classes(writer, factor * weights, factor * offset)


def classify_by_gradient(writer: Writer) -> None:
    """`SGDClassifier`: its loss says what its probabilities are, if it has any."""
    weights, offset = _matrix(writer.model)
    loss = "none" if writer.decision else writer.model.loss
    if loss == "modified_huber":
        _huber(writer, product(writer, weights, offset), len(writer.model.classes_))
    elif loss != "log_loss":
        score(writer)
    elif weights.shape[1] > 1:
        _share_of_rest(writer, weights, offset)
    else:
        _two_classes(writer, weights, offset)


def detect(writer: Writer) -> None:
    """`SGDOneClassSVM`: label and distance from its plane."""
    weights = np.asarray(writer.model.coef_, dtype=np.float64).reshape(1, -1).T
    answers.outlying(writer, product(writer, weights, -np.ravel(writer.model.offset_)))


def _matrix(model: Any) -> tuple[Reals, Reals]:
    weights = np.atleast_2d(np.asarray(model.coef_, dtype=np.float64)).T
    return weights, np.broadcast_to(np.ravel(np.asarray(model.intercept_, dtype=np.float64)), weights.shape[1:])


def _scores(writer: Writer) -> str:
    return product(writer, *_matrix(writer.model))


def _one_against_rest(model: Any) -> bool:
    """scikit-learn before 1.8: asked for by `multi_class`, or implied by the solver."""
    return getattr(model, "multi_class", None) in ("ovr", "warn") or (
        getattr(model, "multi_class", None) in ("auto", "deprecated") and getattr(model, "solver", "") == "liblinear"
    )


def _both_sides(model: Any) -> bool:
    """scikit-learn before 1.8: two classes by the Softmax of (−s, s)."""
    return getattr(model, "multi_class", None) == "multinomial"


def _exclusive(writer: Writer, weights: Reals, offset: Reals) -> None:
    """Softmax of one score per class."""
    if fused.fits(writer, weights):
        writer.finish(1, fused.classify(writer, weights, offset, "SOFTMAX"))
    else:
        answers.softmax(writer, product(writer, weights, offset))


def _two_classes(writer: Writer, weights: Reals, offset: Reals) -> None:
    if fused.fits(writer, weights):
        writer.finish(1, fused.classify(writer, *fused.both_sides(weights, offset), "LOGISTIC"))
        return
    pair = answers.paired(weights, offset)
    if pair is None:
        answers.logistic(writer, product(writer, weights, offset))
    else:
        answers.softmax(writer, product(writer, *pair))


def _share_of_rest(writer: Writer, weights: Reals, offset: Reals) -> None:
    """σ(sᵢ) / Σ σ(sⱼ), equal shares where all are zero.

    In float32 as the Softmax of log σ(s), which keeps its digits where σ would underflow; float64 has no `Softplus`.
    """
    if writer.element == DOUBLE:
        scores = product(writer, weights, offset)
        writer.finish_label(writer.node("ArgMax", scores, axis=1, keepdims=0))
        _normalised(writer, writer.node("Sigmoid", scores), weights.shape[1])
        return
    negative = product(writer, -weights, -offset)
    writer.finish_label(writer.node("ArgMin", negative, axis=1, keepdims=0))
    bounded = writer.node("Min", negative, writer.numbers([_UNDERFLOW]))
    logs = writer.node("Neg", writer.node("Softplus", bounded))
    writer.finish(1, writer.node("Softmax", logs, axis=1))


def _huber(writer: Writer, scores: str, classes: int) -> None:
    """(clip(s, −1, 1) + 1) / 2, normalised for more than two classes; all zero: equal shares."""
    limits = (writer.numbers(np.array(limit)) for limit in (-1.0, 1.0))
    raised = writer.node("Add", writer.node("Clip", scores, *limits), writer.numbers([1.0]))
    if classes == 2:
        answers.positive(writer, scores)
        answers.complemented(writer, writer.node("Mul", raised, writer.numbers([0.5])))
        return
    writer.finish_label(writer.node("ArgMax", scores, axis=1, keepdims=0))
    _normalised(writer, raised, classes)


def _normalised(writer: Writer, parts: str, classes: int) -> None:
    """Output 1: each row's shares of its sum, equal ones where that is zero."""
    total = writer.node("ReduceSum", parts, writer.constant(np.array([1])), keepdims=1)
    some = answers.above_zero(writer, total)
    divisor = writer.node("Where", some, total, writer.numbers([1.0]))
    shares = writer.node("Div", parts, divisor)
    writer.finish(1, writer.node("Where", some, shares, writer.numbers([1.0 / classes])))
