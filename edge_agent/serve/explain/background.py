"""Rows that stand for the training rows: drawn from the bundle's reference bins, each feature by itself. Pure.

Only counts per feature are known on a device, so the features are taken as independent. Each feature's share of every
bin is kept to within one row (a Latin hypercube: McKay, Beckman & Conover 1979); a bin is represented by the mean of
its training rows, or by its middle in bundles that do not tell it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from edge_agent.serve.columns import Cell, Column
from edge_agent.serve.rows import Row
from edgekit.golden import CategoricalBins, NumericBins, Reference

Weighted = list[tuple[Cell, int]]

_SEED = 20_170_814


def draw(reference: Reference, columns: Sequence[Column], count: int) -> list[Row] | None:
    """`count` rows in packing order, always the same; None when the reference does not know every feature."""
    bins = {line.name: line for line in reference.features}
    rng = np.random.default_rng(_SEED)
    drawn: list[list[Cell]] = []
    for column in columns:
        line = bins.get(column.feature.name)
        known = [] if line is None else values(line, column)
        if not known:
            return None
        drawn.append(_spread(known, count, rng))
    return list(zip(*drawn, strict=True))


def values(line: NumericBins | CategoricalBins, column: Column) -> Weighted:
    """What the training rows held, as the model takes it, with counts. Rare categories that are not told by name are
    left out.
    """
    seen: Weighted = []
    if isinstance(line, NumericBins):
        seen = [(value, count) for value, count in zip(_centres(line), line.counts, strict=False) if count > 0]
    else:
        seen = [(value, count) for value, count in zip(line.values, line.counts, strict=False) if count > 0]
    if line.missing > 0 and column.fill is not None:
        seen.append((column.fill, line.missing))
    return [(cell, count) for value, count in seen for cell in [_fitting(value, column)] if cell is not None]


def _centres(line: NumericBins) -> list[float]:
    if len(line.means) == len(line.counts):
        return line.means
    ends = [line.low, *line.edges, line.high]
    return [(max(low, line.low) + min(high, line.high)) / 2 for low, high in pairwise(ends)]


def _fitting(value: Cell, column: Column) -> Cell | None:
    """The value as a cell of the column; None when the column takes no such value."""
    if value == column.fill or value != value:  # noqa: PLR0124 - NaN, which stands for a missing value
        return value
    if column.feature.dtype == "int64" and isinstance(value, float):
        value = round(value)
    cell = column.read(value)
    return cell if isinstance(cell, float | int | str | bool) else None


def _spread(known: Weighted, count: int, rng: np.random.Generator) -> list[Cell]:
    """`count` cells in random order, each value as often as its share says."""
    weights = np.cumsum([weight for _, weight in known])
    places = np.searchsorted(weights, (np.arange(count) + 0.5) / count * weights[-1], side="left")
    return [known[place][0] for place in rng.permutation(places).tolist()]
