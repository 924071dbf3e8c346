"""Solves one small symmetric positive definite system per row, with its entries as columns: Cholesky, written out."""

from __future__ import annotations

from convert.export.writer import Writer

Columns = list[str]


def solve(writer: Writer, matrix: list[Columns], right: Columns) -> Columns:
    """The x [rows, 1] each with matrix · x = right; `matrix[i][j]` [rows, 1] is needed for j <= i only."""
    lower: list[Columns] = []
    for i, line in enumerate(matrix):
        row: Columns = []
        for j in range(i):
            row.append(writer.node("Div", _less(writer, line[j], row, lower[j], j), lower[j][j]))
        row.append(writer.node("Sqrt", _less(writer, line[i], row, row, i)))
        lower.append(row)
    middle: Columns = []
    for i, value in enumerate(right):
        middle.append(writer.node("Div", _less(writer, value, middle, lower[i], i), lower[i][i]))
    found: Columns = []
    for i in reversed(range(len(right))):
        below = [lower[j][i] for j in reversed(range(i + 1, len(right)))]
        found.append(writer.node("Div", _less(writer, middle[i], found, below, len(found)), lower[i][i]))
    return found[::-1]


def _less(writer: Writer, value: str, left: Columns, right: Columns, count: int) -> str:
    """value - Σ left · right over the first `count`."""
    for one, other in zip(left[:count], right[:count], strict=True):
        value = writer.node("Sub", value, writer.node("Mul", one, other))
    return value
