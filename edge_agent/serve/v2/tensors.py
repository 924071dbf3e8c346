"""Input tensors become rows: found by name in any order, shapes checked, cells converted only where nothing is lost.

An input is a tensor of the model's graph or, for those who think in columns, one feature by its name. A tensor of
numbers may carry integer and flag features; whole numbers, and 0 and 1, then stand for them.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from edge_agent.serve.columns import Column, spell
from edge_agent.serve.rows import Batch, Row, RowReader, RowsRefused
from edge_agent.serve.v2.datatypes import DATATYPES, OF_DTYPE, Datatype, check_json, read_numbers, read_texts
from edge_agent.serve.v2.request import Sent
from edgekit.manifest import Manifest

_ACCEPTED = {
    "float": frozenset({"float", "integer"}),
    "integer": frozenset({"integer"}),
    "flag": frozenset({"flag"}),
    "text": frozenset({"text"}),
}
_TOLD_NAMES = 20
_NUMBER_TYPES = {int, float}
_FLAGS = {0: False, 1: True}


@dataclass(frozen=True)
class _Input:
    """Where the cells of an input of this name go: the columns, and the datatype that they share."""

    columns: list[Column]
    datatype: Datatype


class Inputs:
    """Reads the input tensors of one model."""

    def __init__(self, manifest: Manifest, reader: RowReader) -> None:
        by_name = {column.feature.name: column for column in reader.columns}
        self._reader = reader
        self._inputs = {name: _Input([column], OF_DTYPE[column.feature.dtype]) for name, column in by_name.items()}
        for tensor in manifest.tensors:
            columns = [by_name[name] for name in tensor.features]
            self._inputs[tensor.name] = _Input(columns, OF_DTYPE[tensor.dtype])
        self._plain = _plain_input(manifest, self._inputs)

    def rows(self, tensors: Sequence[Sent]) -> Batch:
        """The rows that the tensors hold together, at least one. Raises RowsRefused."""
        if len(tensors) == 1 and tensors[0].name == self._plain:
            plain = _plain_rows(tensors[0], self._inputs[self._plain])
            if plain is not None:
                return Batch(plain, True)
        columns: dict[str, Sequence[object]] = {}
        for tensor in tensors:
            into = self._find(tensor.name)
            if not columns.keys().isdisjoint(column.feature.name for column in into.columns):
                raise RowsRefused(f"input {tensor.name!r} holds a feature that another input has given already")
            for column, cells in zip(into.columns, _columns(tensor, into), strict=True):
                columns[column.feature.name] = cells
        counts = {len(cells) for cells in columns.values()}
        if len(counts) != 1:
            raise RowsRefused("the inputs must all have the same number of rows, and at least one")
        return self._reader.from_columns(columns, counts.pop())

    def _find(self, name: str) -> _Input:
        found = self._inputs.get(name)
        if found is None:
            known = ", ".join(list(self._inputs)[-_TOLD_NAMES:])
            raise RowsRefused(f"no input is called {name[:60]!r}: there is {known}")
        return found


def _plain_rows(tensor: Sent, into: _Input) -> list[Row] | None:
    """The short way for a tensor of finite floats; None for anything else, which the long way then judges."""
    width, shape = len(into.columns), tensor.shape
    if tensor.datatype != into.datatype.name or len(shape) != 2 or shape[1] != width or shape[0] < 1:
        return None
    read = _plain_binary if isinstance(tensor.data, bytes) else _plain_json
    cells = read(tensor.data, shape[0] * width, into)
    return None if cells is None else list(zip(*[iter(cells)] * width, strict=True))


def _plain_binary(raw: Any, count: int, into: _Input) -> Sequence[float] | None:
    if len(raw) != count * into.datatype.cell_bytes:
        return None
    cells: Sequence[float] = struct.unpack(f"<{count}{into.datatype.code}", raw)
    # One that is not finite leaves no sum finite. A sum may overflow by itself: the long way is right as well.
    return cells if math.isfinite(sum(cells)) else None


def _plain_json(data: Any, count: int, into: _Input) -> Sequence[float] | None:
    if len(data) != count or not set(map(type, data)) <= _NUMBER_TYPES:
        return None
    largest = into.columns[0].largest
    return list(map(float, data)) if -largest <= min(data) and max(data) <= largest else None


def _plain_input(manifest: Manifest, inputs: dict[str, _Input]) -> str | None:
    """The name of the only tensor, if it holds floats of any size and nothing has to be looked up about them."""
    tensor = manifest.tensors[0]
    bounds = {"float32": ("float32", "float64"), "float64": ("float64",)}.get(tensor.dtype, ())
    columns = inputs[tensor.name].columns
    plain = all(column.feature.dtype in bounds and column.allowed is None for column in columns)
    return tensor.name if plain and len(manifest.tensors) == 1 else None


def _columns(tensor: Sent, into: _Input) -> list[Sequence[object]]:
    """The cells of each column, in Python's own types."""
    datatype = DATATYPES.get(tensor.datatype)
    if datatype is None or datatype.kind not in _ACCEPTED[into.datatype.kind]:
        raise RowsRefused(f"input {tensor.name!r} is {into.datatype.name}, not {tensor.datatype[:20]!r}")
    width = len(into.columns)
    _check_shape(tensor, width)
    read = _from_binary if isinstance(tensor.data, bytes) else _from_json
    cells = read(tensor, datatype, width)
    return [
        _of_kind(_exact(cells[place::width], tensor, (datatype, into.datatype), column), column)
        for place, column in enumerate(into.columns)
    ]


def _check_shape(tensor: Sent, width: int) -> None:
    shape = tensor.shape
    fits = shape[1:] == [width] or (width == 1 and len(shape) == 1)
    if not fits or shape[0] < 1:
        raise RowsRefused(f"input {tensor.name!r} must have shape [rows, {width}], not {str(shape)[:60]}")


def _from_json(tensor: Sent, datatype: Datatype, width: int) -> Sequence[Any]:
    cells: Sequence[Any] = tensor.data
    if cells and all(isinstance(cell, list) for cell in cells):
        if any(len(cell) != width for cell in cells):
            raise RowsRefused(f"input {tensor.name!r} has a row that is not {width} long")
        cells = list(chain.from_iterable(cells))
    if len(cells) != tensor.shape[0] * width:
        raise RowsRefused(f"input {tensor.name!r} has {len(cells)} values, its shape says {tensor.shape[0] * width}")
    check_json(datatype, cells, tensor.name)
    return cells


def _from_binary(tensor: Sent, datatype: Datatype, width: int) -> Sequence[Any]:
    raw, count = tensor.data, tensor.shape[0] * width
    assert isinstance(raw, bytes)
    needed = count * datatype.cell_bytes
    if len(raw) != needed and (datatype.kind != "text" or len(raw) < needed):
        least = "at least " if datatype.kind == "text" else ""
        raise RowsRefused(
            f"input {tensor.name!r} has {len(raw)} bytes of binary data, shape and datatype say {least}{needed}"
        )
    if datatype.kind == "text":
        return read_texts(raw, count, tensor.name)
    return read_numbers(datatype, raw, tensor.name)


def _exact(cells: Sequence[Any], tensor: Sent, types: tuple[Datatype, Datatype], column: Column) -> Sequence[Any]:
    """The cells as the input's datatype holds them. Raises RowsRefused when one of them would change."""
    sent, taken = types
    if sent is taken or taken.kind != "float":
        return cells
    if sent.name == "FP32" and isinstance(tensor.data, bytes):
        return cells
    with np.errstate(over="ignore"):
        rounded = np.array([_as_float(cell) for cell in cells])
        if "FP32" in (sent.name, taken.name):
            rounded = rounded.astype(np.float32)
    held: list[float] = rounded.tolist()
    if sent.name == "FP32":  # a decimal in JSON means the nearest FP32
        return [None if cell is None else value for cell, value in zip(cells, held, strict=True)]
    for row, (cell, value) in enumerate(zip(cells, held, strict=True)):
        if cell != value and not math.isnan(value):
            raise RowsRefused(
                f"input {tensor.name!r} is {taken.name}: row {row}, feature {column.feature.name!r} is {spell(cell)}, "
                f"which {taken.name} cannot hold exactly; round it and send {taken.name}"
            )
    return cells


def _as_float(cell: Any) -> float:
    try:
        return math.nan if cell is None else float(cell)
    except OverflowError:
        return math.inf


def _of_kind(cells: Sequence[Any], column: Column) -> Sequence[Any]:
    """Whole floats for an integer feature, 0 and 1 for a flag; anything else stays, for the column to judge."""
    if column.feature.dtype == "int64":
        return [int(cell) if isinstance(cell, float) and cell.is_integer() else cell for cell in cells]
    return [_FLAGS.get(cell, cell) for cell in cells] if column.feature.dtype == "bool" else cells
