"""`KNNImputer`: what is missing comes from the nearest training rows that have it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.export.refusal import NotExportable
from convert.export.steps.elementwise import at_least, joined, over
from convert.export.steps.imputation import indicators, missing
from convert.export.writer import Lane, Writer

# Stands for the distance to a row with which there is no feature in common; the square of any other is below.
_FAR = 1e30


def impute_from_neighbours(writer: Writer) -> None:
    """Each gap of a row: the mean over the nearest donors, or that of the column where no donor can be compared."""
    model = writer.model
    if callable(model.weights) or model.metric != "nan_euclidean":
        raise NotExportable("KNNImputer calls a function of its own for weights or distances")
    rows = Lane(writer.rows, writer.element, None)
    gaps = missing(writer, rows, model.missing_values)
    fitted = np.asarray(model._fit_X, dtype=np.float64)
    absent = np.asarray(model._mask_fit_X, dtype=bool)
    squares = _squares(writer, rows.name, gaps, np.where(absent, 0.0, fitted), absent)
    columns = []
    for place in np.flatnonzero(model._valid_mask):
        given = writer.columns(rows.name, [int(place)])
        donors = np.flatnonzero(~absent[:, place])
        filled = _from_donors(writer, squares, donors, fitted[donors, place])
        columns.append(writer.node("Where", writer.columns(gaps, [int(place)]), filled, given))
    writer.finish(0, joined(writer, columns + indicators(writer, gaps)))


def _squares(writer: Writer, rows: str, gaps: str, fitted: NDArray[np.float64], absent: NDArray[np.bool_]) -> str:
    """Squared distances over the features that both rows have, scaled up to all (Dixon 1979)."""
    present = writer.cast(writer.node("Not", gaps), writer.element)
    centre = fitted.sum(axis=0) / np.maximum((~absent).sum(axis=0), 1)
    fitted = np.where(absent, 0.0, fitted - centre)
    moved = writer.node("Where", gaps, writer.numbers([0.0]), writer.node("Sub", rows, writer.numbers(centre)))
    both = writer.node("MatMul", present, writer.numbers((~absent).T))
    own = writer.node("MatMul", writer.node("Mul", moved, moved), writer.numbers((~absent).T))
    other = writer.node("MatMul", present, writer.numbers((fitted**2).T))
    cross = writer.node("MatMul", moved, writer.numbers(-2.0 * fitted.T))
    total = at_least(writer, writer.node("Add", writer.node("Add", own, cross), other), 0.0)
    some = at_least(writer, both, 1.0)
    scaled = writer.node("Div", writer.node("Mul", total, writer.numbers([fitted.shape[1]])), some)
    alone = writer.node("Less", both, writer.numbers([0.5]))
    return writer.node("Where", alone, writer.numbers([_FAR]), scaled)


def _from_donors(writer: Writer, squares: str, donors: NDArray[Any], values: NDArray[np.float64]) -> str:
    count = min(int(writer.model.n_neighbors), len(donors))
    to_donors = writer.columns(squares, donors.tolist())
    wanted = writer.constant(np.array([count], dtype=np.int64))
    near, places = writer.nodes("TopK", 2, to_donors, wanted, axis=1, largest=0)
    taken = writer.node("Gather", writer.numbers(values), places, axis=0)
    weights = _weights(writer, near)
    mean = over(writer, "ReduceMean", taken)
    if weights:
        mean = over(writer, "ReduceSum", writer.node("Mul", taken, weights))
        mean = writer.node("Div", mean, at_least(writer, over(writer, "ReduceSum", weights), 1e-30))
    first = writer.columns(near, [0])
    nobody = writer.node("Equal", first, writer.numbers([_FAR]))
    return writer.node("Where", nobody, writer.numbers([values.mean()]), mean)


def _weights(writer: Writer, near: str) -> str | None:
    """The inverse of the distance; where a donor is the row itself, such donors alone count."""
    if writer.model.weights == "uniform":
        return None
    same = writer.node("Equal", near, writer.numbers([0.0]))
    one = writer.numbers([1.0])
    inverse = writer.node("Div", one, writer.node("Sqrt", writer.node("Where", same, one, near)))
    inverse = writer.node("Where", writer.node("Equal", near, writer.numbers([_FAR])), writer.numbers([0.0]), inverse)
    alike = writer.cast(same, writer.element)
    found = writer.node("ReduceMax", alike, writer.constant(np.array([1], dtype=np.int64)), keepdims=1)
    exactly = writer.node("Greater", found, writer.numbers([0.0]))
    return writer.node("Where", exactly, alike, inverse)
