"""Counts the training rows into bins, so that a device can tell later whether its world has changed.

Numeric edges lie half-way between neighbouring values, never on one: a value that arrives as float32 falls into the
same bin as its float64 original.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convert.read.columns import Column
from edgekit.golden import REFERENCE_SCHEMA, CategoricalBins, Linear, NumericBins, Reference

_DECILES = np.arange(1, 10) / 10
_TOP_VALUES = 20


def count_reference(
    frame: pd.DataFrame,
    columns: tuple[Column, ...],
    labels: NDArray[np.generic] | None,
    linear: Linear | None = None,
) -> Reference:
    """Bins of every feature, and how often each class was predicted for these rows; the terms of a linear model."""
    return Reference(
        schema=REFERENCE_SCHEMA,
        rows=len(frame),
        features=[_bins(column, frame[column.name]) for column in columns],
        predicted=_predicted(labels),
        linear=linear,
    )


def _predicted(labels: NDArray[np.generic] | None) -> dict[str, int]:
    if labels is None:
        return {}
    spelled = labels.astype(str)
    if spelled.ndim == 2:  # of several targets: the target's number before its class
        spelled = np.char.add([f"{target}:" for target in range(spelled.shape[1])], spelled)
    values, counts = np.unique(spelled, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _bins(column: Column, values: pd.Series) -> NumericBins | CategoricalBins:
    missing = int(values.isna().sum())
    present = values.dropna()
    if column.kind in ("string", "bool"):
        return _categorical(column.name, present, missing)
    return _numeric(column.name, present.to_numpy(dtype=np.float64), missing)


def _categorical(name: str, present: pd.Series, missing: int) -> CategoricalBins:
    counts = sorted(present.value_counts().items(), key=lambda item: (-item[1], str(item[0])))
    top = counts[:_TOP_VALUES]
    return CategoricalBins(
        name=name,
        values=[value for value, _ in top],
        counts=[int(count) for _, count in top],
        other=sum(int(count) for _, count in counts[_TOP_VALUES:]),
        missing=missing,
    )


def _numeric(name: str, values: NDArray[np.float64], missing: int) -> NumericBins:
    edges = _edges(values)
    places = np.searchsorted(edges, values, side="left")
    counts = np.bincount(places, minlength=len(edges) + 1)
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    return NumericBins(
        name=name,
        edges=edges.tolist(),
        counts=counts.tolist(),
        missing=missing,
        low=low,
        high=high,
        means=[_mean(values[places == place]) for place in range(len(counts))],
    )


def _mean(values: NDArray[np.float64]) -> float:
    """The mean in as few digits as tell it to a hundredth of the spread of the values."""
    if not len(values):
        return 0.0
    low, high = float(values.min()), float(values.max())
    spread = high - low
    if not 0.0 < spread < np.inf:
        return low if spread == 0.0 else float(np.mean(values / 2) * 2)
    return round(float(np.mean(values)), 2 - math.floor(math.log10(spread)))


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    distinct = np.unique(values)
    if len(distinct) < 2:  # a constant gets a bin of its own, so that leaving it shows
        margin = 1e-6 * np.maximum(np.abs(distinct), 1.0)
        return np.concatenate([distinct - margin, distinct + margin])
    below = np.searchsorted(distinct, np.quantile(values, _DECILES), side="right") - 1
    inner = np.unique(np.minimum(below, len(distinct) - 2))
    halfway: NDArray[np.float64] = distinct[inner] / 2 + distinct[inner + 1] / 2
    return halfway
