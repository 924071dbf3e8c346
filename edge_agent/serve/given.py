"""Rows as Python programs hold them become plain values that the row reader takes: no trace of numpy or pandas is left.

pandas is never imported: a frame is known by its `columns` and `isna`, its other values by where their type
comes from. What a
container cannot tell apart is read by the feature's type: an array has one dtype for all columns, and a frame turns
whole numbers into floats where one is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.serve.rows import RowsRefused
from edgekit.manifest import Dtype, Manifest

_PANDAS_MISSING = ("NAType", "NaTType")


def plain_rows(rows: object, manifest: Manifest) -> object:
    """The rows as mappings or lists of None, bool, int, float and str. Raises RowsRefused for a container that holds
    no rows; what is wrong with a cell is the row reader's to say.
    """
    if hasattr(rows, "columns") and hasattr(rows, "isna"):
        return _frame_rows(rows, manifest)
    if isinstance(rows, np.ndarray | np.void):
        return _array_rows(np.asanyarray(rows), manifest)
    return _plain(rows)


def _frame_rows(frame: Any, manifest: Manifest) -> list[dict[object, object]]:
    names = list(frame.columns)
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise RowsRefused(f"two columns of the frame are called {str(twice)[:60]!r}: rename or drop one")
    readers = {feature.name: _READERS.get(feature.dtype, _plain) for feature in manifest.inputs}
    columns = [
        [
            None if missing else readers.get(name, _plain)(cell)
            for cell, missing in zip(frame[name].tolist(), frame[name].isna().tolist(), strict=True)
        ]
        for name in names
    ]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _array_rows(array: NDArray[Any], manifest: Manifest) -> object:
    if array.dtype.names is not None:
        named = np.atleast_1d(array)
        if named.ndim != 1:
            raise RowsRefused(f"a structured array of rows has shape [rows], not {list(array.shape)}")
        return [_plain(dict(zip(array.dtype.names, row, strict=True))) for row in named.tolist()]
    if array.ndim not in (1, 2):
        raise RowsRefused(f"an array of rows has shape [rows, features], not {list(array.shape)}")
    readers = [_READERS.get(feature.dtype, _plain) for feature in manifest.inputs]
    table = np.atleast_2d(array)
    if table.shape[1] != len(readers):
        names = ", ".join(feature.name for feature in manifest.inputs)
        raise RowsRefused(
            f"the array has {table.shape[1]} columns, and the model takes {len(readers)}: {names[:200]}, in this order"
        )
    return [[read(cell) for read, cell in zip(readers, row, strict=True)] for row in table.tolist()]


def _plain(value: object) -> object:
    """numpy's and pandas' scalars, arrays and series become Python's own values."""
    if isinstance(value, np.ndarray | np.generic):  # before all else: numpy's float64 is a float, its str_ a str
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {_plain(name): _plain(cell) for name, cell in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(cell) for cell in value]
    if type(value).__module__.partition(".")[0] == "pandas":
        return _plain_of_pandas(value)
    return value


def _plain_of_pandas(value: object) -> object:
    if type(value).__name__ in _PANDAS_MISSING:
        return None
    return _plain(value.to_dict()) if hasattr(value, "index") and hasattr(value, "to_dict") else value


def _whole(cell: object) -> object:
    """A whole float stands for an integer."""
    cell = _plain(cell)
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


def _flag(cell: object) -> object:
    """0 and 1 stand for false and true."""
    cell = _plain(cell)
    return bool(cell) if isinstance(cell, int | float) and cell in (0, 1) else cell


_READERS: dict[Dtype, Callable[[object], object]] = {"int64": _whole, "bool": _flag}
