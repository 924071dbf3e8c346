"""Finds in an ONNX file the runs of bytes that are columns of numbers or texts. Knows protobuf's encoding and the few
fields of ONNX that hold bulk; what it does not know it passes by.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.wire.layout import read_varints

_LEAST_BYTES = 32  # a shorter run costs more as a column than it saves
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_GRAPH, _NODE, _INITIALIZER, _ATTRIBUTE = 7, 1, 5, 5
_DIMS, _DATA_TYPE = 1, 2
_ATTRIBUTE_TENSOR = 5
# ONNX data types with how their raw data lies: f and d are floating, i signed, u unsigned; float16 is kept by its bits.
_RAW_TYPES = {
    1: "<f4", 2: "<u1", 3: "<i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "<u1", 10: "<u2", 11: "<f8", 12: "<u4",
    13: "<i8", 16: "<u2",
}  # fmt: skip
_VARINTS, _TEXTS = "varints", "texts"
_ATTRIBUTE_BULK = {7: "<f4", 8: _VARINTS}
_TENSOR_BULK = {4: "<f4", 5: _VARINTS, 7: _VARINTS, 10: "<f8"}
_ATTRIBUTE_TEXTS, _TENSOR_TEXTS, _RAW_DATA = 9, 6, 9


@dataclass(frozen=True)
class Field:
    """One field of a message: its number and wire type, where its tag begins, where its content begins and ends."""

    number: int
    wire: int
    start: int
    body: int
    end: int


@dataclass(frozen=True)
class Column:
    """The bytes [start, end): `values` are its numbers, or a list of texts after the tag `tag`. `layout`: `varints`,
    `texts`, or the numpy type of fixed numbers. `node` and `name`: which attribute of which node, if it is one.
    """

    start: int
    end: int
    layout: str
    values: Any
    tag: int = 0
    shape: tuple[int, ...] = ()
    node: int = -1
    name: str = ""


def columns(content: bytes) -> list[Column]:
    """The columns in rising order. Raises ValueError when `content` is not a message of protobuf."""
    found: list[Column] = []
    for graph in fields(content, 0, len(content)):
        if graph.number == _GRAPH and graph.wire == _BYTES:
            for place, line in enumerate(fields(content, graph.body, graph.end)):
                if line.wire == _BYTES and line.number == _NODE:
                    found += _of_node(content, line, place)
                elif line.wire == _BYTES and line.number == _INITIALIZER:
                    found += _of_tensor(content, line, -1, "")
    return found


def fields(content: bytes, start: int, end: int) -> Iterator[Field]:
    """The fields of the message in [start, end). Raises ValueError."""
    at = start
    while at < end:
        tag, body = read_varint(content, at, end)
        wire = tag & 7
        if wire == _VARINT:
            _, stop = read_varint(content, body, end)
        elif wire == _BYTES:
            length, body = read_varint(content, body, end)
            stop = body + length
        elif wire in (_FIXED64, _FIXED32):
            stop = body + (8 if wire == _FIXED64 else 4)
        else:
            raise ValueError("not a message of protobuf")
        if stop > end or tag < 8:
            raise ValueError("not a message of protobuf")
        yield Field(tag >> 3, wire, at, body, stop)
        at = stop


def read_varint(content: bytes, at: int, end: int) -> tuple[int, int]:
    """The number at `at`, and where it ends. Raises ValueError."""
    value = 0
    for place in range(min(10, end - at)):
        byte = content[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("not a message of protobuf")


def _of_node(content: bytes, node: Field, place: int) -> Iterator[Column]:
    for attribute in fields(content, node.body, node.end):
        if attribute.number != _ATTRIBUTE or attribute.wire != _BYTES:
            continue
        lines = list(fields(content, attribute.body, attribute.end))
        name = next((content[line.body : line.end].decode() for line in lines if line.number == 1), "")
        for line in lines:
            if line.wire == _BYTES and line.number in _ATTRIBUTE_BULK:
                yield from _bulk(content, line, _ATTRIBUTE_BULK[line.number], place, name)
            elif line.wire == _BYTES and line.number == _ATTRIBUTE_TENSOR:
                yield from _of_tensor(content, line, place, name)
        yield from _texts(content, [line for line in lines if line.number == _ATTRIBUTE_TEXTS])


def _of_tensor(content: bytes, tensor: Field, place: int, name: str) -> Iterator[Column]:
    lines = list(fields(content, tensor.body, tensor.end))
    shape = tuple(_numbers(content, lines, _DIMS))
    kind = _RAW_TYPES.get(next(iter(_numbers(content, lines, _DATA_TYPE)), 0))
    for line in lines:
        if line.wire == _BYTES and line.number == _RAW_DATA and kind is not None:
            yield from _bulk(content, line, kind, place, name, shape)
        elif line.wire == _BYTES and line.number in _TENSOR_BULK:
            yield from _bulk(content, line, _TENSOR_BULK[line.number], place, name, shape)
    yield from _texts(content, [line for line in lines if line.number == _TENSOR_TEXTS])


def _numbers(content: bytes, lines: list[Field], number: int) -> Iterator[int]:
    for line in lines:
        if line.number == number and line.wire == _VARINT:
            yield read_varint(content, line.body, line.end)[0]
        elif line.number == number and line.wire == _BYTES:
            yield from read_varints(content[line.body : line.end]).tolist()


def _bulk(
    content: bytes, line: Field, layout: str, place: int, name: str, shape: tuple[int, ...] = ()
) -> Iterator[Column]:
    if line.end - line.body < _LEAST_BYTES:
        return
    raw = content[line.body : line.end]
    values = read_varints(raw) if layout == _VARINTS else np.frombuffer(raw, dtype=layout)
    yield Column(line.body, line.end, layout, values, shape=shape, node=place, name=name)


def _texts(content: bytes, lines: list[Field]) -> Iterator[Column]:
    if not lines or lines[-1].end - lines[0].start < _LEAST_BYTES:
        return
    values = [content[line.body : line.end] for line in lines]
    yield Column(lines[0].start, lines[-1].end, _TEXTS, values, tag=content[lines[0].start])
