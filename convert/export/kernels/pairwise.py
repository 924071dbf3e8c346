"""Distances and kernels between rows and fitted points, mostly as one matrix product with all points.

Points that lie far from zero are moved to their mean in float64 first: ‖z‖² − 2 z·t + ‖t‖² loses the fewest digits
there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.export.affine import Reals, scaling
from convert.export.products import features, gemm, product
from convert.export.refusal import NotExportable
from convert.export.writer import Writer

# [rows, features, points] of one batch of a thousand rows in float32: 256 MB.
_MAX_AT_ONCE = 1 << 16
# Features are taken in parts of that size; with more parts than this skl2onnx's loop over rows is the better form.
_MAX_PARTS = 64


@dataclass(frozen=True)
class Kernel:
    """A kernel of `sklearn.metrics.pairwise.pairwise_kernels` with its parameters."""

    metric: str
    gamma: float = 1.0
    degree: float = 3.0
    coef0: float = 1.0


@dataclass(frozen=True)
class Moved:
    """Rows [rows, m] and points [n, m] as tensors, both moved and scaled alike;
    `count` and `width` are n and m.

    What is computed from the points alone onnxruntime computes once, when it loads the model: it takes no bytes.
    """

    rows: str
    points: str
    count: int
    width: int


def real(values: Any) -> Reals:
    """Fitted numbers as dense float64. Raises NotExportable for sparse ones."""
    if hasattr(values, "toarray"):
        raise NotExportable("it was trained on sparse rows")
    return np.asarray(values, dtype=np.float64)


def moved(writer: Writer, points: Any, scale: Any = None) -> Moved:
    """Rows and points about the points' mean, each feature times `scale`. Where zero is no further from the mean than
    the points are, they stay: that costs a binary digit at most, and saves an operator.
    """
    points = real(points)
    centre = points.mean(axis=0)
    after = scaling(None if (np.abs(centre) <= points.std(axis=0)).all() else centre, scale, points.shape[1])
    return Moved(features(writer, after), writer.numbers((points - after.centre) * after.weights), *points.shape)


def squared(writer: Writer, pair: Moved) -> str:
    """Squared Euclidean distances [rows, n], at least 0."""
    total = writer.node("Add", ranks(writer, pair), _norms(writer, pair.rows, keepdims=1))
    return writer.node("Max", total, writer.numbers([0.0]))


def ranks(writer: Writer, pair: Moved) -> str:
    """Squared Euclidean distances less the row's own squared norm: the order of distances, one operator."""
    norms = _norms(writer, pair.points, keepdims=0)
    return writer.node("Gemm", pair.rows, pair.points, norms, alpha=-2.0, transB=1)


def bell(writer: Writer, pair: Moved) -> str:
    """exp(−‖z − t‖²) [rows, n]."""
    norms = _norms(writer, pair.points, keepdims=0)
    cross = writer.node("Gemm", pair.rows, pair.points, norms, alpha=2.0, beta=-1.0, transB=1)
    return writer.node("Exp", writer.node("Sub", cross, _norms(writer, pair.rows, keepdims=1)))


def _norms(writer: Writer, vectors: str, *, keepdims: int) -> str:
    return writer.node("ReduceSumSquare", vectors, writer.constant(np.array([1])), keepdims=keepdims)


def absolute(writer: Writer, pair: Moved, power: float) -> str:
    """Σ |z − t|^power [rows, n] over the features; for an infinite power the greatest |z − t|."""
    turned = writer.node("Transpose", pair.points)
    step = max(1, _MAX_AT_ONCE // pair.count)
    if pair.width > step * _MAX_PARTS:
        raise NotExportable(f"{pair.width} features of {pair.count} points take too many operators")
    total = ""
    for start in range(0, pair.width, step):
        part = _partial(writer, pair, turned, slice(start, min(start + step, pair.width)), power)
        total = part if not total else writer.node("Max" if np.isinf(power) else "Add", total, part)
    return total


def _partial(writer: Writer, pair: Moved, turned: str, chosen: slice, power: float) -> str:
    """`absolute` over some of the features."""
    rows = pair.rows
    if chosen.stop - chosen.start < pair.width:
        places = list(range(chosen.start, chosen.stop))
        rows = writer.columns(rows, places)
        turned = writer.node("Gather", turned, writer.constant(np.array(places)), axis=0)
    rows = writer.node("Unsqueeze", rows, writer.constant(np.array([2])))
    parts = _raised(writer, writer.node("Sub", rows, turned), power)
    kind = "ReduceMax" if np.isinf(power) else "ReduceSum"
    return writer.node(kind, parts, writer.constant(np.array([1])), keepdims=0)


def _raised(writer: Writer, difference: str, power: float) -> str:
    size = writer.node("Abs", difference)
    return size if power == 1 or np.isinf(power) else writer.node("Pow", size, writer.numbers(np.array(power)))


def kernel(writer: Writer, points: Any, form: Kernel) -> str:
    """Kernel values [rows, n]. Raises NotExportable for a kernel that is not known."""
    if form.metric not in _KERNELS:
        raise NotExportable(f"its kernel {form.metric!r} is unknown")
    return _KERNELS[form.metric](writer, real(points), form)


def _rbf(writer: Writer, points: Reals, form: Kernel) -> str:
    return bell(writer, moved(writer, points, np.sqrt(form.gamma)))


def _linear(writer: Writer, points: Reals, form: Kernel) -> str:
    return product(writer, points.T, np.zeros(len(points)))


def _polynomial(writer: Writer, points: Reals, form: Kernel) -> str:
    inner = product(writer, form.gamma * points.T, np.full(len(points), form.coef0))
    return inner if form.degree == 1 else writer.node("Pow", inner, writer.numbers(np.array(form.degree)))


def _sigmoid(writer: Writer, points: Reals, form: Kernel) -> str:
    return writer.node("Tanh", product(writer, form.gamma * points.T, np.full(len(points), form.coef0)))


def _laplacian(writer: Writer, points: Reals, form: Kernel) -> str:
    return writer.node("Exp", writer.node("Neg", absolute(writer, moved(writer, points, form.gamma), 1)))


def _cosine(writer: Writer, points: Reals, form: Kernel) -> str:
    return cosine(writer, points)


def weighted(writer: Writer, form: Kernel, points: Any, sums: tuple[Reals, Any]) -> str:
    """Kernel values · weights [n, k] + offset [k]; `sums` are the two. A linear kernel needs no points at all."""
    weights, offset = sums
    if form.metric == "linear":
        return product(writer, real(points).T @ weights, offset)
    return gemm(writer, kernel(writer, points, form), weights, np.broadcast_to(offset, weights.shape[1:]))


def cosine(writer: Writer, points: Any) -> str:
    """Cosines [rows, n] of the angles between rows and points; 0 where one of them is all zeros."""
    points = real(points)
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    unit = points / np.where(lengths == 0, 1.0, lengths)
    rows = features(writer)
    length = writer.node("ReduceL2", rows, writer.constant(np.array([1])), keepdims=1)
    least = writer.numbers([np.finfo(np.float32).tiny])
    rows = writer.node("Div", rows, writer.node("Max", length, least))
    return gemm(writer, rows, unit.T, np.zeros(len(unit)))


def _chi_squared(writer: Writer, points: Reals, form: Kernel) -> str:
    """−Σ (z − t)² / (z + t), a term being 0 where both are (`additive_chi2_kernel`); its exponential for chi2."""
    if points.size > _MAX_AT_ONCE:
        raise NotExportable(f"its kernel {form.metric!r} over {len(points)} points takes too much memory")
    rows = writer.node("Unsqueeze", features(writer), writer.constant(np.array([2])))
    place = writer.numbers(points.T)
    difference, total = writer.node("Sub", rows, place), writer.node("Add", rows, place)
    some = writer.node("Where", writer.node("Equal", total, writer.numbers([0.0])), writer.numbers([1.0]), total)
    parts = writer.node("Div", writer.node("Mul", difference, difference), some)
    added = writer.node("Neg", writer.node("ReduceSum", parts, writer.constant(np.array([1])), keepdims=0))
    if form.metric == "additive_chi2":
        return added
    return writer.node("Exp", writer.node("Mul", added, writer.numbers([form.gamma])))


_KERNELS: dict[str, Callable[[Writer, Reals, Kernel], str]] = {
    "rbf": _rbf,
    "linear": _linear,
    "poly": _polynomial,
    "polynomial": _polynomial,
    "sigmoid": _sigmoid,
    "laplacian": _laplacian,
    "cosine": _cosine,
    "chi2": _chi_squared,
    "additive_chi2": _chi_squared,
}
