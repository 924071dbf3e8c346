"""Terminals of a forest: what they are in the wire form, and back.

Terminals stand in the order of the file, true before false. First whole numbers: 1 for those that are pieces, 0 for
leaves; then the numbers of the pieces; then the numbers of the leaves, by a byte: 0 = in one column; 1 = in two, those
that follow a leaf of the same node in the second; 2 = as 1, but the second column holds the differences to the leaf
before, modulo the count of leaves, which follows the byte as a varint.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.wire import whole
from edgekit.wire.reals import check_below
from edgekit.wire.streams import Coded, Source, malformed, plain, shortest, varint

Ints = NDArray[Any]
Marks = NDArray[np.bool_]
_TOGETHER, _APART, _MODULO = range(3)
_CHUNK = 1 << 16


def encode(slots: Ints, is_leaf: Marks, is_piece: Marks) -> Coded:
    """The terminals among `slots` [2 × nodes]: numbers of leaves and of pieces."""
    coded = whole.encode(is_piece[is_leaf | is_piece].astype(np.int64)) + whole.encode(slots[is_piece])
    return coded + shortest(_ways(slots.astype(np.int64), is_leaf))


def _ways(slots: Ints, is_leaf: Marks) -> Iterator[Coded]:
    second = _second(is_leaf)
    yield plain(bytes([_TOGETHER])) + whole.encode(slots[is_leaf])
    first = whole.encode(slots[is_leaf & ~second])
    yield plain(bytes([_APART])) + first + whole.encode(slots[second])
    count = int(slots[is_leaf].max(initial=0)) + 1
    steps = (slots[second] - slots[np.flatnonzero(second) - 1]) % count
    yield plain(bytes([_MODULO]) + varint(count)) + first + whole.encode(steps)


def _second(is_leaf: Marks) -> Marks:
    """The leaves that follow another leaf of the same node."""
    both = is_leaf[0::2] & is_leaf[1::2]
    return np.stack([np.zeros_like(both), both], axis=1).reshape(-1)


def decode(source: Source, slots: Ints, ends: Marks, starts: Ints) -> None:
    """Fill in the next terminals, `slots` marked by `ends`, both [2 × nodes]; `starts`: the first nodes of the pieces.
    Only leaves stay marked. Raises BundleError.
    """
    is_piece = np.zeros(len(ends), dtype=bool)
    _fill(is_piece, ends, whole.decode(source, _count(ends)))
    which = whole.decode(source, _count(is_piece))
    check_below(which, len(starts))
    _fill(slots, is_piece, starts[which])
    ends ^= is_piece
    del is_piece, which
    _decode_leaves(source, slots, ends)


def _decode_leaves(source: Source, slots: Ints, is_leaf: Marks) -> None:
    how = source.byte()
    if how > _MODULO:
        raise malformed(f"no column of leaves begins with {how}")
    if how == _TOGETHER:
        _fill(slots, is_leaf, _numbers(source, _count(is_leaf)))
        return
    count = source.varint(len(slots)) if how == _MODULO else 0
    second = _second(is_leaf)
    first = is_leaf & ~second
    _fill(slots, first, _numbers(source, _count(first)))
    found = _numbers(source, _count(second))
    if count:
        found = (found.astype(np.int64) + slots[np.flatnonzero(second) - 1]) % count
    _fill(slots, second, found)


def _count(marks: Marks) -> int:
    return int(np.count_nonzero(marks))


def _fill(slots: Ints, marks: Marks, numbers: Ints) -> None:
    """`slots[marks] = numbers` in a third of the time: numpy is slow where marks alternate."""
    at = 0
    for start in range(0, len(slots), _CHUNK):
        places = np.flatnonzero(marks[start : start + _CHUNK])
        slots[start : start + _CHUNK][places] = numbers[at : at + len(places)]
        at += len(places)


def _numbers(source: Source, count: int) -> Ints:
    found = whole.decode(source, count)
    check_below(found, 1 << 31)
    return found
