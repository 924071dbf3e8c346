"""The columnar form of a model: its ONNX file as literal bytes with columns between them.

An ONNX file keeps bulk in runs of numbers or texts. Each run becomes a column, kept in the shortest of several exact
forms (`whole`, `reals`, `texts`, `trees`); everything else stays as it is. Joining needs to know nothing of ONNX: it
writes literal bytes and columns in turn. The format is described in `docs/bundle-format.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from edgekit.errors import BundleError
from edgekit.wire import layout, reals, room, texts, trees, whole
from edgekit.wire.protobuf import Column, columns
from edgekit.wire.streams import LEVEL, Coded, Source, malformed, stream, varint

MAGIC = b"EKC1"
_MAX_TABLE_BYTES = 1 << 20
_LAYOUTS = ("varints", "<i1", "<i2", "<i4", "<i8", "<f4", "<f8", "texts")
_TEXTS = _LAYOUTS.index("texts")
_FOREST = len(_LAYOUTS)
_PART = _FOREST + 1  # the first of the layouts of columns that follow from a forest


def encode(content: bytes, level: int = LEVEL) -> bytes | None:
    """The columnar form of an ONNX file, or None when it has no columns; `level`: that of zstd, 0 for none."""
    try:
        found = columns(content)
    except ValueError:
        return None
    if not found:
        return None
    table, literal, coded = bytearray(), bytearray(), Coded()
    at = 0
    for begins, column, row, body in _rows(found):
        table += varint(begins - at) + row
        literal += content[at:begins]
        coded += body
        at = begins if column is None else column.end
    literal += content[at:]
    if len(table) > _MAX_TABLE_BYTES:
        return None
    return MAGIC + (stream(bytes(table)) + stream(bytes(literal)) + coded).render(level)


def _rows(found: list[Column]) -> Iterator[tuple[int, Column | None, bytes, Coded]]:
    """Each row of the table: where it begins in the file, its column, its bytes in the table, and its content."""
    forests = _forests(found)
    for column in found:
        forest = forests.get(column.node)
        if forest is None or column.name not in trees.PARTS:
            yield column.start, column, *_coded(column)
            continue
        if not forest.begun:
            forest.begun = True
            yield column.start, None, bytes([_FOREST]), forest.coded
        yield column.start, column, bytes([_PART + trees.PARTS.index(column.name)]), Coded()


class _Found:
    def __init__(self, coded: Coded) -> None:
        self.coded = coded
        self.begun = False


def _forests(found: list[Column]) -> dict[int, _Found]:
    by_node: dict[int, dict[str, Column]] = {}
    for column in found:
        if column.node >= 0:
            by_node.setdefault(column.node, {})[column.name] = column
    coded = {
        node: trees.encode({name: named[name].values for name in trees.PARTS})
        for node, named in by_node.items()
        if set(trees.PARTS) <= set(named)
    }
    return {node: _Found(each) for node, each in coded.items() if each is not None}


def _coded(column: Column) -> tuple[bytes, Coded]:
    kind = _LAYOUTS.index(column.layout.replace("u", "i") if column.layout[0] == "<" else column.layout)
    row = bytes([kind]) + varint(len(column.values))
    if kind == _TEXTS:
        return row + bytes([column.tag]), texts.encode(column.values)
    if column.layout[1] == "f":
        return row, reals.encode(column.values, column.shape)
    return row, whole.encode(column.values.astype(np.int64))


def decode(stored: bytes, expanded_bytes: int) -> bytes:
    """The ONNX file of a columnar form. Raises BundleError when it is not exactly `expanded_bytes` long."""
    try:
        with np.errstate(all="ignore"):
            return _joined(stored, expanded_bytes)
    except (ValueError, IndexError, OverflowError, MemoryError) as error:
        # numpy refuses in its own words what no check above has named; all of it means the same
        raise malformed(str(error)) from error


def _joined(stored: bytes, expanded_bytes: int) -> bytes:
    source = Source(stored)
    if bytes(source.take(len(MAGIC))) != MAGIC:
        raise malformed("it does not begin as one")
    table = Source(source.stream(_MAX_TABLE_BYTES))
    literal = Source(source.stream(expanded_bytes))
    out = _Output(expanded_bytes)
    forest: trees.Forest | None = None
    while not table.ended:
        out.add(literal.take(table.varint(expanded_bytes)))
        kind = table.byte()
        if kind == _FOREST:
            forest = None
            forest = trees.decode(source, out.left)
        elif kind > _FOREST:
            out.extend(_part(forest, kind - _PART))
        else:
            out.extend(_column(source, table, kind, out.left))
    out.add(literal.rest())
    if not source.ended:
        raise malformed("something follows its end")
    del forest  # the copy that is returned takes its room
    return out.finished()


def _part(forest: trees.Forest | None, place: int) -> Iterable[bytes]:
    if forest is None or place >= len(trees.PARTS):
        raise malformed("a column belongs to no trees")
    name = trees.PARTS[place]
    values = forest.column(name)
    return layout.fixed(values, values.dtype.str) if name == "nodes_splits" else layout.varints(values)


def _column(source: Source, table: Source, kind: int, left: int) -> Iterable[bytes]:
    name = _LAYOUTS[kind]
    width = int(name[2]) if name[0] == "<" else 1
    count = table.varint(left // width)
    if kind == _TEXTS:
        return layout.texts(texts.decode(source, count, left), table.byte())
    if name[1] == "f" and name[0] == "<":
        return layout.fixed(reals.decode(source, count, name), name)
    values = whole.decode(source, count)
    return layout.varints(values) if width == 1 and name == "varints" else layout.fixed(values, name)


class _Output:
    """The file as it grows, up to the size that was promised. Memory that is not written to yet takes no room."""

    def __init__(self, size: int) -> None:
        self._file = room.empty(size, np.uint8)
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._file) - self._at

    def add(self, content: bytes | memoryview) -> None:
        if len(content) > self.left:
            raise BundleError("an entry expands to more than the manifest says", reason="size_mismatch")
        self._file[self._at : self._at + len(content)] = np.frombuffer(content, dtype=np.uint8)
        self._at += len(content)

    def extend(self, parts: Iterable[bytes]) -> None:
        for part in parts:
            self.add(part)

    def finished(self) -> bytes:
        return self._file[: self._at].tobytes()
