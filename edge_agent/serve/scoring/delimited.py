"""Rows as CSV (RFC 4180): the first line names the columns, an empty cell is a missing value, nothing else is.

UTF-8, with or without a byte order mark; lines end in LF, CRLF or CR; cells with commas, quotes or line ends in them
are quoted. Numbers are spelled as in JSON (a leading plus and spaces around are allowed), flags as true, True or TRUE
and their opposites; texts are taken as they are. Nothing is guessed: `NA` is a text, or a number that cannot be read.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from edge_agent.serve.columns import FeatureProblem
from edge_agent.serve.rows import Batch, RowReader, RowsRefused, refusal
from edge_agent.serve.scoring.tables import MAX_ROWS, check_count, check_names, check_widths, from_columns, too_many
from edgekit.errors import MessageError
from edgekit.manifest import Dtype

# Each cell must be read in time that grows with its length and no faster, whatever it holds.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,400}")
_FLAGS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_SPACE = " \t"


def from_csv(reader: RowReader, body: bytes) -> Batch:
    """The batch of a CSV text. Raises MessageError when it is not CSV, RowsRefused when the rows do not fit."""
    lines = csv.reader(io.StringIO(_text(body), newline=""), strict=True)
    try:
        names = next(lines, [])
        if not names:
            raise RowsRefused("the first line is empty: it must name the columns")
        check_names(reader, names)
        rows = list(_rows(lines))
    except csv.Error as error:
        raise MessageError(
            f"line {lines.line_num} of the body is not CSV ({error}): quote cells that hold commas, quotes or line ends"
        ) from error
    check_count(len(rows))
    check_widths(names, rows)
    kinds = {column.feature.name: _READERS[column.feature.dtype] for column in reader.columns}
    cells = {name: kinds[name](column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    try:
        return from_columns(reader, cells)
    except RowsRefused as refused:
        raise refusal([_respelled(problem) for problem in refused.problems]) from None


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MessageError(f"the body is not UTF-8 text (byte {error.start}): send the CSV as UTF-8") from error


def _rows(lines: Iterator[list[str]]) -> Iterator[list[str]]:
    """The rows. Empty lines may only follow the last one: elsewhere it is not clear how many rows are meant."""
    count, blank = 0, False
    for cells in lines:
        if not cells:
            blank = True
            continue
        if blank:
            raise RowsRefused(f'an empty line comes before row {count}: remove it, or write "" for a missing value')
        count += 1
        if count > MAX_ROWS:
            raise too_many()
        yield cells


def _floats(cells: Sequence[str]) -> list[object]:
    if all(map(_NUMBER.fullmatch, cells)):
        return [*map(float, cells)]
    stripped = [cell.strip(_SPACE) for cell in cells]
    return [
        float(text) if _NUMBER.fullmatch(text) else cell or None for cell, text in zip(cells, stripped, strict=True)
    ]


def _ints(cells: Sequence[str]) -> list[object]:
    stripped = [cell.strip(_SPACE) for cell in cells]
    return [int(text) if _INTEGER.fullmatch(text) else cell or None for cell, text in zip(cells, stripped, strict=True)]


def _flags(cells: Sequence[str]) -> list[object]:
    return [_FLAGS.get(cell.strip(_SPACE), cell or None) for cell in cells]


def _texts(cells: Sequence[str]) -> list[object]:
    return [cell or None for cell in cells]


# Column by column, which takes half the time of cell by cell. What is not of the column's kind stays the text it is.
_READERS: dict[Dtype, Callable[[Sequence[str]], list[object]]] = {
    "float32": _floats,
    "float64": _floats,
    "int64": _ints,
    "bool": _flags,
    "string": _texts,
}


def _respelled(problem: FeatureProblem) -> FeatureProblem:
    """CSV has no null."""
    if problem.problem == "null":
        return replace(problem, got="an empty cell")
    if problem.expected.endswith(", or null"):
        return replace(problem, expected=problem.expected.removesuffix("null") + "an empty cell")
    return problem
