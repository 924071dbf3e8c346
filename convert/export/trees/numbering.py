"""Numbers the nodes and leaves of a forest so that its file and its wire form are short. Pure.

- Subtrees that several trees have alike are kept once. onnxruntime follows each tree from its root and refuses a node
  that one tree reaches twice, so a split into two leaves that a tree has for the second time is another node; what
  stands above such splits then differs by itself.
- Nodes stand piece after piece, a piece being a tree or a shared subtree without those in it that are pieces of their
  own, in preorder, the true child first: the wire form derives who is whose child. Pieces that are wanted most come
  first, because small numbers take fewer bytes; trees come last.
- Leaves are numbered as they first occur.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.export.trees.fitted import Ints
from edgekit.wire.forest import FALSE_ENDS, TRUE_ENDS, derive

Marks = NDArray[np.bool_]


@dataclass(frozen=True)
class Grown:
    """All nodes of all trees in a row. `left` and `right` are -1 in leaves; `answer`: which leaf a leaf is; `roots` and
    `tree`: where each tree begins, and the tree of each node; `question`: equal for splits that ask the same, -1 for
    those that are not to be shared.
    """

    left: Ints
    right: Ints
    answer: Ints
    roots: Ints
    tree: Ints
    question: Ints


@dataclass(frozen=True)
class Numbered:
    """`nodes`: the splits that are kept, as numbers of `Grown`, in their new order; `children`: true and false child of
    each in turn, a new number or, where `ends`, a leaf; `leaves`: the answers in their order; `roots`: as new numbers.
    """

    nodes: Ints
    children: Ints
    ends: Marks
    leaves: Ints
    roots: Ints


def number(grown: Grown) -> Numbered:
    """The new numbers of a forest in which every tree splits."""
    levels = _levels(grown)
    order = _preorder(grown, levels)
    same = _representatives(grown, levels, order)
    new = np.full(len(grown.left), -1)
    kept = _ordered(grown, order[same[order] == order], same)
    new[kept] = np.arange(len(kept))
    children = _children(grown, kept)
    ends = grown.left[children] < 0
    answers, first, which = np.unique(grown.answer[children[ends]], return_index=True, return_inverse=True)
    seen = np.argsort(first)
    rank = np.empty_like(seen)
    rank[seen] = np.arange(len(seen))
    numbers = new[same[children]]
    numbers[ends] = rank[which]
    return Numbered(kept, numbers, ends, answers[seen], new[grown.roots])


def _children(grown: Grown, nodes: Ints) -> Ints:
    return np.stack([grown.left[nodes], grown.right[nodes]], axis=1).reshape(-1)


def _levels(grown: Grown) -> list[Ints]:
    """The nodes that split, by their depth."""
    levels, level = [], grown.roots
    while len(level):
        levels.append(level)
        below = _children(grown, level)
        level = below[grown.left[below] >= 0]
    return levels


def _preorder(grown: Grown, levels: list[Ints]) -> Ints:
    """The nodes that split, tree after tree."""
    order = np.concatenate(levels)
    ends = grown.left[_children(grown, order)] < 0
    kinds = ends[0::2] * TRUE_ENDS + ends[1::2] * FALSE_ENDS
    found = np.empty_like(order)
    found[derive(kinds.astype(np.uint8), len(grown.roots)).place] = order
    return found


def _representatives(grown: Grown, levels: list[Ints], order: Ints) -> Ints:
    """For each node the one that is kept in its place: of those that are alike the first one in preorder.

    Both children of such nodes are alike too, so the search goes up from splits into two leaves for as long as it finds
    any.
    """
    same, repeated = np.arange(len(grown.left)), grown.left < 0
    height = _heights(grown, levels)[order]
    sharable = (grown.question[order] >= 0) & ~np.isin(order, grown.roots)
    for above in range(1, len(levels) + 1):
        nodes = order[sharable & (height == above)]
        nodes = nodes[repeated[grown.left[nodes]] & repeated[grown.right[nodes]]]
        if not len(nodes):
            break
        below = [_answers(grown, side[nodes], same) for side in (grown.left, grown.right)]
        alike = _keys(grown.question[nodes], *below)
        if above == 1:
            alike = _keys(alike, _times_before(_keys(alike, grown.tree[nodes])))
        _, first, which, counts = np.unique(alike, return_index=True, return_inverse=True, return_counts=True)
        same[nodes] = nodes[first[which]]
        repeated[nodes] = counts[which] > 1
    return same


def _heights(grown: Grown, levels: list[Ints]) -> Ints:
    """How many splits follow one another from each node on."""
    found = np.zeros(len(grown.left), dtype=np.int64)
    for level in reversed(levels):
        found[level] = 1 + np.maximum(found[grown.left[level]], found[grown.right[level]])
    return found


def _answers(grown: Grown, nodes: Ints, same: Ints) -> Ints:
    """What a child is: numbers below zero for leaves."""
    return np.where(grown.left[nodes] < 0, ~grown.answer[nodes], same[nodes])


def _keys(*columns: Ints) -> Ints:
    """Equal numbers for equal rows of the columns."""
    found = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        values, which = np.unique(column, return_inverse=True)
        _, found = np.unique(found * len(values) + which, return_inverse=True)
    return found


def _times_before(values: Ints) -> Ints:
    """How often each value has occurred before."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.searchsorted(ordered, ordered)
    found = np.empty_like(order)
    found[order] = np.arange(len(values)) - first
    return found


def _ordered(grown: Grown, kept: Ints, same: Ints) -> Ints:
    """Shared pieces first, those whose nodes are wanted most often first; then the trees. `kept` is in preorder."""
    below = _children(grown, kept)
    wanted = np.bincount(same[below], minlength=len(same))
    shared = kept[wanted[kept] > 1]
    piece = _pieces(grown, kept, np.concatenate([shared, grown.roots]))[kept]
    nodes = np.bincount(piece, minlength=len(same))
    often = np.zeros(len(same))
    often[shared] = 1 + (wanted[shared] - 1) / nodes[shared]
    return kept[np.lexsort((piece, -often[piece]))]


def _pieces(grown: Grown, kept: Ints, starts: Ints) -> Ints:
    """For each node that is kept the one with which its piece begins."""
    found = np.arange(len(grown.left))
    found[_children(grown, kept)] = np.repeat(kept, 2)
    found[starts] = starts
    while not np.array_equal(higher := found[found], found):
        found = higher
    return found
