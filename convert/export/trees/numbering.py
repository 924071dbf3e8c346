"""Numbers the nodes and leaves of a forest so that its file and its wire form are short. Pure.

- Nodes stand tree after tree in preorder, the true child first: the wire form derives who is whose child.
- Splits into two leaves that several trees have alike are kept once, the most wanted first, because small numbers take
  fewer bytes. onnxruntime follows each tree from its root and refuses a node that one tree reaches twice, so the second
  such split of a tree is another node.
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
    order = _preorder(grown)
    same = _representatives(grown, order)
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


def _preorder(grown: Grown) -> Ints:
    """The nodes that split, tree after tree."""
    levels, level = [], grown.roots
    while len(level):
        levels.append(level)
        below = _children(grown, level)
        level = below[grown.left[below] >= 0]
    order = np.concatenate(levels)
    ends = grown.left[_children(grown, order)] < 0
    kinds = ends[0::2] * TRUE_ENDS + ends[1::2] * FALSE_ENDS
    found = np.empty_like(order)
    found[derive(kinds.astype(np.uint8), len(grown.roots)).place] = order
    return found


def _representatives(grown: Grown, order: Ints) -> Ints:
    """For each node the one that is kept in its place."""
    same = np.arange(len(grown.left))
    ends = grown.left[_children(grown, order)] < 0
    low = order[ends[0::2] & ends[1::2] & (grown.question[order] >= 0)]
    low = low[~np.isin(low, grown.roots)]
    alike = _keys(grown.question[low], grown.answer[grown.left[low]], grown.answer[grown.right[low]])
    alike = _keys(alike, _times_before(_keys(alike, grown.tree[low])))
    _, first, which = np.unique(alike, return_index=True, return_inverse=True)
    same[low] = low[first[which]]
    return same


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
    """Nodes that several trees lead to first, the most wanted of them first; then the others, in preorder."""
    below = _children(grown, kept)
    wanted = np.bincount(same[below], minlength=len(same))[kept]
    rest = wanted < 2
    shared = kept[~rest]
    return np.concatenate([shared[np.argsort(-wanted[~rest], kind="stable")], kept[rest]])
