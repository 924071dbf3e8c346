"""Rows at the rim of the training data: extremes, missing values, unseen categories.

Each edge row is a real row with one feature replaced. Where the source model itself refuses an unseen category (it
raises), there is no such edge row: the feature is marked closed, and the device refuses such values too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from convert.read.columns import Column
from convert.read.source import Source

UNSEEN = "edgekit-unseen"
_BASE_ROWS = 4
_MAX_FEATURES = 256


@dataclass(frozen=True)
class EdgeRows:
    """`labels[i]` says what is special about row i; `closed` names the features that take no unseen category."""

    frame: pd.DataFrame
    labels: tuple[str, ...]
    closed: frozenset[str]


def make_edge_rows(source: Source, frame: pd.DataFrame, columns: tuple[Column, ...]) -> EdgeRows:
    """Edge rows for at most the first 256 features, built on a few rows spread over `frame`."""
    picks = np.unique(np.linspace(0, len(frame) - 1, _BASE_ROWS).astype(int))
    base = frame.iloc[picks]
    parts: list[pd.DataFrame] = []
    labels: list[str] = []
    closed: set[str] = set()
    for column in columns[:_MAX_FEATURES]:
        for what, value in _special_values(column):
            part = _with(base, column, value)
            if value == UNSEEN and source.refuses(part):
                closed.add(column.name)
                continue
            parts.append(part)
            labels += [f"{column.name} {what}"] * len(part)
    joined = pd.concat(parts, ignore_index=True) if parts else frame.head(0)
    return EdgeRows(joined.astype(frame.dtypes.to_dict()), tuple(labels), frozenset(closed))


def _special_values(column: Column) -> Iterator[tuple[str, Any]]:
    if column.low is not None and column.high is not None:
        yield "at its smallest", column.low
        yield "at its largest", column.high
    if column.missing:
        yield "missing", np.nan
    if column.categories is not None:
        yield "of an unseen category", UNSEEN


def _with(base: pd.DataFrame, column: Column, value: Any) -> pd.DataFrame:
    held = int(value) if column.kind == "integer" else value
    return base.assign(**{column.name: pd.Series([held] * len(base), index=base.index, dtype=base[column.name].dtype)})
