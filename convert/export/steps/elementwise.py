"""Small pieces of graph that several steps share. A missing number (NaN) stays missing in each of them."""

from __future__ import annotations

import numpy as np

from convert.export.writer import STRING, Lane, Writer


def at_least(writer: Writer, rows: str, low: float) -> str:
    """max(x, low). ONNX leaves open what its own Max makes of NaN."""
    bound = writer.numbers([low])
    return writer.node("Where", writer.node("Less", rows, bound), bound, rows)


def at_most(writer: Writer, rows: str, high: float) -> str:
    """min(x, high)."""
    bound = writer.numbers([high])
    return writer.node("Where", writer.node("Greater", rows, bound), bound, rows)


def clip(writer: Writer, rows: str, low: float | None, high: float | None) -> str:
    """x between both bounds; None for no bound."""
    rows = rows if low is None else at_least(writer, rows, low)
    return rows if high is None else at_most(writer, rows, high)


def joined(writer: Writer, parts: list[str]) -> str:
    """The parts side by side."""
    return parts[0] if len(parts) == 1 else writer.node("Concat", *parts, axis=1)


def single_columns(writer: Writer) -> list[Lane]:
    """The rows as one lane per column, numbers in the type to compute in."""
    found: list[Lane] = []
    for lane in writer.lanes:
        element = STRING if lane.element == STRING else writer.element
        name = writer.cast(lane.name, element, lane.element)
        width = lane.width or writer.model.n_features_in_
        names = [name] if width == 1 else [writer.columns(name, [place]) for place in range(width)]
        found += [Lane(each, element, 1) for each in names]
    return found


def marked(writer: Writer, places: str, width: int) -> str:
    """One column for each of `width` places: true in the one whose number [rows, 1] int64 is given, -1 for none."""
    return writer.node("Equal", places, writer.constant(np.arange(width, dtype=np.int64)))


def over(writer: Writer, kind: str, rows: str, axis: int = 1, *, keep: bool = True) -> str:
    """A reduction (`ReduceSum`, `ReduceMax`, …) over one axis."""
    return writer.node(kind, rows, writer.constant(np.array([axis], dtype=np.int64)), keepdims=int(keep))
