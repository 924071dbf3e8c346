"""The protocol's datatypes: what a cell of each looks like in JSON, and as bytes.

Bytes are little-endian, row-major, without padding; a flag is one byte of 0 or 1; a text is its length in four bytes
and then UTF-8. Source: docs/protocol/extension_binary_data.md of triton-inference-server.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from edge_agent.serve.columns import shorten, spell
from edge_agent.serve.rows import RowsRefused
from edgekit.manifest import Dtype

_LENGTH = struct.Struct("<I")
_JSON_TYPES: dict[str, frozenset[type]] = {
    "flag": frozenset({bool}),
    "integer": frozenset({int}),
    "float": frozenset({int, float, type(None)}),
    "text": frozenset({str, type(None)}),
}
_JSON_WORDS = {"flag": "true or false", "integer": "an integer", "float": "a number", "text": "a text"}


@dataclass(frozen=True)
class Datatype:
    """One datatype. `code`: how `struct` calls a cell, None for text; `low`, `high` bound integers."""

    name: str
    kind: Literal["flag", "integer", "float", "text"]
    code: str | None
    low: int = 0
    high: int = 0

    @cached_property
    def cell_bytes(self) -> int:
        """The size of a cell; of a text the least it can be."""
        return _LENGTH.size if self.code is None else struct.calcsize(f"<{self.code}")


def _integers(codes: str, *, signed: bool) -> list[Datatype]:
    datatypes = []
    for bits, code in zip((8, 16, 32, 64), codes, strict=True):
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        datatypes.append(Datatype(f"{'' if signed else 'U'}INT{bits}", "integer", code, low, high))
    return datatypes


DATATYPES: dict[str, Datatype] = {
    datatype.name: datatype
    for datatype in (
        Datatype("BOOL", "flag", "?"),
        *_integers("bhiq", signed=True),
        *_integers("BHIQ", signed=False),
        Datatype("FP16", "float", "e"),
        Datatype("FP32", "float", "f"),
        Datatype("FP64", "float", "d"),
        Datatype("BYTES", "text", None),
    )
}
OF_DTYPE: dict[Dtype, Datatype] = {
    "float32": DATATYPES["FP32"],
    "float64": DATATYPES["FP64"],
    "int64": DATATYPES["INT64"],
    "bool": DATATYPES["BOOL"],
    "string": DATATYPES["BYTES"],
}


def check_json(datatype: Datatype, cells: Sequence[object], name: str) -> None:
    """Raises RowsRefused when a cell of the JSON form is not of the datatype; null stands for a missing value."""
    if datatype.name == "FP16":
        raise RowsRefused(f"input {name!r}: FP16 has no JSON form, send it as binary data or as FP32")
    kinds = _JSON_TYPES[datatype.kind]
    if not set(map(type, cells)) <= kinds:
        place, cell = next((place, cell) for place, cell in enumerate(cells) if type(cell) not in kinds)
        raise RowsRefused(
            f"input {name!r} is {datatype.name}: value {place} must be {_JSON_WORDS[datatype.kind]}, not {spell(cell)}"
        )
    if datatype.kind == "integer":
        for cell in (min(cells), max(cells)):  # type: ignore[type-var]
            if not datatype.low <= cell <= datatype.high:  # type: ignore[operator]
                raise RowsRefused(f"input {name!r}: {spell(cell)} does not fit in {datatype.name}")


def read_numbers(datatype: Datatype, raw: bytes, name: str) -> Sequence[Any]:
    """The cells, in Python's own types. Raises RowsRefused for a flag that is neither 0 nor 1."""
    if datatype.kind == "flag" and (strange := raw.translate(None, b"\x00\x01")):
        raise RowsRefused(f"input {name!r}: a BOOL is one byte of 0 or 1, not {strange[0]}")
    return struct.unpack(f"<{len(raw) // datatype.cell_bytes}{datatype.code}", raw)


def read_texts(raw: bytes, count: int, name: str) -> list[str]:
    """`count` texts. Raises RowsRefused when the lengths do not add up, or for what is not UTF-8."""
    texts: list[str] = []
    start = 0
    while start < len(raw):
        place, begin = len(texts), start + _LENGTH.size
        if begin > len(raw):
            raise RowsRefused(f"input {name!r}: the binary data ends within the length of text {place}")
        (length,) = _LENGTH.unpack_from(raw, start)
        start = begin + length
        if start > len(raw):
            raise RowsRefused(f"input {name!r}: text {place} should be {length} bytes, {len(raw) - begin} are left")
        if place == count:
            raise RowsRefused(f"input {name!r} has more texts in its binary data than its shape says, which is {count}")
        texts.append(_decoded(raw[begin:start], place, name))
    if len(texts) != count:
        raise RowsRefused(f"input {name!r} has {len(texts)} texts in its binary data, its shape says {count}")
    return texts


def _decoded(text: bytes, place: int, name: str) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise RowsRefused(f"input {name!r}: text {place} is not UTF-8 ({shorten(repr(text))})") from error


def binary_form(datatype: Datatype, cells: Sequence[Any]) -> bytes:
    """The cells as bytes."""
    if datatype.code is not None:
        return struct.pack(f"<{len(cells)}{datatype.code}", *cells)
    encoded = [str(cell).encode() for cell in cells]
    return b"".join(part for text in encoded for part in (_LENGTH.pack(len(text)), text))
