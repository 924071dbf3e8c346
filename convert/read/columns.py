"""What each feature looks like in the rows: its kind, its range or categories, and whether values are missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from convert.read.known import Known

Kind = Literal["number", "integer", "bool", "string"]

# More distinct texts than this are free text, not categories, and would only swell the manifest.
MAX_CATEGORIES = 256


@dataclass(frozen=True)
class Column:
    """`low`/`high` for numbers; `categories` (sorted) for strings, None when there are too many to be categories.
    `told`: a category column of the model, whose categories are all that it knows instead of those of the rows; whole
    numbers may be such categories. `confusable`: float32 could confuse a value with what the model compares it with
    (`check.comparisons`).
    """

    name: str
    kind: Kind
    missing: bool
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] | tuple[int, ...] | None = None
    told: bool = False
    confusable: bool = False


def describe(frame: pd.DataFrame, known: Mapping[str, Known] | None = None) -> tuple[Column, ...]:
    """Describe every column of a frame that `rows.plain_columns` made. `known`: what the model tells of its columns."""
    columns = tuple(_describe(str(name), frame[name]) for name in frame.columns)
    return tuple(_told(column, (known or {}).get(column.name)) for column in columns)


def _told(column: Column, known: Known | None) -> Column:
    """The column with the categories that the model knows: a device may send those that the rows lack, and a model that
    takes no others may have any number of them.
    """
    if known is None or not (known.closed or known.texts):
        return column
    few = known.closed or len(known.values) <= MAX_CATEGORIES
    return replace(column, categories=tuple(sorted(known.values.tolist())) if few else None, told=True)


def _describe(name: str, column: pd.Series) -> Column:
    missing = bool(column.isna().any())
    kind = _kind(column)
    if kind == "string":
        values = sorted(set(column.dropna()))
        return Column(name, kind, missing, categories=tuple(values) if len(values) <= MAX_CATEGORIES else None)
    if kind == "bool":
        return Column(name, kind, missing)
    finite = column.dropna()
    if finite.empty:
        return Column(name, kind, missing)
    return Column(name, kind, missing, low=float(np.min(finite)), high=float(np.max(finite)))


def _kind(column: pd.Series) -> Kind:
    return {"b": "bool", "f": "number", "i": "integer", "u": "integer", "O": "string"}[column.dtype.kind]  # type: ignore[return-value]
