"""Nearest neighbours: one product with all training points, TopK, and what their answers add up to.

The nearest are found by ‖t‖² − 2 z·t. Where distances themselves count, those to the chosen points are computed again
from the differences, which keeps a distance of zero at (nearly) zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.export.kernels import pairwise
from convert.export.kernels.pairwise import Moved, real
from convert.export.refusal import NotExportable
from convert.export.writer import BOOL, INT32, Writer

_EUCLIDEAN = ("euclidean", "l2", "sqeuclidean")


@dataclass(frozen=True)
class Metric:
    """A distance: the p-th root of Σ |difference|^p, its square where `squared`, or `cosine`."""

    power: float
    squared: bool = False
    cosine: bool = False


@dataclass(frozen=True)
class Nearest:
    """The chosen points' places [rows, k] and, where they were asked for, their distances [rows, k]."""

    places: str
    distances: str | None


def metric_of(model: Any) -> Metric:
    """The fitted model's distance. Raises NotExportable for one that has no form here."""
    name, words = model.effective_metric_, dict(model.effective_metric_params_ or {})
    power = words.pop("p", 2.0)
    if words and any(value is not None for value in words.values()):
        raise NotExportable("its metric has parameters of its own")
    if name in _EUCLIDEAN:
        return Metric(2.0, squared=name == "sqeuclidean")
    if name == "cosine":
        return Metric(2.0, cosine=True)
    powers = {"manhattan": 1.0, "l1": 1.0, "cityblock": 1.0, "chebyshev": np.inf, "minkowski": float(power)}
    if name not in powers:
        raise NotExportable(f"its metric {name!r} has no ONNX form")
    return Metric(powers[name])


def nearest(writer: Writer, fitted: Any, count: int, *, distances: bool) -> Nearest:
    """The `count` nearest fitted points of each row, in no order. `fitted`: a model with `_fit_X`."""
    metric, points = metric_of(fitted), real(fitted._fit_X)
    if metric.cosine:
        gaps = writer.node("Sub", writer.numbers([1.0]), pairwise.cosine(writer, points))
        places, found = _top(writer, gaps, count)
        return Nearest(places, writer.node("Max", found, writer.numbers([0.0])))
    pair = pairwise.moved(writer, points)
    ranks = pairwise.ranks(writer, pair) if metric.power == 2 else pairwise.absolute(writer, pair, metric.power)
    places, _ = _top(writer, ranks, count)
    return Nearest(places, _distances_to(writer, pair, places, metric) if distances else None)


def all_distances(writer: Writer, fitted: Any) -> str:
    """Distances [rows, n] to all fitted points."""
    metric, points = metric_of(fitted), real(fitted._fit_X)
    if metric.cosine:
        gaps = writer.node("Sub", writer.numbers([1.0]), pairwise.cosine(writer, points))
        return writer.node("Max", gaps, writer.numbers([0.0]))
    pair = pairwise.moved(writer, points)
    if metric.power == 2:
        squares = pairwise.squared(writer, pair)
        return squares if metric.squared else writer.node("Sqrt", squares)
    return _rooted(writer, pairwise.absolute(writer, pair, metric.power), metric)


def weights(writer: Writer, distances: str) -> str:
    """1 / distance [rows, k]; in a row that has distances of zero those weigh 1 and all others 0."""
    zero = writer.cast(writer.node("Equal", distances, writer.numbers([0.0])), writer.element, BOOL)
    some = writer.node("ReduceMax", zero, writer.constant(np.array([1])), keepdims=1)
    found = writer.node("Greater", some, writer.numbers([0.0]))
    return writer.node("Where", found, zero, writer.node("Reciprocal", distances))


def _top(writer: Writer, ranks: str, count: int) -> tuple[str, str]:
    found, places = writer.nodes("TopK", 2, ranks, writer.constant(np.array([count])), axis=1, largest=0, sorted=0)
    return places, found


def _distances_to(writer: Writer, pair: Moved, places: str, metric: Metric) -> str:
    chosen = writer.node("Gather", pair.points, places, axis=0)
    rows = writer.node("Unsqueeze", pair.rows, writer.constant(np.array([1])))
    difference, last = writer.node("Sub", rows, chosen), writer.constant(np.array([2]))
    if metric.power == 2:
        return writer.node("ReduceSumSquare" if metric.squared else "ReduceL2", difference, last, keepdims=0)
    if metric.power == 1:
        return writer.node("ReduceL1", difference, last, keepdims=0)
    size = writer.node("Abs", difference)
    if np.isinf(metric.power):
        return writer.node("ReduceMax", size, last, keepdims=0)
    raised = writer.node("Pow", size, writer.numbers(np.array(metric.power)))
    return _rooted(writer, writer.node("ReduceSum", raised, last, keepdims=0), metric)


def _rooted(writer: Writer, sums: str, metric: Metric) -> str:
    if metric.power == 1 or np.isinf(metric.power):
        return sums
    return writer.node("Pow", sums, writer.numbers(np.array(1.0 / metric.power)))


def votes(writer: Writer, places: Any, classes: int) -> str:
    """The class of each point [n] int32, in bytes where they suffice; onnxruntime widens them when it loads them."""
    narrow = np.asarray(places).ravel().astype(np.min_scalar_type(classes))
    return writer.cast(writer.constant(narrow), INT32)
