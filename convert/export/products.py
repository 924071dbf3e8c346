"""Matrix products of rows with a model's numbers, with the steps before the model folded in (see `fold`).

Everything is multiplied out in float64 and rounded once, to the type in which the graph computes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.export.affine import Affine, Reals
from convert.export.fold import carried
from convert.export.writer import Writer


def product(writer: Writer, weights: Any, offset: Any) -> str:
    """The model's features · weights [n, h] + offset [h]: a tensor [rows, h]."""
    return gemm(writer, *factors(writer, weights, offset))


def factors(writer: Writer, weights: Any, offset: Any) -> tuple[str, Reals, Reals]:
    """What to multiply with what for `product`: rows, matrix [m, h] and offset [h]."""
    weights, offset = np.asarray(weights, dtype=np.float64), np.asarray(offset, dtype=np.float64)
    offset = np.broadcast_to(offset, weights.shape[1:])
    affine = carried(writer.model)
    if affine is None:
        return writer.rows, weights, offset
    if not affine.diagonal and _smaller_apart(affine, weights.shape[1]):
        return features(writer), weights, offset
    return writer.rows, *affine.before(weights, offset)


def gemm(writer: Writer, rows: str, weights: Reals, offset: Reals) -> str:
    """rows · weights + offset."""
    if not np.any(offset):
        return writer.node("Gemm", rows, writer.numbers(weights))
    return writer.node("Gemm", rows, writer.numbers(weights), writer.numbers(offset))


def features(writer: Writer, after: Affine | None = None) -> str:
    """The model's features [rows, n] as they come out of the folded steps, and after one more map."""
    affine = carried(writer.model)
    if after is not None:
        affine = after if affine is None else affine.then(after)
    return writer.rows if affine is None else _apply(writer, affine.centred())


def _apply(writer: Writer, affine: Affine) -> str:
    rows = writer.rows
    if np.any(affine.centre):
        rows = writer.node("Sub", rows, writer.numbers(affine.centre))
    if not affine.diagonal:
        return gemm(writer, rows, affine.weights, affine.offset)
    if np.any(affine.weights != 1.0):
        rows = writer.node("Mul", rows, writer.numbers(affine.weights))
    if np.any(affine.offset):
        rows = writer.node("Add", rows, writer.numbers(affine.offset))
    return rows


def _smaller_apart(affine: Affine, columns: int) -> bool:
    """Two narrow matrices hold fewer numbers than their product."""
    into, out = affine.weights.shape
    return bool(into * columns > into * out + out * columns)
