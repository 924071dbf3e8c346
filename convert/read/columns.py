"""What each feature looks like in the rows: its kind, its range or categories, and whether values are missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

Kind = Literal["number", "integer", "bool", "string"]

# More distinct texts than this are free text, not categories, and would only swell the manifest.
MAX_CATEGORIES = 256


@dataclass(frozen=True)
class Column:
    """`low`/`high` for numbers; `categories` (sorted) for strings, None when there are too many to be categories.
    `confusable`: float32 could confuse a value with what the model compares it with (`check.comparisons`).
    """

    name: str
    kind: Kind
    missing: bool
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] | None = None
    confusable: bool = False


def describe(frame: pd.DataFrame) -> tuple[Column, ...]:
    """Describe every column of a frame that `rows.plain_columns` made."""
    return tuple(_describe(str(name), frame[name]) for name in frame.columns)


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
