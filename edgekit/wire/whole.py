"""Columns of whole numbers: what they are in the wire form, and back. int64 in, the narrowest useful type out.

A column is a head byte and a stream. The head's lowest three bits tell the width of a number (2^n bits), the next bit
whether its bytes stand in planes (all lowest bytes, then all next ones, …), the upper four what was done to the
numbers:

| 0 | nothing |
| 1 | zigzag: 0, -1, 1, -2, … became 0, 1, 2, 3, … |
| 2 | differences to the one before (the first to 0), zigzag |
| 3 | first seen: 0 stands for one more than the largest so far, n + 1 for n |
| 4 | all are the same: the zigzag number follows as a varint in place of the stream |

Numbers of fewer than 8 bits stand several in a byte, the first in its lowest bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.wire import room
from edgekit.wire.streams import Coded, Source, malformed, plain, shortest, stream, varint

Ints = NDArray[Any]

_PLAIN, _ZIGZAG, _DIFFERENCES, _FIRST_SEEN, _SAME = range(5)
_PLANES = 8
_CHUNK = 1 << 16
_MASK = (1 << 64) - 1


def encode(values: Ints) -> Coded:
    """The shortest form of a column [n] of int64."""
    values = values.astype(np.int64, copy=False)
    if len(values) == 0 or (values == values[0]).all():
        same = int(values[0]) if len(values) else 0
        return plain(bytes([_SAME << 4]) + varint((same << 1 ^ same >> 63) & _MASK))
    return shortest(_candidates(values))


def _candidates(values: Ints) -> Iterator[Coded]:
    for how, changed in _changed(values):
        largest = int(changed.max())
        code = next(code for code in range(7) if largest < 1 << (1 << code))
        yield _written(changed, how, code, planes=False)
        if code < 3:
            yield _written(changed, how, 3, planes=False)
        if code > 3:
            yield _written(changed, how, code, planes=True)


def _changed(values: Ints) -> Iterator[tuple[int, NDArray[np.uint64]]]:
    negative = bool(values.min() < 0)
    yield (_ZIGZAG, _zigzag(values)) if negative else (_PLAIN, values.view(np.uint64))
    with np.errstate(over="ignore"):
        yield _DIFFERENCES, _zigzag(np.diff(values, prepend=np.int64(0)))
    if not negative:
        before = np.maximum.accumulate(np.concatenate([[-1], values[:-1]]))
        if (values <= before + 1).all():
            yield _FIRST_SEEN, np.where(values > before, 0, values + 1).astype(np.uint64)


def _zigzag(values: Ints) -> NDArray[np.uint64]:
    found: NDArray[np.uint64] = ((values << 1) ^ (values >> 63)).view(np.uint64)
    return found


def _written(values: NDArray[np.uint64], how: int, code: int, *, planes: bool) -> Coded:
    head = plain(bytes([how << 4 | (_PLANES if planes else 0) | code]))
    if code < 3:
        return head + stream(_pack(values, code))
    content = values.astype(f"<u{1 << code - 3}")
    if planes:
        content = content.view(np.uint8).reshape(-1, content.itemsize).T
    return head + stream(content.tobytes())


def _pack(values: NDArray[np.uint64], code: int) -> bytes:
    each = 8 >> code
    padded = np.zeros(-(-len(values) // each) * each, dtype=np.uint8)
    padded[: len(values)] = values
    packed = np.zeros(len(padded) // each, dtype=np.uint8)
    for place in range(each):
        packed |= padded[place::each] << (place << code)
    return packed.tobytes()


def decode(source: Source, count: int) -> Ints:
    """The next column [count]. Raises BundleError."""
    head = source.byte()
    how, code = head >> 4, head & 7
    if how > _SAME or code > 6 or (head & _PLANES and code < 4):
        raise malformed(f"no column of whole numbers begins with {head}")
    if how == _SAME:
        return np.broadcast_to(np.int64(_plain_int(source.varint(_MASK))), count)  # takes no memory
    raw = _read(source, count, code, planes=bool(head & _PLANES))
    if how == _PLAIN:
        return raw if code < 6 else raw.view(np.int64)
    if how == _FIRST_SEEN:
        return _seen(raw, np.int64 if code > 5 else np.int32)
    signed = _unzigzag(raw, np.int64 if code > 5 or how == _DIFFERENCES else np.int32)
    return np.cumsum(signed, out=signed) if how == _DIFFERENCES else signed


def _read(source: Source, count: int, code: int, *, planes: bool) -> Ints:
    if code < 3:
        packed = source.exact(((count << code) + 7) >> 3)
        return _unpack(np.frombuffer(packed, dtype=np.uint8), count, code)
    width = 1 << code - 3
    content = np.frombuffer(source.exact(count * width), dtype=np.uint8)
    if not planes:
        return content.view(f"<u{width}")
    return from_planes(content.reshape(width, count)).view(f"<u{width}")


def from_planes(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The bytes of numbers whose planes these are, [width, count]."""
    found = room.empty(planes.size, np.uint8)
    for place, plane in enumerate(planes):
        found[place :: len(planes)] = plane
    return found


def _unpack(packed: NDArray[np.uint8], count: int, code: int) -> Ints:
    each, mask = 8 >> code, (1 << (1 << code)) - 1
    values = np.empty((len(packed), each), dtype=np.uint8)
    for place in range(each):
        values[:, place] = packed >> (place << code) & mask
    return values.reshape(-1)[:count]


def _seen(raw: Ints, kind: type[Any]) -> Ints:
    found = raw.astype(kind)
    found -= 1
    new = np.flatnonzero(raw == 0)
    found[new] = np.arange(len(new))
    return found


def _unzigzag(raw: Ints, kind: type[Any]) -> Ints:
    found = room.empty(len(raw), kind)
    for start in range(0, len(raw), _CHUNK):  # the steps between would take three times the memory
        value = raw[start : start + _CHUNK].astype(f"u{np.dtype(kind).itemsize}")
        found[start : start + _CHUNK] = (value >> 1).view(kind) ^ -(value & 1).view(kind)
    return found


def _plain_int(value: int) -> int:
    return value >> 1 ^ -(value & 1)
