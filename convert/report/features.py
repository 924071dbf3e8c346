"""What each feature looks like in the given rows. Pure."""

from __future__ import annotations

import numpy as np
import pandas as pd

from convert.read.columns import Column
from convert.report.details import FeatureLine

_TOP_VALUES = 8


def describe_features(frame: pd.DataFrame, columns: tuple[Column, ...]) -> list[FeatureLine]:
    """A line for every feature, in the model's order."""
    return [_line(column, frame[column.name]) for column in columns]


def _line(column: Column, values: pd.Series) -> FeatureLine:
    present = values.dropna()
    missing = len(values) - len(present)
    if column.kind in ("string", "bool"):
        counts = sorted(present.value_counts().items(), key=lambda item: (-item[1], str(item[0])))
        top = [(str(value), int(count)) for value, count in counts[:_TOP_VALUES]]
        return FeatureLine(name=column.name, kind=column.kind, missing=missing, distinct=len(counts), categories=top)
    return FeatureLine(
        name=column.name,
        kind=column.kind,
        missing=missing,
        low=column.low,
        median=float(np.median(present)) if len(present) else None,
        high=column.high,
        distinct=int(present.nunique()),
    )
