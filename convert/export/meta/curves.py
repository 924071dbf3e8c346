"""A curve of straight pieces, as `numpy.interp` and scikit-learn's isotonic regression follow it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.export.writer import DOUBLE, FLOAT, INT64, Writer


def follow(writer: Writer, numbers: str, x: NDArray[Any], y: NDArray[Any]) -> str:
    """The curve through (x, y) at `numbers` [rows, 1], level beyond both ends; `x` ascending. In float64 inside, as
    numpy does: between two near points it may be as steep as a step.

    Where scikit-learn keeps the points in float32, it rounds to float32 on the way in and out.
    """
    if len(x) == 1:
        nothing = writer.node("Mul", numbers, writer.numbers([0.0]))
        return writer.node("Add", nothing, writer.numbers([float(y[0])]))
    narrow = x.dtype == np.float32
    given = writer.cast(writer.cast(numbers, FLOAT, writer.element), DOUBLE, FLOAT) if narrow else None
    at = given or writer.cast(numbers, DOUBLE, writer.element)
    knots, heights = x.astype(np.float64), y.astype(np.float64)
    inside = writer.node("Clip", at, *(writer.constant(np.array(bound)) for bound in (knots[0], knots[-1])))
    piece = _piece(writer, inside, knots)
    slopes = np.diff(heights) / np.diff(knots)
    slope, left, height = (
        writer.node("Gather", writer.constant(table), piece, axis=0) for table in (slopes, knots[:-1], heights[:-1])
    )
    rise = writer.node("Mul", slope, writer.node("Sub", inside, left))
    return writer.cast(writer.node("Add", rise, height), writer.element, DOUBLE)


def _piece(writer: Writer, inside: str, knots: NDArray[np.float64]) -> str:
    """The number [rows, 1] of the piece: how many inner knots are not above."""
    if len(knots) == 2:
        return writer.node("Cast", writer.node("Less", inside, writer.constant(knots[:1])), to=INT64)
    passed = writer.node("GreaterOrEqual", inside, writer.constant(knots[None, 1:-1]))
    return writer.node("ReduceSum", writer.node("Cast", passed, to=INT64), writer.constant(np.array([1])), keepdims=1)
