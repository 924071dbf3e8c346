"""Support vector machines: one product with all vectors, one with their coefficients.

Sources: libsvm's `svm_predict_values` and `svm_predict_probability`, scikit-learn's `BaseSVC` and
`_ovr_decision_function`. Labels go by votes of the pairs of classes, as libsvm's do.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from convert.export.affine import Reals
from convert.export.dense import answers
from convert.export.kernels import fused
from convert.export.kernels.pairwise import Kernel, kernel, real, weighted
from convert.export.products import gemm
from convert.export.refusal import NotExportable
from convert.export.writer import BOOL, FLOAT, INT64, Writer

# Zeros that may stand in one matrix of all pairs' coefficients before a matrix per class is smaller and faster.
_MAX_ZEROS = 8192


def classify(writer: Writer) -> None:
    """`SVC` and `NuSVC`: label, and probabilities where the model gives them, decision scores otherwise."""
    model, probable = writer.model, _probable(writer)
    points, form = real(model.support_vectors_), _form(model)
    if fused.fits(writer, points, form) and (probable or len(model.classes_) > 2) and not _ties_broken(model):
        place, numbers = fused.classify(writer, points, form, real(model._dual_coef_), probable=probable)
        writer.finish_label(place)
        writer.finish(1, numbers if probable else _shaped(writer, numbers))
    elif len(model.classes_) == 2:
        _two_classes(writer)
    else:
        _classes(writer)


def regress(writer: Writer) -> None:
    """`SVR` and `NuSVR`: values [rows, 1]."""
    model = writer.model
    writer.finish(0, _weighted(writer, real(model._dual_coef_).T, np.ravel(model._intercept_)))


def detect(writer: Writer) -> None:
    """`OneClassSVM`: label 1 where the decision is above zero, −1 elsewhere, and the decision [rows, 1]."""
    model = writer.model
    decision = _weighted(writer, real(model._dual_coef_).T, np.ravel(model._intercept_))
    signs = (writer.constant(np.array([sign], dtype=np.int64)) for sign in (1, -1))
    writer.finish(0, writer.node("Where", answers.above_zero(writer, decision), *signs))
    writer.finish(1, decision)


def _two_classes(writer: Writer) -> None:
    """scikit-learn turns libsvm's decision round: above zero is the second class."""
    model = writer.model
    score = _weighted(writer, -real(model._dual_coef_).T, -np.ravel(model._intercept_))
    second = writer.node("GreaterOrEqual", score, writer.numbers([0.0]))
    writer.finish_label(answers.flat(writer, writer.cast(second, INT64, BOOL)))
    writer.finish(1, _coupled(writer, score, -1.0) if _probable(writer) else score)


def _classes(writer: Writer) -> None:
    decision = _decision(writer)
    scores = _shaped(writer, decision)
    if _ties_broken(writer.model):
        writer.finish_label(writer.node("ArgMax", scores, axis=1, keepdims=0))
    else:
        writer.finish_label(_voted(writer, decision))
    writer.finish(1, _coupled(writer, decision, 1.0) if _probable(writer) else scores)


def _probable(writer: Writer) -> bool:
    """Probabilities are there and wanted."""
    return hasattr(writer.model, "predict_proba") and not writer.decision


def _ties_broken(model: Any) -> bool:
    """The label goes by the scores and not by votes alone."""
    return bool(model.break_ties) and model.decision_function_shape == "ovr" and len(model.classes_) > 2


def _shaped(writer: Writer, decision: str) -> str:
    return _scores(writer, decision) if writer.model.decision_function_shape == "ovr" else decision


def _form(model: Any) -> Kernel:
    if not isinstance(model.kernel, str) or model.kernel == "precomputed":
        raise NotExportable("its kernel is no function of the rows that ONNX could say")
    return Kernel(model.kernel, float(model._gamma), float(model.degree), float(model.coef0))


def _weighted(writer: Writer, coefficients: Reals, offset: Reals) -> str:
    """Kernel values with the support vectors · coefficients [vectors, k] + offset."""
    model, form = writer.model, _form(writer.model)
    points = real(model.support_vectors_)
    if coefficients.shape[1] == 1 and fused.fits(writer, points, form):
        return fused.weighted(writer, points, form, (coefficients[:, 0], float(offset[0])))
    return weighted(writer, form, points, (coefficients, offset))


def _pairs(model: Any) -> list[tuple[int, int]]:
    return list(combinations(range(len(model.classes_)), 2))


def _decision(writer: Writer) -> str:
    """libsvm's decision of each pair of classes [rows, pairs]: above zero is the first of the two."""
    model, pairs = writer.model, _pairs(writer.model)
    coefficients, offset = real(model._dual_coef_), np.ravel(model._intercept_)
    zeros = coefficients.shape[1] * (len(pairs) - len(coefficients))
    if _form(model).metric == "linear" or zeros <= _MAX_ZEROS:
        return _weighted(writer, _by_pair(model, coefficients), offset)
    values = kernel(writer, model.support_vectors_, _form(model))
    parts = writer.nodes("Split", len(model.classes_), values, writer.constant(_counts(model)), axis=1)
    starts = np.cumsum(_counts(model))[:-1]
    sums = [
        writer.node("MatMul", part, writer.numbers(block.T))
        for part, block in zip(parts, np.split(coefficients, starts, axis=1), strict=True)
    ]
    return gemm(writer, writer.node("Concat", *sums, axis=1), _joined(len(model.classes_)), offset)


def _counts(model: Any) -> Any:
    return np.asarray(model._n_support, dtype=np.int64)


def _by_pair(model: Any, coefficients: Reals) -> Reals:
    """[vectors, pairs]: for classes i < j row j − 1 of the vectors of class i, and row i of those of class j."""
    owner = np.repeat(np.arange(len(model.classes_)), _counts(model))
    columns = [
        np.where(owner == i, coefficients[j - 1], np.where(owner == j, coefficients[i], 0.0)) for i, j in _pairs(model)
    ]
    return np.column_stack(columns)


def _joined(classes: int) -> Reals:
    """Which sums, of the classes' blocks of classes − 1 each, belong to which pair."""
    pairs = list(combinations(range(classes), 2))
    chosen = np.zeros((classes * (classes - 1), len(pairs)))
    for place, (i, j) in enumerate(pairs):
        chosen[i * (classes - 1) + j - 1, place] = chosen[j * (classes - 1) + i, place] = 1.0
    return chosen


def _signs(model: Any) -> tuple[Reals, Reals]:
    """[pairs, classes] with 1 for the first class of each pair and −1 for the second; and how often each is second."""
    pairs, classes = _pairs(model), len(model.classes_)
    signs = np.array([np.eye(classes)[i] - np.eye(classes)[j] for i, j in pairs])
    return signs, (signs < 0).sum(axis=0).astype(np.float64)


def _voted(writer: Writer, decision: str) -> str:
    first = writer.cast(answers.above_zero(writer, decision), writer.element, BOOL)
    return writer.node("ArgMax", gemm(writer, first, *_signs(writer.model)), axis=1, keepdims=0)


def _scores(writer: Writer, decision: str) -> str:
    """Votes, and the summed decisions squeezed into (−1/3, 1/3) (`_ovr_decision_function`)."""
    signs, seconds = _signs(writer.model)
    first = writer.node("GreaterOrEqual", decision, writer.numbers([0.0]))
    votes = gemm(writer, writer.cast(first, writer.element, BOOL), signs, seconds)
    total = writer.node("MatMul", decision, writer.numbers(signs))
    bound = writer.node(
        "Mul", writer.node("Add", writer.node("Abs", total), writer.numbers([1.0])), writer.numbers([3.0])
    )
    return writer.node("Add", votes, writer.node("Div", total, bound))


def _coupled(writer: Writer, decision: str, sign: float) -> str:
    """Probabilities from `sign` times the pairs' decisions by pairwise coupling (Wu, Lin and Weng 2004, second method).

    libsvm iterates and stops early, also for two classes, and so does onnxruntime's `SVMClassifier`: it is given the
    decisions as rows, and for each pair one unit vector as the pair's only support vector, so that its own decisions
    are these. The last class, which comes first in no pair, gets a zero vector that nothing weighs: onnxruntime before
    1.26 ends the process where a class has none.
    """
    model, pairs = writer.model, _pairs(writer.model)
    classes = len(model.classes_)
    coefficients = np.zeros((classes - 1, len(pairs) + 1))
    for place, (_, j) in enumerate(pairs):
        coefficients[j - 1, place] = sign
    _, shares = writer.nodes(
        "SVMClassifier",
        2,
        writer.cast(decision, FLOAT, writer.element),
        domain="ai.onnx.ml",
        classlabels_ints=list(range(classes)),
        coefficients=coefficients.ravel().tolist(),
        kernel_params=[0.0, 0.0, 0.0],
        kernel_type="LINEAR",
        post_transform="NONE",
        prob_a=np.ravel(model._probA).tolist(),
        prob_b=np.ravel(model._probB).tolist(),
        rho=[0.0] * len(pairs),
        support_vectors=np.eye(len(pairs) + 1, len(pairs)).ravel().tolist(),
        vectors_per_class=[max(classes - 1 - place, 1) for place in range(classes)],
    )
    return writer.cast(shares, writer.element, FLOAT)
