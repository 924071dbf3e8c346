"""The columns of a `TreeEnsemble` (ai.onnx.ml 5) that follow from its forest: what they are in the wire form, and back.

In this order: varint nodes, varint pieces, a byte (4 or 8: the bytes of a threshold), whole numbers: the kind of each
node in level order (bit 0: its true child is a terminal, bit 1: its false child), whole numbers: its feature, the
thresholds (`thresholds`), the terminals (`leaves`), whole numbers: which piece each root is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import BundleError
from edgekit.wire import leaves, thresholds, whole
from edgekit.wire.forest import FALSE_ENDS, MAX_LEVELS, TRUE_ENDS, derive, grow
from edgekit.wire.reals import check_below
from edgekit.wire.streams import Coded, Source, malformed, plain, varint

Ints = NDArray[Any]
_TYPES = {4: "<f4", 8: "<f8"}
_MAX_NODES = 1 << 28


@dataclass(frozen=True)
class Forest:
    """The columns, in the order of the file. `children`: true and false child of each node in turn."""

    roots: Ints
    features: Ints
    children: Ints
    ends: NDArray[np.bool_]
    splits: NDArray[Any]

    def column(self, name: str) -> Ints:
        """The column of this ONNX attribute."""
        side = {"true": 0, "false": 1}.get(name.removeprefix("nodes_").removesuffix("leafs").removesuffix("nodeids"))
        if side is None:
            return {"tree_roots": self.roots, "nodes_featureids": self.features, "nodes_splits": self.splits}[name]
        return (self.ends if name.endswith("leafs") else self.children)[side::2]


PARTS = (
    "tree_roots",
    "nodes_featureids",
    "nodes_truenodeids",
    "nodes_falsenodeids",
    "nodes_trueleafs",
    "nodes_falseleafs",
    "nodes_splits",
)


def encode(columns: Mapping[str, Ints]) -> Coded | None:
    """The forest of these columns (all of `PARTS`), or None when they do not follow from one."""
    if not _fit(columns):
        return None
    forest = Forest(
        roots=columns["tree_roots"],
        features=columns["nodes_featureids"],
        children=np.stack([columns["nodes_truenodeids"], columns["nodes_falsenodeids"]], axis=1).reshape(-1),
        ends=np.stack([columns["nodes_trueleafs"], columns["nodes_falseleafs"]], axis=1).reshape(-1) != 0,
        splits=columns["nodes_splits"],
    )
    starts, is_piece = _pieces(forest)
    levels = list(_levels(forest.children, ~(forest.ends | is_piece), starts))
    order = np.concatenate(levels)
    if len(order) != len(forest.splits) or len(levels) > MAX_LEVELS:
        return None
    return _written(forest, starts, is_piece, order)


def _fit(columns: Mapping[str, Ints]) -> bool:
    count = len(columns["nodes_splits"])
    ints = [columns[name] for name in PARTS if name not in ("tree_roots", "nodes_splits")]
    if not 0 < count < _MAX_NODES or any(len(column) != count for column in ints) or not len(columns["tree_roots"]):
        return False
    flags = [columns["nodes_trueleafs"], columns["nodes_falseleafs"]]
    ids = [columns["nodes_truenodeids"], columns["nodes_falsenodeids"]]
    return (
        all(((flag == 0) | (flag == 1)).all() for flag in flags)
        and all(column.min() >= 0 and column.max() < 1 << 31 for column in [*ids, columns["nodes_featureids"]])
        and all((column[flag == 0] < count).all() for column, flag in zip(ids, flags, strict=True))
        and bool(((columns["tree_roots"] >= 0) & (columns["tree_roots"] < count)).all())
    )


def _pieces(forest: Forest) -> tuple[Ints, NDArray[np.bool_]]:
    """The first nodes of all pieces, rising, and which entries of `children` lead to such."""
    inner = forest.children[~forest.ends]
    begins = np.bincount(inner, minlength=len(forest.splits)) != 1
    begins[forest.roots] = True
    is_piece = np.zeros(len(forest.ends), dtype=bool)
    is_piece[~forest.ends] = begins[inner]
    return np.flatnonzero(begins), is_piece


def _levels(children: Ints, inner: NDArray[np.bool_], starts: Ints) -> Iterator[Ints]:
    """The nodes of each level; a node has one parent in its piece at most, so none comes twice."""
    level = starts
    while len(level):
        yield level
        below = np.stack([2 * level, 2 * level + 1], axis=1).reshape(-1)
        level = children[below[inner[below]]]


def _written(forest: Forest, starts: Ints, is_piece: NDArray[np.bool_], order: Ints) -> Coded | None:
    terminal = forest.ends | is_piece
    kinds = (terminal[0::2] * TRUE_ENDS + terminal[1::2] * FALSE_ENDS)[order]
    try:
        structure = derive(kinds, len(starts))
    except BundleError:
        return None
    if not np.array_equal(structure.place, order):
        return None
    numbers = forest.children.copy()
    numbers[is_piece] = np.searchsorted(starts, forest.children[is_piece])
    head = varint(len(order)) + varint(len(starts)) + bytes([forest.splits.itemsize])
    return (
        plain(head)
        + whole.encode(kinds.astype(np.int64))
        + whole.encode(forest.features[order])
        + thresholds.encode(forest.features[order], forest.splits[order])
        + leaves.encode(numbers, forest.ends, is_piece)
        + plain(varint(len(forest.roots)))
        + whole.encode(np.searchsorted(starts, forest.roots).astype(np.int64))
    )


def decode(source: Source, limit: int) -> Forest:
    """The next forest, of at most `limit` nodes. Raises BundleError."""
    count = source.varint(min(limit, _MAX_NODES))
    pieces = source.varint(count)
    kind = _TYPES.get(source.byte())
    if kind is None or count == 0:
        raise malformed("it has no trees of a known type")
    kinds = whole.decode(source, count)
    if len(kinds) and not (int(kinds.min()) >= 0 and int(kinds.max()) <= TRUE_ENDS | FALSE_ENDS):
        raise malformed("its trees have nodes of an unknown kind")
    kinds = kinds.astype(np.uint8)
    structure, children, ends = grow(kinds, pieces)
    del kinds
    in_levels = whole.decode(source, count)
    splits = structure.in_file(thresholds.decode(source, in_levels, kind))
    features = structure.in_file(in_levels)
    starts = structure.starts
    del structure, in_levels
    leaves.decode(source, children, ends, starts)
    roots = whole.decode(source, source.varint(count))
    check_below(roots, pieces)
    return Forest(starts[roots], features, children, ends, splits)
