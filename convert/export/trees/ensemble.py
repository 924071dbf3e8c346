"""Trees as one ONNX operator: `TreeEnsemble` of ai.onnx.ml 5, with a dictionary of leaves that all trees share.

Only nodes that split are stored; a leaf is an entry of (target, weight). `numbering` tells their order. skl2onnx knows
the operator sets of its own time only, so the operator is written under a private domain, which passes its checks, and
`lifting` moves it to its real one when the graph is whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from convert.export.trees.fitted import Ints, Reals, Tree
from convert.export.trees.numbering import Grown, Numbered, number
from convert.export.writer import PRIVATE_DOMAIN, Writer

OPERATOR = "TreeEnsemble"
_LEQ, _MEMBER = 0, 6
_AVERAGE = 0
# A number up to this takes two bytes at most. While onnxruntime loads one operator it needs several times the memory of
# its trees: in four, 200,000 nodes load in half the memory and four fifths of the time, and a row takes no longer.
_MAX_NODES, _MAX_OPERATORS = 1 << 14, 4
# Rounding a leaf by so little of what leaves differ by is what float32 does to every sum.
_FLOAT32_ERROR = 2.0**-20


@dataclass(frozen=True)
class Forest:
    """Trees that add to `targets` sums. `splits`: each tree's thresholds as the operator compares them, float32 or
    float64; weights have the same type. `missing`: rows may hold NaN.
    """

    trees: list[Tree]
    splits: list[NDArray[Any]]
    targets: int
    missing: bool


def add(writer: Writer, rows: str, forest: Forest) -> str:
    """Add the operator of a forest: the name of its sums [rows, targets]."""
    return writer.node(OPERATOR, rows, domain=PRIVATE_DOMAIN, **attributes(forest))


def add_mean(writer: Writer, rows: str, forest: Forest) -> str:
    """`add`, but the means over all trees."""
    words = attributes(forest) | {"aggregate_function": _AVERAGE}
    return writer.node(OPERATOR, rows, domain=PRIVATE_DOMAIN, **words)


def add_votes(writer: Writer, rows: str, forest: Forest) -> str:
    """`add` for whole numbers, which give the same sums in any order: a large forest is spread over some operators."""
    nodes = sum(int((tree.left >= 0).sum()) for tree in forest.trees)
    parts = np.array_split(
        np.arange(len(forest.trees)), min(-(-nodes // _MAX_NODES), _MAX_OPERATORS, len(forest.trees))
    )
    if len(parts) < 2:
        return add(writer, rows, forest)
    sums = (
        Forest([forest.trees[k] for k in part], [forest.splits[k] for k in part], forest.targets, forest.missing)
        for part in parts
    )
    return writer.node("Sum", *(add(writer, rows, part) for part in sums))


def attributes(forest: Forest) -> dict[str, Any]:
    """The operator's attributes, but for those whose default is meant: sums, which nothing is done to."""
    rooted = [_rooted(tree, split) for tree, split in zip(forest.trees, forest.splits, strict=True)]
    trees, splits = [tree for tree, _ in rooted], np.concatenate([split for _, split in rooted])
    targets = np.concatenate([tree.target for tree in trees])
    weights = _weights(np.concatenate([tree.weight for tree in trees]), splits.dtype)
    found = number(_grown(trees, splits, (targets, weights), missing=forest.missing))
    answers = found.leaves
    return _nodes(forest, trees, splits, found) | {
        "tree_roots": found.roots.tolist(),
        "leaf_targetids": targets[answers].tolist(),
        "leaf_weights": numpy_helper.from_array(weights[answers]),
        "n_targets": forest.targets,
    }


def _weights(weights: Reals, kind: np.dtype[Any]) -> NDArray[Any]:
    """Weights in the type of the thresholds. Those of float64 are numbers of float32 where that is precise enough: they
    take half the bytes, and float64 is there for what is compared.
    """
    narrow = weights.astype(np.float32).astype(kind)
    precise = np.abs(narrow - weights).max() <= _FLOAT32_ERROR * float(np.std(weights))
    return narrow if precise else weights.astype(kind)


def _rooted(tree: Tree, split: NDArray[Any]) -> tuple[Tree, NDArray[Any]]:
    """A tree that is a single leaf becomes splits all of whose ways lead to it.

    Two of them: of a root whose both ways lead to one leaf, onnxruntime before 1.30 takes the leaf that bears the
    root's number.
    """
    if tree.left[0] >= 0:
        return tree, split
    alone = Tree(
        feature=np.zeros(3, dtype=np.int64),
        threshold=np.zeros(3),
        left=np.array([2, 2, -1]),
        right=np.array([1, 2, -1]),
        missing_left=np.zeros(3, dtype=bool),
        target=np.repeat(tree.target[:1], 3),
        weight=np.repeat(tree.weight[:1], 3),
    )
    return alone, np.zeros(3, dtype=split.dtype)


def _grown(trees: list[Tree], splits: NDArray[Any], leaves: tuple[Ints, NDArray[Any]], *, missing: bool) -> Grown:
    counts = np.array([len(tree.left) for tree in trees])
    starts = np.cumsum(counts) - counts
    left, right = (
        np.concatenate([np.where(side < 0, -1, side + start) for side, start in zip(side_of, starts, strict=True)])
        for side_of in ([tree.left for tree in trees], [tree.right for tree in trees])
    )
    tracks = _joined(trees, "missing_left") & missing
    questions = _places(_joined(trees, "feature"), tracks, splits.view(f"i{splits.itemsize}"))
    questions[list(_members(trees, starts))] = -1
    return Grown(left, right, _places(*leaves), starts, np.repeat(np.arange(len(trees)), counts), questions)


def _joined(trees: list[Tree], word: str) -> NDArray[Any]:
    return np.concatenate([getattr(tree, word) for tree in trees])


def _places(*columns: NDArray[Any]) -> Ints:
    """For each row of the columns the place where one like it first occurs."""
    order = np.lexsort(columns)
    new = np.ones(len(order), dtype=bool)
    new[1:] = np.any([column[order][1:] != column[order][:-1] for column in columns], axis=0)
    found = np.empty_like(order)
    found[order] = order[np.flatnonzero(new)[np.cumsum(new) - 1]]
    return found


def _members(trees: list[Tree], starts: Ints) -> dict[int, Reals]:
    """The sets of all nodes that split categories."""
    return {
        int(start) + node: members
        for tree, start in zip(trees, starts, strict=True)
        for node, members in tree.members.items()
    }


def _nodes(forest: Forest, trees: list[Tree], splits: NDArray[Any], numbered: Numbered) -> dict[str, Any]:
    starts = np.cumsum([len(tree.left) for tree in trees]) - [len(tree.left) for tree in trees]
    ends = numbered.ends.astype(np.int64)
    missing = _joined(trees, "missing_left")[numbered.nodes]
    found = {
        "nodes_featureids": _joined(trees, "feature")[numbered.nodes].tolist(),
        "nodes_truenodeids": numbered.children[0::2].tolist(),
        "nodes_falsenodeids": numbered.children[1::2].tolist(),
        "nodes_trueleafs": ends[0::2].tolist(),
        "nodes_falseleafs": ends[1::2].tolist(),
    }
    if forest.missing and missing.any():
        found["nodes_missing_value_tracks_true"] = missing.astype(np.int64).tolist()
    return found | _splits(splits[numbered.nodes], numbered.nodes, _members(trees, starts))


def _splits(split: NDArray[Any], nodes: Ints, members: Mapping[int, Reals]) -> dict[str, Any]:
    modes = np.full(len(split), _LEQ, dtype=np.uint8)
    values: list[NDArray[Any]] = []
    for place in np.flatnonzero(np.isin(nodes, list(members))):
        found = members[int(nodes[place])]
        if len(found) == 0:  # onnxruntime refuses an empty set: nothing is at most -inf either
            split[place] = -np.inf
            continue
        modes[place] = _MEMBER
        split[place] = 0
        values += [found.astype(split.dtype), np.array([np.nan], dtype=split.dtype)]
    written: dict[str, Any] = {
        "nodes_splits": numpy_helper.from_array(split),
        "nodes_modes": numpy_helper.from_array(modes),
    }
    if values:
        written["membership_values"] = numpy_helper.from_array(np.concatenate(values))
    return written
