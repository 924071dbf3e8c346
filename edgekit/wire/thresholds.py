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

from edgekit.wire import reals, room, whole
from edgekit.wire.streams import Coded, Source, malformed, shortest

Ints = NDArray[Any]
_CHUNK = 1 << 16
_MANY_FEATURES = 1 << 16
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
        [
            str(wide) if len(column.values) < _OWN_GROUP else f"own {place}"
            for place, (wide, column) in enumerate(zip(widths, columns, strict=True))
        ]
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
    features, counts = _counted(features)
    occurring = counts[np.flatnonzero(counts)]
    sizes = whole.decode(source, len(occurring))
    total = int(sizes.clip(0, len(features) + 1).astype(np.int64).sum())
    if len(sizes) and (int(sizes.min()) < 0 or total > len(features)):
        raise malformed("it has more thresholds than nodes")
    return _in_levels(_by_feature(source, sizes.astype(np.int64), occurring, kind), features, counts)


def _counted(features: Ints) -> tuple[Ints, Ints]:
    """The features in a narrow type, and how many nodes each has. Numbers that reach far become those of their
    order.
    """
    reals.check_below(features, 1 << 31)
    most = int(features.max())
    if most >= _MANY_FEATURES:
        _, which, times = np.unique(features, return_inverse=True, return_counts=True)
        return which.astype(np.int32), times
    features = features.astype(np.min_scalar_type(most))
    counts = np.zeros(most + 1, dtype=np.int64)
    for start in range(0, len(features), _CHUNK):
        counts += np.bincount(features[start : start + _CHUNK], minlength=len(counts))
    return features, counts


def _by_feature(source: Source, sizes: Ints, counts: Ints, kind: Any) -> NDArray[Any]:
    """The thresholds, feature by feature. `sizes` of the tables and `counts` of nodes of the features that occur."""
    found = room.empty(int(counts.sum()), kind)
    first = np.cumsum(counts) - counts
    direct, tabled = np.flatnonzero(sizes == 0), np.flatnonzero(sizes)
    kept = reals.decode(source, int(counts[direct].sum()), kind)
    at = 0
    for start, count in zip(first[direct].tolist(), counts[direct].tolist(), strict=True):
        found[start : start + count] = kept[at : at + count]
        at += count
    del kept
    tables = reals.decode(source, int(sizes.sum()), kind)
    _look_up(source, (first[tabled], counts[tabled]), (tables, sizes[tabled]), found)
    return found


def _look_up(source: Source, nodes: tuple[Ints, Ints], tables: tuple[Any, Ints], found: NDArray[Any]) -> None:
    """Fill in the thresholds of features with tables. `nodes`: where each feature's begin, and how many they are."""
    starts, counts = nodes
    values, sizes = tables
    first = np.cumsum(sizes) - sizes
    groups = whole.decode(source, len(sizes))
    by_group = np.argsort(groups, kind="stable")
    for members in np.split(by_group, _bounds(groups[by_group])[1:-1]) if len(sizes) else ():
        which = whole.decode(source, int(counts[members].sum()))
        at = 0
        for member in members.tolist():
            mine = which[at : at + int(counts[member])]
            reals.check_below(mine, int(sizes[member]))
            table = values[first[member] : first[member] + sizes[member]]
            found[starts[member] : starts[member] + len(mine)] = table[mine]
            at += len(mine)


def _in_levels(values: NDArray[Any], features: Ints, counts: Ints) -> NDArray[Any]:
    """Values that stand feature by feature, in level order; in parts, since sorting takes much memory."""
    found = room.empty(len(values), values.dtype)
    if len(counts) > _MANY_FEATURES:  # to count them in each part would take longer
        found[np.argsort(features, kind="stable")] = values
        return found
    following = np.cumsum(counts) - counts
    for start in range(0, len(features), _CHUNK):
        mine = features[start : start + _CHUNK]
        by_feature = np.argsort(mine, kind="stable")
        here = np.bincount(mine, minlength=len(counts))
        places = (following - np.cumsum(here) + here)[mine[by_feature]] + np.arange(len(mine))
        found[start : start + _CHUNK][by_feature] = values[places]
        following += here
    return found


def _bounds(ordered: Ints) -> Ints:
    """Where runs of equal numbers begin, and the end of the last."""
    changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    return np.concatenate([[0], changes, [len(ordered)]])
