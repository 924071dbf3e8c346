"""The JSON bodies of MLflow's scoring protocol become rows: exactly one of four fields holds them.

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/ and mlflow/pyfunc/scoring_server of MLflow 3. Where
MLflow is lenient in a way that could change an answer (it drops columns that it does not know, repeats a lone value,
reads a text as a number), the rows are refused here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec

from edge_agent.serve.columns import shorten, spell
from edge_agent.serve.rows import Batch, RowReader, RowsRefused, parse_json
from edge_agent.serve.scoring.tables import check_count, from_columns, from_rows
from edgekit.errors import MessageError

_SPLIT_KEYS = frozenset({"columns", "data", "index"})
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BEGINNING = re.compile(rb"[ \t\r\n]*(\S)[ \t\r\n]*(\S?)")
_BARE = re.compile(rb"NaN|Infinity")


def from_scoring_json(reader: RowReader, body: bytes) -> Batch:
    """The rows of a body. `params` and fields that mean nothing have no effect, as with any model of MLflow that
    declares none. Raises MessageError when it is not JSON, RowsRefused when the rows do not fit.
    """
    try:
        return _from_fields(reader, _fields(body))
    except MessageError as error:
        if _BARE.search(body):
            raise MessageError(
                f"{error.message}; NaN and Infinity are not JSON: send null for a missing value"
            ) from error
        raise


def _from_fields(reader: RowReader, fields: Mapping[str, bytes]) -> Batch:
    given = [form for form in FORMS if form in fields]
    if len(given) != 1:
        found = " and ".join(given) if given else shorten(", ".join(map(repr, fields)) or "none", 100)
        raise RowsRefused(f"the body must have exactly one of the fields {', '.join(FORMS)}, not {found}")
    for name, content in fields.items():
        if name != given[0]:
            _check_aside(name, parse_json(content))
    return FORMS[given[0]](reader, given[0], fields[given[0]])


def _fields(body: bytes) -> dict[str, bytes]:
    try:
        return {name: bytes(content) for name, content in _FIELDS.decode(body).items()}
    except (ValueError, RecursionError):
        value = parse_json(body)
        raise RowsRefused(
            f"the body must be an object with one of the fields {', '.join(FORMS)}, not {spell(value)}"
        ) from None


def _check_aside(name: str, value: object) -> None:
    if name == "params" and value is not None and not isinstance(value, dict):
        raise RowsRefused(f"params must be an object, not {spell(value)}")


def _split(reader: RowReader, form: str, content: bytes) -> Batch:
    """`{"columns": [...], "data": [[...]], "index": [...]}`; without columns, cells are in the model's order."""
    table = parse_json(content)
    if not isinstance(table, dict):
        raise RowsRefused(f"{form} must be an object with columns and data, not {spell(table)}")
    unknown = sorted(table.keys() - _SPLIT_KEYS)
    if unknown or "data" not in table:
        wrong = f"not {shorten(repr(unknown[0]))}" if unknown else "and data is missing"
        raise RowsRefused(f"{form} takes columns, data and index, {wrong}")
    rows, columns, index = table["data"], table.get("columns"), table.get("index")
    for name, value in (("data", rows), ("columns", columns), ("index", index)):
        if not isinstance(value, list) and (value is not None or name == "data"):
            raise RowsRefused(f"{name} of {form} must be a list, not {spell(value)}")
    if index is not None and len(index) != len(rows):
        raise RowsRefused(f"index of {form} has {len(index)} entries for {len(rows)} rows")
    return from_rows(reader, reader.names if columns is None else columns, rows)


def _records(reader: RowReader, form: str, content: bytes) -> Batch:
    """`[{"feature": value, …}, …]`"""
    if _begins(content) == b"[{":
        return _rows(reader, content)
    value = parse_json(content)
    if value == []:
        check_count(0)
    raise RowsRefused(f"{form} must be a list of objects by column name, not {_told(value)}")


def _tensors(reader: RowReader, form: str, content: bytes) -> Batch:
    """Rows as objects or as lists in the model's order, or an object of columns. Of a model with a single feature the
    values alone are rows.
    """
    if _begins(content) in (b"[{", b"[["):
        return _rows(reader, content)
    value = parse_json(content)
    if isinstance(value, dict):
        return from_columns(reader, value)
    if isinstance(value, list) and (not value or len(reader.columns) == 1):
        check_count(len(value))
        return reader.from_lists([[cell] for cell in value])
    raise RowsRefused(
        f"{form} must be a list of rows (each an object or a list), or an object of columns, not {_told(value)}"
    )


_Form = Callable[[RowReader, str, bytes], Batch]
FORMS: dict[str, _Form] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _tensors,
    "inputs": _tensors,
}


def _rows(reader: RowReader, content: bytes) -> Batch:
    batch = reader.from_json(content)
    check_count(len(batch.rows))
    return batch


def _begins(content: bytes) -> bytes:
    """The first two characters that are not space."""
    found = _BEGINNING.match(content)
    return b"" if found is None else b"".join(found.groups())


def _told(value: object) -> str:
    return f"a list that begins with {spell(value[0])}" if isinstance(value, list) and value else spell(value)
