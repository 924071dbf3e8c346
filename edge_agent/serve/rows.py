"""What a client sends becomes rows that the model can take, or a refusal that names every feature at fault.

A row comes as an object by feature name (key order means nothing) or as a list in the manifest's order. `Column.read`
defines what is allowed; the msgspec decoders generated from the manifest are a fast way to the same rows, and whatever
they refuse is read again the slow way, to say what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import msgspec

from edge_agent.serve.columns import Cell, Column, FeatureProblem, columns_of, shorten, spell
from edgekit.errors import MessageError, UsageFault
from edgekit.manifest import Manifest

Row = tuple[Cell, ...]

MAX_PROBLEMS = 20


class RowsRefused(UsageFault):
    """The rows do not fit the model's inputs: whoever sent them must mend them. At most `MAX_PROBLEMS` are listed."""

    default_reason = "bad_rows"

    def __init__(self, message: str, problems: Sequence[FeatureProblem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Batch:
    """Rows for the model, cells in packing order (see `columns_of`). `many`: a list was sent, so a list is answered."""

    rows: list[Row]
    many: bool


class RowReader:
    """Reads rows for one model. `names`: its features in the manifest's order."""

    def __init__(self, manifest: Manifest) -> None:
        self.columns = columns_of(manifest)
        self._named = {column.feature.name: column for column in self.columns}
        self.names = [feature.name for feature in manifest.inputs]
        self._in_order = [self._named[name] for name in self.names]
        self._fast = _FastReader(self.columns, self._in_order)
        # The row of a body that is one object with nothing unusual about it; None: ask `from_json`.
        self.one_from_json = self._fast.read_one

    def from_json(self, body: bytes) -> Batch:
        """One row or a list of rows. Raises MessageError when it is not JSON, RowsRefused when it does not fit."""
        return self._fast.read(body) or self.from_values(parse_json(body))

    def from_lists(self, rows: Sequence[Sequence[object]]) -> Batch:
        """The same from rows of Python values in the manifest's order, at least one. Raises RowsRefused."""
        return self._fast.read_lists(rows) or self.from_values(rows)

    def from_values(self, value: object) -> Batch:
        """The same from parsed JSON or Python values: a mapping, a list of cells, or a list of either; a missing cell
        is None or NaN. Raises RowsRefused.
        """
        raw, many = _split(value)
        problems: list[FeatureProblem] = []
        rows: list[Row] = []
        for number, item in enumerate(raw):
            rows.append(self._row(item, number if many else None, problems))
            if len(problems) >= MAX_PROBLEMS:
                break
        if problems:
            raise refusal(problems)
        return Batch(rows, many)

    def from_columns(self, columns: Mapping[str, Sequence[object]], count: int) -> Batch:
        """The same from the values of whole columns by feature name, `count` of them each. Raises RowsRefused."""
        problems = [self._unknown(name, columns[name][0]) for name in columns if name not in self._named]
        packed: list[Sequence[Cell]] = []
        for column in self.columns:
            if len(problems) >= MAX_PROBLEMS:
                break
            packed.append(_column_cells(column, columns.get(column.feature.name), count, problems))
        if problems:
            raise RowsRefused(_summary(problems), problems[:MAX_PROBLEMS])
        return Batch(list(zip(*packed, strict=True)), True)

    def _row(self, raw: object, number: int | None, problems: list[FeatureProblem]) -> Row:
        named = self._by_name(raw)
        if named is None:
            problems.append(_not_a_row(raw, len(self.columns), number))
            return ()
        found = [self._unknown(name, named[name]) for name in named if name not in self._named]
        cells: list[Cell] = []
        for column in self.columns:
            name = column.feature.name
            cell = column.read(named[name]) if name in named else column.absent()
            if isinstance(cell, FeatureProblem):
                found.append(cell)
            else:
                cells.append(cell)
        problems.extend(msgspec.structs.replace(problem, row=number) for problem in found[:MAX_PROBLEMS])
        return tuple(cells)

    def _by_name(self, raw: object) -> Mapping[Any, object] | None:
        if isinstance(raw, Mapping):
            return raw
        if isinstance(raw, list | tuple) and len(raw) == len(self._in_order):
            return {column.feature.name: cell for column, cell in zip(self._in_order, raw, strict=True)}
        return None

    def _unknown(self, name: object, value: object) -> FeatureProblem:
        known = shorten("one of " + ", ".join(column.feature.name for column in self._in_order), 200)
        return FeatureProblem(feature=shorten(str(name)), problem="unknown", expected=known, got=spell(value))


def _column_cells(
    column: Column, values: Sequence[Any] | None, count: int, problems: list[FeatureProblem]
) -> Sequence[Cell]:
    """The cells of a column (None: it was not sent), as many as there are before the problems are too many."""
    if values is None:
        absent = column.absent()
        if not isinstance(absent, FeatureProblem):
            return [absent] * count
        problems.append(absent)
        return []
    if column.takes_all(values):
        return values
    cells: list[Cell] = []
    for number, value in enumerate(values):
        cell = column.read(value)
        if not isinstance(cell, FeatureProblem):
            cells.append(cell)
            continue
        problems.append(msgspec.structs.replace(cell, row=number))
        if len(problems) >= MAX_PROBLEMS:
            break
    return cells


def parse_json(body: bytes) -> object:
    """Any JSON value; a float too large becomes infinite, for `Column.read` to name. Raises MessageError."""
    try:
        return _ANY.decode(body)
    except (ValueError, RecursionError) as error:
        reason = "too deeply nested" if isinstance(error, RecursionError) else str(error)
        raise MessageError(f"the body is not valid JSON ({reason}): send a JSON object or list") from error


_ANY = msgspec.json.Decoder(float_hook=float)
_ASTUPLE = msgspec.structs.astuple


class _FastReader:
    """Decoders made for one model. None for anything unusual, never an exception: the slow way then has the word."""

    def __init__(self, columns: Sequence[Column], in_order: Sequence[Column]) -> None:
        by_name = msgspec.defstruct(
            "ByName",
            [_field(place, column) for place, column in enumerate(columns)],
            rename={f"f{place}": column.feature.name for place, column in enumerate(columns)},
            forbid_unknown_fields=True,
            kw_only=True,
        )
        listed = msgspec.defstruct(
            "Listed",
            [(f"f{place}", column.json_type()) for place, column in enumerate(in_order)],
            array_like=True,
            forbid_unknown_fields=True,
        )
        self._object = msgspec.json.Decoder(by_name).decode
        self._objects = msgspec.json.Decoder(list[by_name]).decode  # type: ignore[valid-type]
        self._list = msgspec.json.Decoder(listed).decode
        self._lists = msgspec.json.Decoder(list[listed]).decode  # type: ignore[valid-type]
        self._rows_type = list[listed]  # type: ignore[valid-type]
        self._reorder = _reordering(columns, in_order)
        self._fills = tuple(column.fill for column in columns)
        self._closed = [(place, column.allowed) for place, column in enumerate(columns) if column.allowed is not None]
        self._never_empty = [place for place, column in enumerate(columns) if column.feature.refuses_empty]
        self._checked = bool(self._closed) or bool(self._never_empty) or any(fill is not None for fill in self._fills)

    def read_one(self, body: bytes) -> Row | None:
        try:
            row: tuple[Any, ...] = _ASTUPLE(self._object(body))
        except (ValueError, RecursionError):
            return None
        if not self._checked:
            return row
        return self._filled(row) if self._known(row) else None

    def read(self, body: bytes) -> Batch | None:
        head = body[:16].lstrip()
        try:
            if head.startswith(b"{"):
                return self._batch([msgspec.structs.astuple(self._object(body))], many=False)
            second = head[1:].lstrip()[:1]
            if second == b"{":
                return self._batch([msgspec.structs.astuple(row) for row in self._objects(body)], many=True)
            if second == b"[":
                return self._batch(
                    [self._reorder(msgspec.structs.astuple(row)) for row in self._lists(body)], many=True
                )
            return self._batch([self._reorder(msgspec.structs.astuple(self._list(body)))], many=False)
        except (ValueError, RecursionError):
            return None

    def read_lists(self, rows: Sequence[Sequence[object]]) -> Batch | None:
        try:
            converted = msgspec.convert(rows, self._rows_type)
        except (ValueError, RecursionError):
            return None
        return self._batch([self._reorder(msgspec.structs.astuple(row)) for row in converted], many=True)

    def _batch(self, rows: list[Any], *, many: bool) -> Batch | None:
        if self._checked:
            if not all(self._known(row) for row in rows):
                return None
            rows = [self._filled(row) for row in rows]
        return Batch(rows, many)

    def _known(self, row: tuple[Any, ...]) -> bool:
        if any(row[place] == "" for place in self._never_empty):
            return False
        return all(row[place] is None or row[place] in allowed for place, allowed in self._closed)

    def _filled(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        if None not in row:
            return row
        return tuple(fill if cell is None else cell for cell, fill in zip(row, self._fills, strict=True))


def _field(place: int, column: Column) -> Any:
    head = (f"f{place}", column.json_type())
    return head if column.fill is None else (*head, msgspec.field(default=None))


def _reordering(columns: Sequence[Column], in_order: Sequence[Column]) -> Any:
    """From the manifest's order to packing order."""
    places = [in_order.index(column) for column in columns]
    return tuple if places == sorted(places) else itemgetter(*places)


def _split(value: object) -> tuple[Sequence[object], bool]:
    if isinstance(value, Mapping):
        return [value], False
    if not isinstance(value, list | tuple):
        raise RowsRefused(f"rows must be an object by feature name or a list, not {spell(value)}")
    if not value:
        raise RowsRefused("the list holds no rows: send at least one")
    if isinstance(value[0], Mapping | list | tuple):
        return value, True
    return [value], False


def _not_a_row(raw: object, width: int, number: int | None) -> FeatureProblem:
    expected = f"an object by feature name, or a list of {width} values in the model's order"
    listed = isinstance(raw, list | tuple)
    return FeatureProblem(
        feature="", problem="wrong_length" if listed else "wrong_type", expected=expected, got=spell(raw), row=number
    )


def refusal(problems: Sequence[FeatureProblem]) -> RowsRefused:
    """The refusal of rows with these problems, at least one; as many as `MAX_PROBLEMS` are told."""
    return RowsRefused(_summary(problems), problems[:MAX_PROBLEMS])


def _summary(problems: Sequence[FeatureProblem]) -> str:
    first = problems[0]
    where = f"feature {first.feature!r}" if first.feature else "the row"
    if first.row is not None:
        where = f"row {first.row}, {where}"
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    return f"{where} is refused ({first.problem}: expected {first.expected}, got {first.got}){more}"
