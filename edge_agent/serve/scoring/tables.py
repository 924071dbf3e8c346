"""A table, column names and rows of cells, becomes rows for the model: columns are found by name, never by position.

A name that means nothing, comes twice, or is missing refuses the whole table, and so does a row of another length:
what is wrong with a table is told once, not once for each row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge_agent.serve.columns import FeatureProblem, shorten, spell
from edge_agent.serve.rows import MAX_PROBLEMS, Batch, RowReader, RowsRefused, refusal

MAX_ROWS = 1 << 16
_KNOWN_CHARS = 200


class TooManyRows(RowsRefused):
    """More rows than one request may hold: the client must send them in several."""

    default_reason = "too_many_rows"


def too_many() -> TooManyRows:
    """The refusal of more rows than `MAX_ROWS`."""
    return TooManyRows(f"more than {MAX_ROWS} rows at once: send them in several requests")


def check_count(rows: int) -> None:
    """Raises RowsRefused for no rows, TooManyRows for too many."""
    if rows == 0:
        raise RowsRefused("there are no rows: send at least one")
    if rows > MAX_ROWS:
        raise too_many()


def check_names(reader: RowReader, names: Sequence[object]) -> None:
    """Raises RowsRefused for names that are unknown or come twice, and for features that are missing and must not."""
    known = {column.feature.name for column in reader.columns}
    problems: list[FeatureProblem] = []
    seen: set[object] = set()
    for name in names:
        if not isinstance(name, str) or name not in known:
            problems.append(_unknown(reader, name))
        elif name in seen:
            problems.append(_twice(name))
        else:
            seen.add(name)
        if len(problems) >= MAX_PROBLEMS:
            raise refusal(problems)
    for column in reader.columns:
        absent = None if column.feature.name in seen else column.absent()
        if isinstance(absent, FeatureProblem):
            problems.append(absent)
    if problems:
        raise refusal(problems)


def check_widths(names: Sequence[object], rows: Sequence[object]) -> None:
    """Raises RowsRefused for rows that are not lists of one cell per column."""
    expected = f"a list of {len(names)} values, one for each column"
    problems: list[FeatureProblem] = []
    for number, row in enumerate(rows):
        listed = isinstance(row, list)
        if listed and len(row) == len(names):  # type: ignore[arg-type]
            continue
        problem = "wrong_length" if listed else "wrong_type"
        problems.append(FeatureProblem(feature="", problem=problem, expected=expected, got=spell(row), row=number))
        if len(problems) >= MAX_PROBLEMS:
            break
    if problems:
        raise refusal(problems)


def from_rows(reader: RowReader, names: Sequence[object], rows: Sequence[object]) -> Batch:
    """The batch of a table given row by row. Raises RowsRefused."""
    check_names(reader, names)
    check_count(len(rows))
    check_widths(names, rows)
    columns: Any = zip(*rows, strict=True)
    return _in_order(reader, dict(zip(names, columns, strict=True)), len(rows))


def from_columns(reader: RowReader, columns: Mapping[str, object]) -> Batch:
    """The batch of a table given column by column: lists of equal length, or, for one row, values alone. Raises
    RowsRefused.
    """
    check_names(reader, list(columns))
    lists = {name: cells for name, cells in columns.items() if isinstance(cells, list)}
    if not lists:
        check_count(len(columns))
        lists = {name: [cell] for name, cell in columns.items()}
    _check_lengths(columns, lists)
    count = len(next(iter(lists.values())))
    check_count(count)
    return _in_order(reader, lists, count)


def _in_order(reader: RowReader, columns: Mapping[Any, Sequence[object]], count: int) -> Batch:
    """The rows, once the table is known to be one. A feature that may be missing may be missing as a column."""
    absent = [None] * count
    return reader.from_lists(list(zip(*(columns.get(name, absent) for name in reader.names), strict=True)))


def _check_lengths(columns: Mapping[str, object], lists: Mapping[str, list[object]]) -> None:
    first, cells = next(iter(lists.items()))
    expected = f"a list of {len(cells)} values, as many as {first!r} has"
    problems = [
        FeatureProblem(
            feature=name,
            problem="wrong_length" if name in lists else "wrong_type",
            expected=shorten(expected, _KNOWN_CHARS),
            got=spell(given),
        )
        for name, given in columns.items()
        if name not in lists or len(lists[name]) != len(cells)
    ]
    if problems:
        raise refusal(problems)


def _unknown(reader: RowReader, name: object) -> FeatureProblem:
    known = "one of " + ", ".join(reader.names)
    # pandas writes a frame's index as a column without a name.
    expected = f"a name (write the table without its index): {known}" if name == "" else known
    return FeatureProblem(
        feature=shorten(name if isinstance(name, str) else spell(name)),
        problem="unknown",
        expected=shorten(expected, _KNOWN_CHARS),
        got="a column of that name",
    )


def _twice(name: str) -> FeatureProblem:
    return FeatureProblem(feature=name, problem="duplicate", expected="each column once", got="it again")
