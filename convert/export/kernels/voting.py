"""Classifiers, regressors and graphs over nearest neighbours, or over all neighbours within a radius."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.export.affine import Reals
from convert.export.dense.answers import outlying, refuse_several
from convert.export.kernels.neighbours import Nearest, all_distances, nearest, votes, weights
from convert.export.kernels.pairwise import real
from convert.export.refusal import NotExportable
from convert.export.writer import BOOL, Writer

# Each point's shares of all classes take so many numbers of memory at most; else they are looked up row by row.
_MOST_SHARES = 1 << 20


def classify(writer: Writer) -> None:
    """`KNeighborsClassifier`: label and shares of the votes."""
    model = writer.model
    found = nearest(writer, model, model.n_neighbors, distances=_weighted(model))
    if isinstance(model.classes_, list):
        parts = [
            _shares(writer, found, column, len(known)) for column, known in zip(model._y.T, model.classes_, strict=True)
        ]
        writer.finish_labels([writer.node("ArgMax", part, axis=1, keepdims=1) for part in parts])
        writer.finish(1, writer.node("Concat", *parts, axis=1))
        return
    total = _shares(writer, found, np.ravel(model._y), len(model.classes_))
    writer.finish_label(writer.node("ArgMax", total, axis=1, keepdims=0))
    writer.finish(1, total)


def _shares(writer: Writer, found: Nearest, places: Any, width: int) -> str:
    """The shares of the votes [rows, classes] of one target. `places`: the classes of the fitted points."""
    weighted = _weighted(writer.model)
    share = 1.0 if weighted else 1.0 / writer.model.n_neighbors
    table, known = writer.numbers(share * np.eye(width)), votes(writer, places, width)
    if np.size(places) * width <= _MOST_SHARES:  # onnxruntime looks them up once, when it loads the model
        shares = writer.node("Gather", writer.node("Gather", table, known, axis=0), found.places, axis=0)
    else:
        shares = writer.node("Gather", table, writer.node("Gather", known, found.places, axis=0), axis=0)
    return _added(writer, shares, found.distances if weighted else None)


def regress(writer: Writer) -> None:
    """`KNeighborsRegressor`: means [rows, targets]."""
    model, weighted = writer.model, _weighted(writer.model)
    found = nearest(writer, model, model.n_neighbors, distances=weighted)
    answers = _answers(model)
    values = writer.node("Gather", writer.numbers(answers), found.places, axis=0)
    if weighted and found.distances is not None:
        writer.finish(0, _added(writer, values, found.distances))
    else:
        writer.finish(0, writer.node("ReduceMean", values, writer.constant(np.array([1])), keepdims=0))


def _added(writer: Writer, values: str, distances: str | None) -> str:
    """Values [rows, k, m] added over k, or their mean weighted by nearness."""
    axis = writer.constant(np.array([1]))
    if distances is None:
        return writer.node("ReduceSum", values, axis, keepdims=0)
    weight = weights(writer, distances)
    deep = writer.node("Unsqueeze", weight, writer.constant(np.array([2])))
    total = writer.node("ReduceSum", writer.node("Mul", values, deep), axis, keepdims=0)
    return writer.node("Div", total, writer.node("ReduceSum", weight, axis, keepdims=1))


def classify_within(writer: Writer) -> None:
    """`RadiusNeighborsClassifier`: label and shares; a row without neighbours gets the outlier label.

    Where there is no outlier label scikit-learn refuses such a row, and so does the graph: it looks up a place that is
    not there.
    """
    refuse_several(writer)
    model, classes = writer.model, np.asarray(writer.model.classes_)
    table = writer.node("Gather", writer.numbers(np.eye(len(classes))), votes(writer, model._y, len(classes)), axis=0)
    sums = writer.node("MatMul", _within(writer), table)
    total = writer.node("ReduceSum", sums, writer.constant(np.array([1])), keepdims=1)
    alone = writer.node("Equal", total, writer.numbers([0.0]))
    shares = writer.node("Div", sums, writer.node("Where", alone, writer.numbers([1.0]), total))
    outlier = None if model.outlier_label_ is None else np.ravel(model.outlier_label_)[0]
    voted = writer.node("ArgMax", sums, axis=1, keepdims=0)
    nobody = writer.node("Reshape", alone, writer.constant(np.array([-1])))
    last = writer.constant(np.array([len(classes)]))
    labels = classes if outlier is None else np.append(classes, np.asarray([outlier], dtype=classes.dtype))
    labels = labels.astype(object) if labels.dtype.kind in "OUS" else labels.astype(np.int64)
    writer.finish(0, writer.node("Gather", writer.constant(labels), writer.node("Where", nobody, last, voted), axis=0))
    if outlier is not None:
        lone = writer.numbers((classes == outlier).astype(np.float64))
        shares = writer.node("Where", alone, lone, shares)
    writer.finish(1, shares)


def regress_within(writer: Writer) -> None:
    """`RadiusNeighborsRegressor`: means [rows, targets], NaN for a row without neighbours."""
    near = _within(writer)
    sums = writer.node("MatMul", near, writer.numbers(_answers(writer.model)))
    total = writer.node("ReduceSum", near, writer.constant(np.array([1])), keepdims=1)
    writer.finish(0, writer.node("Div", sums, total))


def _within(writer: Writer) -> str:
    """The weight of each fitted point [rows, n]: 0 beyond the radius."""
    distances = all_distances(writer, writer.model)
    inside = writer.cast(_inside(writer, distances), writer.element, BOOL)
    if not _weighted(writer.model):
        return inside
    zero = writer.numbers([0.0])
    return writer.node("Where", _inside(writer, distances), weights(writer, distances), zero)


def _inside(writer: Writer, distances: str) -> str:
    return writer.node("LessOrEqual", distances, writer.numbers([writer.model.radius]))


def graph_of_nearest(writer: Writer) -> None:
    """`KNeighborsTransformer`: distances, or ones, at the places of the nearest points, 0 elsewhere [rows, n]."""
    model = writer.model
    distant = model.mode == "distance"
    found = nearest(writer, model, model.n_neighbors + distant, distances=distant)
    shape = writer.node(
        "Concat",
        writer.node("Shape", writer.input, start=0, end=1),
        writer.constant(np.array([model.n_samples_fit_])),
        axis=0,
    )
    empty = writer.node("Expand", writer.numbers([[0.0]]), shape)
    ones = writer.node("Expand", writer.numbers([[1.0]]), writer.node("Shape", found.places))
    values = found.distances if distant and found.distances is not None else ones
    writer.finish(0, writer.node("ScatterElements", empty, found.places, values, axis=1))


def graph_within(writer: Writer) -> None:
    """`RadiusNeighborsTransformer`: distances, or ones, of the points within the radius, 0 elsewhere [rows, n]."""
    distances = all_distances(writer, writer.model)
    values = distances if writer.model.mode == "distance" else writer.numbers([1.0])
    writer.finish(0, writer.node("Where", _inside(writer, distances), values, writer.numbers([0.0])))


def local_outliers(writer: Writer) -> None:
    """`LocalOutlierFactor` for new rows (Breunig et al. 2000): label and decision function [rows, 1]."""
    model = writer.model
    count = model.n_neighbors_
    found = nearest(writer, model, count, distances=True)
    assert found.distances is not None
    reach = writer.numbers(np.asarray(model._distances_fit_X_)[:, count - 1])
    reached = writer.node("Max", found.distances, writer.node("Gather", reach, found.places, axis=0))
    axis = writer.constant(np.array([1]))
    spread = writer.node("Add", writer.node("ReduceMean", reached, axis, keepdims=1), writer.numbers([1e-10]))
    dense = writer.node("Gather", writer.numbers(model._lrd), found.places, axis=0)
    ratio = writer.node("Mul", writer.node("ReduceMean", dense, axis, keepdims=1), spread)
    outlying(writer, writer.node("Sub", writer.numbers([-model.offset_]), ratio))


def _weighted(model: Any) -> bool:
    if model.weights not in (None, "uniform", "distance"):
        raise NotExportable("its weights are a function of its own")
    return bool(model.weights == "distance")


def _answers(model: Any) -> Reals:
    answers = real(model._y)
    return answers.reshape(len(answers), -1)
