"""Trees as one ONNX operator: `TreeEnsemble` of ai.onnx.ml 5, with a dictionary of leaves that all trees share.

Only nodes that split are stored; a leaf is an entry of (target, weight), the commonest first, because small numbers
take fewer bytes. skl2onnx knows the operator sets of its own time only, so the operator is written under a private
domain, which passes its checks, and `lifting` moves it to its real one when the graph is whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from convert.export.trees.fitted import Ints, Tree
from convert.export.writer import PRIVATE_DOMAIN, Writer

OPERATOR = "TreeEnsemble"
_LEQ, _MEMBER = 0, 6
_SUM, _NO_TRANSFORM = 1, 0


@dataclass(frozen=True)
class Forest:
    """Trees that add to `targets` sums. `splits`: each tree's thresholds as the operator compares them, float32 or
    float64; weights have the same type. `missing`: rows may hold NaN.
    """

    trees: list[Tree]
    splits: list[NDArray[Any]]
    targets: int
    missing: bool


@dataclass(frozen=True)
class _Nodes:
    """The nodes of all trees in a row, with the leaves they lead to: `leaf` is -1 where a child is a node."""

    tree: Tree
    split: NDArray[Any]
    child: tuple[Ints, Ints]
    to_leaf: tuple[NDArray[np.bool_], NDArray[np.bool_]]


def add(writer: Writer, rows: str, forest: Forest) -> str:
    """Add the operator of a forest: the name of its sums [rows, targets]."""
    return writer.node(OPERATOR, rows, domain=PRIVATE_DOMAIN, **attributes(forest))


def attributes(forest: Forest) -> dict[str, Any]:
    """The operator's attributes."""
    roots, parts = [], []
    count = 0
    for tree, split in zip(forest.trees, forest.splits, strict=True):
        part = _place(*_rooted(tree, split), count)
        parts.append(part)
        roots.append(count)
        count += len(part.split)
    found = _leaves(parts)
    return _nodes(forest, parts, found.ids) | {
        "tree_roots": roots,
        "leaf_targetids": found.targets.tolist(),
        "leaf_weights": numpy_helper.from_array(found.weights, "leaf_weights"),
        "n_targets": forest.targets,
        "aggregate_function": _SUM,
        "post_transform": _NO_TRANSFORM,
    }


def _rooted(tree: Tree, split: NDArray[Any]) -> tuple[Tree, NDArray[Any]]:
    """A tree that is a single leaf becomes a split whose both ways lead to it."""
    if tree.left[0] >= 0:
        return tree, split
    both_ways = np.array([1, -1])
    alone = Tree(
        feature=np.zeros(2, dtype=np.int64),
        threshold=np.zeros(2),
        left=both_ways,
        right=both_ways,
        missing_left=np.zeros(2, dtype=bool),
        target=np.repeat(tree.target[:1], 2),
        weight=np.repeat(tree.weight[:1], 2),
    )
    return alone, np.zeros(2, dtype=split.dtype)


def _place(tree: Tree, split: NDArray[Any], start: int) -> _Nodes:
    inner = tree.inner
    position = np.cumsum(inner) - 1 + start
    chosen = np.flatnonzero(inner)
    sides = tuple(side[chosen] for side in (tree.left, tree.right))
    return _Nodes(
        tree=tree,
        split=split[chosen],
        child=(
            np.where(inner[sides[0]], position[sides[0]], sides[0]),
            np.where(inner[sides[1]], position[sides[1]], sides[1]),
        ),
        to_leaf=(~inner[sides[0]], ~inner[sides[1]]),
    )


@dataclass(frozen=True)
class _Leaves:
    """The dictionary of leaves, and for each part and side the entries that its leaf children are."""

    targets: Ints
    weights: NDArray[Any]
    ids: list[tuple[Ints, Ints]]


def _leaves(parts: list[_Nodes]) -> _Leaves:
    picked = [part.child[side][part.to_leaf[side]] for part in parts for side in (0, 1)]
    owners = [part.tree for part in parts for _ in (0, 1)]
    target = np.concatenate([tree.target[nodes] for tree, nodes in zip(owners, picked, strict=True)])
    weight = np.concatenate([tree.weight[nodes] for tree, nodes in zip(owners, picked, strict=True)])
    weights, which = np.unique(weight.astype(parts[0].split.dtype), return_inverse=True)
    keys, entry, times = np.unique(target * len(weights) + which, return_inverse=True, return_counts=True)
    order = np.argsort(-times, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    pieces = np.split(rank[entry], np.cumsum([len(nodes) for nodes in picked])[:-1])
    ids = list(zip(pieces[0::2], pieces[1::2], strict=True))
    return _Leaves(keys[order] // len(weights), weights[keys[order] % len(weights)], ids)


def _nodes(forest: Forest, parts: list[_Nodes], ids: list[tuple[Ints, Ints]]) -> dict[str, Any]:
    children: tuple[list[Ints], list[Ints]] = ([], [])
    for part, entries in zip(parts, ids, strict=True):
        for side in (0, 1):
            child = part.child[side].copy()
            child[part.to_leaf[side]] = entries[side]
            children[side].append(child)
    inner = [part.tree.inner for part in parts]
    feature = np.concatenate([part.tree.feature[mask] for part, mask in zip(parts, inner, strict=True)])
    missing = np.concatenate([part.tree.missing_left[mask] for part, mask in zip(parts, inner, strict=True)])
    found = {
        "nodes_featureids": feature.tolist(),
        "nodes_truenodeids": np.concatenate(children[0]).tolist(),
        "nodes_falsenodeids": np.concatenate(children[1]).tolist(),
        "nodes_trueleafs": np.concatenate([part.to_leaf[0] for part in parts]).astype(np.int64).tolist(),
        "nodes_falseleafs": np.concatenate([part.to_leaf[1] for part in parts]).astype(np.int64).tolist(),
    }
    if forest.missing and missing.any():
        found["nodes_missing_value_tracks_true"] = missing.astype(np.int64).tolist()
    return found | _splits(parts)


def _splits(parts: list[_Nodes]) -> dict[str, Any]:
    split = np.concatenate([part.split for part in parts])
    modes = np.full(len(split), _LEQ, dtype=np.uint8)
    values: list[NDArray[Any]] = []
    position = 0
    for part in parts:
        places = position + np.cumsum(part.tree.inner) - 1
        for node in sorted(part.tree.members):
            members = part.tree.members[node]
            if len(members) == 0:  # onnxruntime refuses an empty set: nothing is at most -inf either
                split[places[node]] = -np.inf
                continue
            modes[places[node]] = _MEMBER
            split[places[node]] = 0
            values += [members.astype(split.dtype), np.array([np.nan], dtype=split.dtype)]
        position += len(part.split)
    found: dict[str, Any] = {
        "nodes_splits": numpy_helper.from_array(split, "nodes_splits"),
        "nodes_modes": numpy_helper.from_array(modes, "nodes_modes"),
    }
    if values:
        found["membership_values"] = numpy_helper.from_array(np.concatenate(values), "membership_values")
    return found
