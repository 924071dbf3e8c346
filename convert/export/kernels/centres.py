"""Answers by the distance from a few centres: nearest centroids, and ellipses around the training rows."""

from __future__ import annotations

import numpy as np

from convert.export.affine import Reals, scaling
from convert.export.dense.answers import outlying
from convert.export.kernels.pairwise import real
from convert.export.products import features, product
from convert.export.refusal import NotExportable
from convert.export.writer import Writer


def classify(writer: Writer) -> None:
    """`NearestCentroid`: label, and probabilities where the metric is Euclidean (Hastie et al., equation 18.2)."""
    model, centres = writer.model, real(writer.model.centroids_)
    if model.metric not in ("euclidean", "manhattan"):
        raise NotExportable(f"its metric {model.metric!r} has no ONNX form")
    middle = centres.mean(axis=0)
    rows = features(writer, scaling(middle, None, len(middle)))
    away = writer.node(
        "Sub", writer.node("Unsqueeze", rows, writer.constant(np.array([1]))), writer.numbers(centres - middle)
    )
    priors = np.asarray(getattr(model, "class_prior_", np.full(len(centres), 1.0 / len(centres))))
    scores = _discriminants(writer, away, priors)
    if np.isclose(priors, 1 / len(priors)).all():
        kind = "ReduceSumSquare" if model.metric == "euclidean" else "ReduceL1"
        distances = writer.node(kind, away, writer.constant(np.array([2])), keepdims=0)
        writer.finish_label(writer.node("ArgMin", distances, axis=1, keepdims=0))
    else:
        writer.finish_label(writer.node("ArgMax", scores, axis=1, keepdims=0))
    writer.finish(1, writer.node("Softmax", scores, axis=1))


def _discriminants(writer: Writer, away: str, priors: Reals) -> str:
    """−distance² + 2 log prior [rows, classes], each feature in units of its spread within classes."""
    model, axis = writer.model, writer.constant(np.array([2]))
    spread = np.asarray(getattr(model, "within_class_std_dev_", np.ones(model.centroids_.shape[1])))
    away = writer.node("Mul", away, writer.numbers(1.0 / np.where(spread == 0, 1.0, spread)))
    if model.metric == "euclidean":
        squares = writer.node("ReduceSumSquare", away, axis, keepdims=0)
    else:
        sums = writer.node("ReduceL1", away, axis, keepdims=0)
        squares = writer.node("Mul", sums, sums)
    return writer.node("Sub", writer.numbers(2.0 * np.log(priors)), squares)


def ellipse(writer: Writer) -> None:
    """`EllipticEnvelope`: label and decision function [rows, 1] by the Mahalanobis distance.

    The precision matrix is taken apart into a root L Lᵀ, so that the distance is the length of (x − μ) L.
    """
    model = writer.model
    values, vectors = np.linalg.eigh(real(model.get_precision()))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    away = product(writer, root, -real(model.location_) @ root)
    squares = writer.node("ReduceSumSquare", away, writer.constant(np.array([1])), keepdims=1)
    outlying(writer, writer.node("Sub", writer.numbers([-model.offset_]), squares))
