"""Thresholds of a forest, feature by feature: what they are in the wire form, and back.

The nodes stand sorted by feature, those of one feature in level order. For each feature that occurs, in rising order,
`sizes` tells how many distinct thresholds its table has; 0 = its thresholds are kept as they are. Then:

1. whole numbers: `sizes`
2. floating numbers: the thresholds of all features without a table
3. floating numbers: the tables one after another, each in rising order
4. whole numbers: for each feature with a table the number of its group, groups numbered from 0
5. for each group whole numbers: which entry of its feature's table each node has, feature after feature
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.wire import reals, whole
from edgekit.wire.streams import Coded, Source, malformed, shortest

Ints = NDArray[Any]
_OWN_GROUP = 2048  # a feature with so many nodes repays the tables of a compressed stream of its own


def encode(features: Ints, splits: NDArray[Any]) -> Coded:
    """The thresholds `splits` [nodes] of nodes in level order; `features` [nodes]."""
    order = np.argsort(features, kind="stable")
    counts = np.diff(_bounds(features[order]))
    columns = np.split(splits[order], np.cumsum(counts)[:-1])
    kept = [_Kept(column) for column in columns]
    with_table = [column for column in kept if column.pays]
    without = [column.values for column in kept if not column.pays]
    sizes = np.array([len(column.table) if column.pays else 0 for column in kept], dtype=np.int64)
    coded = whole.encode(sizes) + reals.encode(_joined(without, splits.dtype))
    coded += reals.encode(_joined([column.table for column in with_table], splits.dtype))
    return coded + shortest(_grouped(with_table, groups) for groups in _groupings(with_table))


class _Kept:
    """The thresholds of one feature, with their table."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.values = values
        ranks, self.which, times = np.unique(reals.ranks(values), return_inverse=True, return_counts=True)
        self.table = reals.unranked(ranks, values.dtype)
        steps = np.log2(np.abs(np.diff(ranks).astype(np.float64)) + 1).sum() + 1.5 * len(ranks)
        self.pays = bool(steps + _bits(times) < _plane_bits(values))


def _bits(times: Ints) -> float:
    """Bits that things seen so many times take: their order-0 entropy times their number."""
    return float((times * np.log2(times.sum() / times)).sum())


def _plane_bits(values: NDArray[Any]) -> float:
    planes = values.view(np.uint8).reshape(-1, values.itemsize).T
    counts = (np.bincount(plane, minlength=256) for plane in planes)
    return sum(_bits(times[times > 0]) for times in counts)


def _joined(columns: list[NDArray[Any]], kind: Any) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype=kind), *columns])


def _groupings(columns: list[_Kept]) -> Iterator[list[int]]:
    """Ways to group the features: all together, each alone, by width, and only the large ones alone."""
    yield [0] * len(columns)
    yield list(range(len(columns)))
    widths = [len(column.table) > 256 for column in columns]
    yield _numbered([str(wide) for wide in widths])
    yield _numbered(
        [str(wide) if len(column.values) < _OWN_GROUP else f"own {place}"
         for place, (wide, column) in enumerate(zip(widths, columns, strict=True))]
    )


def _numbered(names: list[str]) -> list[int]:
    known: dict[str, int] = {}
    return [known.setdefault(name, len(known)) for name in names]


def _grouped(columns: list[_Kept], groups: list[int]) -> Coded:
    coded = whole.encode(np.array(groups, dtype=np.int64))
    for group in range(max(groups, default=-1) + 1):
        members = [column.which for column, each in zip(columns, groups, strict=True) if each == group]
        coded += whole.encode(np.concatenate(members).astype(np.int64))
    return coded


def decode(source: Source, features: Ints, kind: Any) -> NDArray[Any]:
    """The next thresholds [nodes] of type `kind` in level order; `features` [nodes]. Raises BundleError."""
    order = np.argsort(features, kind="stable").astype(np.int32)
    bounds = _bounds(features[order])
    sizes = whole.decode(source, len(bounds) - 1)
    tabled = np.flatnonzero(sizes)
    total = int(sizes[tabled].clip(0, len(features) + 1).astype(np.int64).sum())
    if (sizes < 0).any() or total > len(features):
        raise malformed("it has more thresholds than nodes")
    found = np.empty(len(features), dtype=kind)
    direct = np.repeat(sizes == 0, np.diff(bounds))
    found[order[direct]] = reals.decode(source, int(direct.sum()), kind)
    tables = reals.decode(source, total, kind)
    _look_up(source, (order, bounds, tabled), (tables, sizes[tabled].astype(np.int64)), found)
    return found


def _look_up(source: Source, nodes: tuple[Ints, Ints, Ints], tables: tuple[Any, Ints], found: NDArray[Any]) -> None:
    order, bounds, tabled = nodes
    values, sizes = tables
    first = np.cumsum(sizes) - sizes
    groups = whole.decode(source, len(tabled))
    by_group = np.argsort(groups, kind="stable")
    for members in np.split(by_group, _bounds(groups[by_group])[1:-1]) if len(tabled) else ():
        counts = bounds[tabled[members] + 1] - bounds[tabled[members]]
        which = whole.decode(source, int(counts.sum()))
        at = 0
        for member, count in zip(members.tolist(), counts.tolist(), strict=True):
            reals.check_below(which[at : at + count], int(sizes[member]))
            start = int(bounds[tabled[member]])
            table = values[first[member] : first[member] + sizes[member]]
            found[order[start : start + count]] = table[which[at : at + count]]
            at += count


def _bounds(ordered: Ints) -> Ints:
    """Where runs of equal numbers begin, and the end of the last."""
    changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    return np.concatenate([[0], changes, [len(ordered)]])
