"""Trees whose leaves stand for rows of a table: each tree tells its row, and the rows are added in the trees' order.

An operator adds what one leaf holds to one sum only, and in float32 where the rows are; here whole rows are added, in
float64 as scikit-learn does, so that near ties fall alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.export.refusal import NotExportable
from convert.export.trees import ensemble
from convert.export.trees.ensemble import Forest
from convert.export.trees.fitted import Reals, Tree, round_down
from convert.export.writer import DOUBLE, FLOAT, INT64, Writer

_MAX_ROWS = 1 << 24  # above this a row number is no exact float32
# The looked-up numbers of one row take trees × width × 8 bytes, and batches have up to a thousand rows.
_MAX_LOOKED_UP = 8192


@dataclass(frozen=True)
class Table:
    """`rows[i]`: distinct rows of numbers; `index[t][n]`: the row of node n of tree t (0 where it is no leaf).
    `divisors`: what to divide the rows by, where that gives the numbers exactly and whole numbers take less room.
    """

    rows: NDArray[Any]
    index: list[Reals]
    divisors: NDArray[Any] | None = None


def summed(writer: Writer, trees: list[Tree], table: Table) -> str:
    """The sums [rows, width] of the table's rows that the trees lead to, in the table's own type or float64.

    Raises NotExportable when the table is too long, or adding would take too much memory.
    """
    if len(table.rows) >= _MAX_ROWS:
        raise NotExportable(f"its leaves hold {len(table.rows)} distinct answers")
    if len(trees) * table.rows.shape[1] > _MAX_LOOKED_UP:
        raise NotExportable(f"{len(trees)} trees of {table.rows.shape[1]} numbers each would take too much memory")
    numbered = [
        Tree(**(vars(tree) | {"target": np.full(len(tree.left), place), "weight": index}))
        for place, (tree, index) in enumerate(zip(trees, table.index, strict=True))
    ]
    found = ensemble.add(writer, float32_rows(writer), forest(writer, numbered, len(trees)))
    rows = writer.constant(table.rows)
    if table.divisors is not None:  # onnxruntime does this once, when it loads the model
        divisors = writer.cast(writer.constant(table.divisors), DOUBLE)
        rows = writer.node("Div", writer.cast(rows, DOUBLE), divisors)
    looked_up = writer.node("Gather", rows, writer.cast(found, INT64), axis=0)
    return writer.node("ReduceSum", looked_up, writer.constant(np.array([1])), keepdims=0)


def indexed(trees: list[Any], chosen: list[NDArray[np.intp]], which: NDArray[np.intp]) -> list[Reals]:
    """A table's index, from the row of each of the chosen nodes of all trees of `sklearn.tree`."""
    found = []
    stops = np.cumsum([len(leaf) for leaf in chosen])[:-1]
    for tree, leaf, rows in zip(trees, chosen, np.split(which.ravel(), stops), strict=True):
        index = np.zeros(tree.node_count)
        index[leaf] = rows
        found.append(index)
    return found


def float32_rows(writer: Writer) -> str:
    """The rows as scikit-learn's trees read them: float32, whatever came before."""
    return writer.cast(writer.input, FLOAT, writer.input_type)


def forest(writer: Writer, trees: list[Tree], targets: int) -> Forest:
    """Trees of `sklearn.tree` for rows in float32."""
    return Forest(trees, [round_down(tree.threshold) for tree in trees], targets, writer.missing)


def divided(writer: Writer, name: str, count: int, element: int) -> str:
    """These sums of floating type `element`, by the number of trees."""
    return name if count == 1 else writer.node("Div", name, writer.numbers([count], element))
