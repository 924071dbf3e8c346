"""Columns of floating numbers: what they are in the wire form, and back, bit for bit. float32 or float64.

A column begins with a byte that tells how it is kept:

| 0 | a stream of the numbers as they are, little-endian |
| 1 | a stream of their byte planes (all lowest bytes, then all next ones, …) |
| 2 | varint n, a column of n distinct numbers in rising order, whole numbers: which of them each is |
| 3 | varint divisor, whole numbers: each ÷ divisor in float64, rounded to the column's type |
| 4 | whole numbers: the ranks of the numbers |
| 5 | float64 only: a float32 column of the same numbers |
| 6 | float32 only: varint o, varint i, a float32 column of o scales, whole numbers from -32767 to 32767: number n is
  scale[n ÷ i mod o] × whole[n] in float32 |

The rank of a number is its bit pattern as a signed integer, all but the highest bit turned over if it is negative.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.wire import room, whole
from edgekit.wire.grid import MAX_WHOLE, find_grid
from edgekit.wire.streams import Coded, Source, malformed, plain, shortest, stream, varint

Reals = NDArray[Any]

_RAW, _PLANES, _DICTIONARY, _DIVIDED, _RANKS, _NARROW, _GRID = range(7)
# Midpoints and rounded numbers: halves of whole numbers and of decimals.
_DIVISORS = (1, 2, 4, 8, 16, 256, 10, 20, 100, 200, 1000, 2000, 10_000, 20_000)
_MAX_DIVISOR = 1 << 32
_LARGEST_WHOLE = float(1 << 31)
_SAMPLE = 256
_CHUNK = 1 << 16
_DISTINCT_SHARE = 0.6


def encode(values: Reals, shape: Sequence[int] = ()) -> Coded:
    """The shortest form of a column [n]; `shape`: that of the tensor it fills, to find the scales of its columns."""
    distinct, which = np.unique(ranks(values), return_inverse=True)
    candidates = [*_simple(values), *_gridded(values, shape)]
    if len(distinct) < _DISTINCT_SHARE * len(values):
        table = shortest(_simple(unranked(distinct, values.dtype)))
        candidates.append(
            plain(bytes([_DICTIONARY]) + varint(len(distinct))) + table + whole.encode(which.astype(np.int64))
        )
    return shortest(candidates)


def ranks(values: Reals) -> NDArray[np.int64]:
    """The ranks of numbers [n] among all of their type: equal order, and 1 between neighbours."""
    return _turned(values.view(f"<i{values.itemsize}")).astype(np.int64)


def unranked(found: whole.Ints, kind: Any) -> Reals:
    """The numbers of these ranks."""
    width = np.dtype(kind).itemsize
    numbers: Reals = room.empty(len(found), kind)
    for start in range(0, len(found), _CHUNK):
        numbers[start : start + _CHUNK] = _turned(found[start : start + _CHUNK].astype(f"<i{width}")).view(kind)
    return numbers


def _turned(signed: whole.Ints) -> whole.Ints:
    """All bits but the highest turned over in negative numbers."""
    found: whole.Ints = signed ^ ((signed >> (8 * signed.itemsize - 1)) & np.iinfo(signed.dtype).max)
    return found


def _simple(values: Reals) -> Iterator[Coded]:
    yield plain(bytes([_RAW])) + stream(values.tobytes())
    yield plain(bytes([_PLANES])) + stream(values.view(np.uint8).reshape(-1, values.itemsize).T.tobytes())
    yield plain(bytes([_RANKS])) + whole.encode(ranks(values))
    for divisor in (*_DIVISORS, _power(values)):
        numbers = _multiplied(values[:_SAMPLE], divisor)
        numbers = None if numbers is None else _multiplied(values, divisor)
        if numbers is not None:
            yield plain(bytes([_DIVIDED]) + varint(divisor)) + whole.encode(numbers)
            break
    if values.itemsize == 8:
        with np.errstate(all="ignore"):
            narrow = values.astype("<f4")
        if _same(narrow.astype("<f8"), values):
            yield plain(bytes([_NARROW])) + encode(narrow)


def _power(values: Reals) -> int:
    """The power of two whose multiples are whole where the finest of the numbers is a multiple of one over it: rounded
    leaves are such. At most the largest divisor that the format knows.
    """
    with np.errstate(all="ignore"):
        mantissa, exponent = np.frexp(values.astype(np.float64))
        odd = np.where(np.isfinite(mantissa), mantissa * (1 << 53), 0).astype(np.int64)
    trailing = np.where(odd == 0, 1 << 53, odd & -odd)
    places = 53 - exponent.astype(np.int64) - np.log2(trailing).astype(np.int64)
    return 1 << int(np.clip(places[odd != 0].max(initial=0), 0, 31))


def _multiplied(values: Reals, divisor: int) -> NDArray[np.int64] | None:
    """The whole numbers that give the values when divided, if there are such."""
    with np.errstate(all="ignore"):
        numbers = np.rint(values.astype(np.float64) * divisor)
        if not (np.abs(numbers) < _LARGEST_WHOLE).all():
            return None
        found = numbers.astype(np.int64)
        return found if _same((found / divisor).astype(values.dtype), values) else None


def _same(a: Reals, b: Reals) -> bool:
    return a.tobytes() == b.tobytes()


def _gridded(values: Reals, shape: Sequence[int]) -> Iterator[Coded]:
    grid = find_grid(values, shape) if values.itemsize == 4 else None
    if grid is not None:
        head = plain(bytes([_GRID]) + varint(len(grid.scales)) + varint(grid.inner))
        yield head + encode(grid.scales) + whole.encode(grid.whole)


def decode(source: Source, count: int, kind: Any, depth: int = 0) -> Reals:
    """The next column [count] of type `<f4` or `<f8`. Raises BundleError."""
    kind = np.dtype(kind)
    how = source.byte()
    if depth > 2 or how > _GRID or (how == _NARROW and kind.itemsize == 4) or (how == _GRID and kind.itemsize == 8):
        raise malformed(f"no column of {kind.name} begins with {how}")
    if how == _RAW:
        return np.frombuffer(source.exact(count * kind.itemsize), dtype=kind)
    if how == _PLANES:
        planes = np.frombuffer(source.exact(count * kind.itemsize), dtype=np.uint8).reshape(kind.itemsize, count)
        return whole.from_planes(planes).view(kind)
    if how == _DICTIONARY:
        return _looked_up(source, count, kind, depth)
    if how == _DIVIDED:
        divisor = source.varint(_MAX_DIVISOR)
        return (whole.decode(source, count) / max(divisor, 1)).astype(kind)
    if how == _RANKS:
        return unranked(whole.decode(source, count), kind)
    return _scaled(source, count) if how == _GRID else decode(source, count, "<f4", depth + 1).astype(kind)


def _looked_up(source: Source, count: int, kind: Any, depth: int) -> Reals:
    size = source.varint(count)
    table = decode(source, size, kind, depth + 1)
    which = whole.decode(source, count)
    check_below(which, size)
    found: Reals = table[which]
    return found


def check_below(numbers: whole.Ints, limit: int) -> None:
    """All lie between 0 and `limit` - 1. Raises BundleError."""
    if len(numbers) and not (int(numbers.min()) >= 0 and int(numbers.max()) < limit):
        raise malformed("it points past the end of a table")


def _scaled(source: Source, count: int) -> Reals:
    outer = source.varint(count)
    inner = source.varint(count)
    if outer * inner == 0 or count % (outer * inner):
        raise malformed("its scales do not fit the numbers")
    scales = decode(source, outer, "<f4", 2)
    numbers = whole.decode(source, count)
    if len(numbers) and int(np.abs(numbers).max()) > MAX_WHOLE:
        raise malformed("a scaled number is too large")
    found = numbers.astype("<f4").reshape(-1, outer, inner)
    found *= scales[None, :, None]
    return found.reshape(-1)
