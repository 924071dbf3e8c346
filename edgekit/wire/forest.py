"""The structure of a forest: which nodes have which children, derived from two bits a node. Pure.

The nodes of `TreeEnsemble` (ai.onnx.ml 5) are those that split. A *piece* is a run of nodes in preorder, the true child
first: a tree, or a subtree that several trees lead to. A child is a node of the same piece, or a terminal: a leaf, or
the beginning of another piece. Two orders of nodes occur: that of the file (piece after piece, preorder) and *level
order* (the beginnings of all pieces, then the nodes below them from left to right, and so on), in which alike nodes
stand together and the numbers about them compress best.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.wire import room
from edgekit.wire.streams import malformed

Ints = NDArray[Any]
TRUE_ENDS, FALSE_ENDS = 1, 2
MAX_LEVELS = 4096
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Structure:
    """`place`: each node's number in the file, in level order [nodes]; `starts`: each piece's first node in the file.
    Both int32.
    """

    place: Ints
    starts: Ints


def derive(kinds: Ints, pieces: int) -> Structure:
    """The structure of so many pieces. `kinds` [nodes], in level order: `TRUE_ENDS` and `FALSE_ENDS` tell which
    children are terminals. Raises BundleError when that is no forest.
    """
    count = len(kinds)
    before = _children_before(kinds)
    if pieces + int(before[-1]) != count:
        raise malformed("the nodes of its trees are not all reached")
    levels = _levels(before, pieces)
    sizes = _sizes(before, levels)
    place = room.empty(count, np.int32)
    place[:pieces] = np.cumsum(sizes[:pieces], dtype=np.int32) - sizes[:pieces]
    before += pieces
    child = before[:-1]
    for start, end in levels:
        _place_children(kinds[start:end], child[start:end], place[start:end], (place, sizes))
    return Structure(place, place[:pieces].copy())


def _children_before(kinds: Ints) -> Ints:
    """For each node, and for the end, how many children within their pieces all nodes before have."""
    before = room.empty(len(kinds) + 1, np.int32)
    before[0] = 0
    np.cumsum(2 - (kinds & TRUE_ENDS) - (kinds >> 1), dtype=np.int32, out=before[1:])
    return before


def _levels(before: Ints, pieces: int) -> list[tuple[int, int]]:
    """The bounds of each level, in level order."""
    found: list[tuple[int, int]] = []
    start, end = 0, pieces
    while start < end:
        if len(found) == MAX_LEVELS:
            raise malformed("its trees are too deep")
        found.append((start, end))
        start, end = end, pieces + int(before[end])
    if end != len(before) - 1:
        raise malformed("the nodes of its trees are not all reached")
    return found


def _sizes(before: Ints, levels: list[tuple[int, int]]) -> Ints:
    """How many nodes of its piece each node has below and with it."""
    sizes = room.empty(len(before) - 1, np.int32)
    sizes[:] = 1
    for (start, end), (below, last) in zip(reversed(levels[:-1]), reversed(levels[1:]), strict=True):
        summed = np.zeros(last - below + 1, dtype=np.int32)
        np.cumsum(sizes[below:last], out=summed[1:])
        bounds = summed[before[start : end + 1] - before[start]]
        sizes[start:end] += np.diff(bounds)
    return sizes


def _place_children(kinds: Ints, child: Ints, parent: Ints, found: tuple[Ints, Ints]) -> None:
    place, sizes = found
    true_here, false_here = kinds & TRUE_ENDS == 0, kinds & FALSE_ENDS == 0
    first = child[true_here]
    place[first] = parent[true_here] + 1
    skipped = np.ones(len(kinds), dtype=np.int32)
    skipped[true_here] += sizes[first]
    place[(child + true_here)[false_here]] = (parent + skipped)[false_here]


def slots(structure: Structure, kinds: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """For each node in the order of the file its true and its false child, [2 × nodes] int32, and which of them are
    terminals; a terminal's entry is still to be filled in.
    """
    first = _children_before(kinds)[:-1]
    first += len(structure.starts)
    children = room.empty(2 * len(kinds), np.int32)
    ends = room.empty(2 * len(kinds), bool)
    for start in range(0, len(kinds), _CHUNK):
        part = slice(start, start + _CHUNK)
        place, child = structure.place[part], first[part]
        true_here, false_here = kinds[part] & TRUE_ENDS == 0, kinds[part] & FALSE_ENDS == 0
        children[2 * place[true_here]] = structure.place[child[true_here]]
        children[2 * place[false_here] + 1] = structure.place[(child + true_here)[false_here]]
        ends[2 * place] = ~true_here
        ends[2 * place + 1] = ~false_here
    return children, ends
