"""Which interval of a sorted list a number falls into: a balanced tree per column, in one `TreeEnsemble` operator.

Edges are rounded as the rows are (to nearest), so that a value that equals an edge still does in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.export.trees import ensemble
from convert.export.trees.fitted import Tree
from convert.export.writer import INT64, NUMPY, Writer

Edges = NDArray[np.float64]


def rounded(writer: Writer, edges: Edges) -> Edges:
    """The edges as numbers of the type to compute in."""
    return np.asarray(edges, dtype=NUMPY[writer.element]).astype(np.float64)


def count_below(writer: Writer, rows: str, edges: list[Edges], *, equal: bool) -> str:
    """How many of a column's edges are below each value (`equal`: or equal to it) [rows, columns] int64.

    `numpy.searchsorted(edges, x, side="right" if equal else "left")`. NaN is above all.
    """
    kind = NUMPY[writer.element]
    splits, trees = [], []
    for place, column in enumerate(edges):
        limits = np.asarray(column, dtype=kind)
        # The operator's left is "at most": below an edge is at most the number before it.
        limits = np.nextafter(limits, kind(-np.inf)) if equal else limits
        tree = _tree(len(limits), place)
        splits.append(np.append(limits, kind(0))[tree.threshold.astype(np.int64)])
        trees.append(tree)
    forest = ensemble.Forest(trees, splits, len(edges), missing=False)
    return writer.cast(ensemble.add(writer, rows, forest), INT64)


def _tree(count: int, place: int) -> Tree:
    """Inner nodes hold the number of their edge as threshold, leaves the number of edges to their left."""
    nodes: list[tuple[int, int, int, int]] = []  # edge, left, right, weight
    _grow(nodes, 0, count)
    table = np.array(nodes, dtype=np.int64)
    return Tree(
        feature=np.full(len(table), place, dtype=np.int64),
        threshold=table[:, 0].astype(np.float64),
        left=table[:, 1],
        right=table[:, 2],
        missing_left=np.zeros(len(table), dtype=bool),
        target=np.full(len(table), place, dtype=np.int64),
        weight=table[:, 3].astype(np.float64),
    )


def _grow(nodes: list[tuple[int, int, int, int]], low: int, high: int) -> int:
    """Add the subtree for the edges from `low` up to `high`, which is as deep as their count has bits."""
    here = len(nodes)
    nodes.append((high, -1, -1, low))
    if low < high:
        middle = (low + high) // 2
        left = _grow(nodes, low, middle)
        right = _grow(nodes, middle + 1, high)
        nodes[here] = (middle, left, right, 0)
    return here


def looked_up(writer: Writer, places: str, tables: list[NDArray[Any]]) -> str:
    """The entry of its column's table at each place: [rows, columns] or [rows, columns, k]."""
    offsets = np.cumsum([0] + [len(table) for table in tables[:-1]])
    where = writer.node("Add", places, writer.constant(offsets.astype(np.int64)))
    return writer.node("Gather", writer.numbers(np.concatenate(tables)), where, axis=0)
