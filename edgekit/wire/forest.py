"""The structure of a forest: which nodes have which children, derived from two bits a node. Pure.

The nodes of `TreeEnsemble` (ai.onnx.ml 5) are those that split. A *piece* is a run of nodes in preorder, the true child
first: a tree, or a subtree that several trees lead to. A child is a node of the same piece, or a terminal: a leaf, or
the beginning of another piece. Two orders of nodes occur: that of the file (piece after piece, preorder) and *level
order* (the beginnings of all pieces, then the nodes below them from left to right, and so on), in which alike nodes
stand together and the numbers about them compress best.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
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

    def in_file(self, values: Ints) -> Ints:
        """What belongs to the nodes, from level order into that of the file."""
        found = room.empty(len(values), values.dtype)
        for start in range(0, len(values), _CHUNK):  # numpy widens the numbers that it indexes by
            part = slice(start, start + _CHUNK)
            found[self.place[part]] = values[part]
        return found


def derive(kinds: Ints, pieces: int) -> Structure:
    """The structure of so many pieces. `kinds` [nodes], in level order: `TRUE_ENDS` and `FALSE_ENDS` tell which
    children are terminals. Raises BundleError when that is no forest.
    """
    return _derive(kinds, pieces)[0]


def grow(kinds: Ints, pieces: int) -> tuple[Structure, Ints, NDArray[np.bool_]]:
    """As `derive`, and for each node in the order of the file its true and its false child, [2 × nodes] int32, and
    which of them are terminals; a terminal's entry is still to be filled in.
    """
    structure, sizes = _derive(kinds, pieces)
    ends = _ends(structure.in_file(kinds))
    sizes = structure.in_file(sizes)
    children = room.empty(len(ends), np.int32)
    for start in range(0, len(kinds), _CHUNK):
        # a true child comes right after its node, a false one after all that its brother has below
        after = np.arange(start + 1, min(start + _CHUNK, len(kinds)) + 1, dtype=np.int32)
        part = slice(2 * start, 2 * start + 2 * len(after))
        children[part][0::2] = after
        brother = sizes[start + 1 : start + 1 + len(after)]
        after[: len(brother)] += brother * ~ends[part][0::2][: len(brother)]
        children[part][1::2] = after
    return structure, children, ends


def _derive(kinds: Ints, pieces: int) -> tuple[Structure, Ints]:
    """The structure, and how many nodes of its piece each node has below and with it, in level order."""
    first = _first_children(kinds, pieces)
    if int(first[-1]) != len(kinds):
        raise malformed("the nodes of its trees are not all reached")
    levels = _levels(first, pieces)
    sizes = _sizes(first, levels)
    place = room.empty(len(kinds), np.int32)
    place[:pieces] = np.cumsum(sizes[:pieces], dtype=np.int32) - sizes[:pieces]
    for (start, end), (below, last) in pairwise(levels):
        children = np.flatnonzero(~_ends(kinds[start:end]))
        place[below:last] = place[start:end][children >> 1] + 1
        elder = first[start:end][np.flatnonzero(kinds[start:end] == 0)]
        place[elder + 1] += sizes[elder]
    return Structure(place, place[:pieces].copy()), sizes


def _first_children(kinds: Ints, pieces: int) -> Ints:
    """For each node, and for the end, where in level order the children within their pieces begin."""
    found = room.empty(len(kinds) + 1, np.int32)
    found[0] = pieces
    found[1:] = 2 - (kinds & TRUE_ENDS) - (kinds >> 1)
    return np.cumsum(found, out=found)


def _ends(kinds: Ints) -> NDArray[np.bool_]:
    """Whether each node's true and its false child are terminals, in turn."""
    found: NDArray[np.bool_] = room.empty(2 * len(kinds), bool)
    found[0::2] = kinds & TRUE_ENDS
    found[1::2] = kinds & FALSE_ENDS
    return found


def _levels(first: Ints, pieces: int) -> list[tuple[int, int]]:
    """The bounds of each level, in level order."""
    found: list[tuple[int, int]] = []
    start, end = 0, pieces
    while start < end:
        if len(found) == MAX_LEVELS:
            raise malformed("its trees are too deep")
        found.append((start, end))
        start, end = end, int(first[end])
    if end != len(first) - 1:
        raise malformed("the nodes of its trees are not all reached")
    return found


def _sizes(first: Ints, levels: list[tuple[int, int]]) -> Ints:
    sizes = room.empty(len(first) - 1, np.int32)
    sizes[:] = 1
    for (start, end), (below, last) in zip(reversed(levels[:-1]), reversed(levels[1:]), strict=True):
        summed = np.zeros(last - below + 1, dtype=np.int32)
        np.cumsum(sizes[below:last], out=summed[1:])
        sizes[start:end] += np.diff(summed[first[start : end + 1] - below])
    return sizes
