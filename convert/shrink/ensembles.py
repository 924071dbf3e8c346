"""The `TreeEnsemble` operators of a graph (ai.onnx.ml 5) as arrays, and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

OPERATOR, DOMAIN = "TreeEnsemble", "ai.onnx.ml"
_MEMBER = 6
_IDS = ("nodes_truenodeids", "nodes_falsenodeids")
_FLAGS = ("nodes_trueleafs", "nodes_falseleafs")


def ensembles(model: ModelProto) -> Iterator[NodeProto]:
    """The tree operators of a graph."""
    return (node for node in model.graph.node if node.op_type == OPERATOR and node.domain == DOMAIN)


def read(node: NodeProto, name: str) -> NDArray[Any]:
    """An attribute as an array; empty where the operator has none of that name."""
    line = next((line for line in node.attribute if line.name == name), None)
    if line is None:
        return np.zeros(0, dtype=np.int64)
    return numpy_helper.to_array(line.t) if line.HasField("t") else np.asarray(line.ints, dtype=np.int64)


def write(node: NodeProto, name: str, values: NDArray[Any] | int) -> None:
    """Replace an attribute, in the form that it has."""
    line = next(line for line in node.attribute if line.name == name)
    if isinstance(values, int):
        line.i = values
    elif line.HasField("t"):
        line.t.CopyFrom(numpy_helper.from_array(values, name))
    else:
        line.CopyFrom(helper.make_attribute(name, values.tolist()))


@dataclass(frozen=True)
class Leaves:
    """The dictionary of leaves: what each adds to which sum."""

    targets: NDArray[np.int64]
    weights: NDArray[Any]

    @property
    def counted(self) -> bool:
        """The weights are whole numbers: votes, or rows of a table. Rounding them would be nonsense."""
        return bool((self.weights == np.rint(self.weights)).all())


def read_leaves(node: NodeProto) -> Leaves:
    """The operator's leaves."""
    return Leaves(read(node, "leaf_targetids"), read(node, "leaf_weights"))


def write_leaves(node: NodeProto, leaves: Leaves) -> None:
    """Replace the leaves (as many as before), equal ones becoming one entry, in the order in which nodes lead to them:
    the order in which the wire form tells them in the fewest bytes.
    """
    weights, which = np.unique(leaves.weights, return_inverse=True)
    entry = leaves.targets * len(weights) + which
    children, ends = (np.stack([read(node, name) for name in names], axis=1) for names in (_IDS, _FLAGS))
    ends = ends == 1
    keys, first, place = np.unique(entry[children[ends]], return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    children[ends] = rank[place]
    for side, ids in enumerate(_IDS):
        write(node, ids, children[:, side])
    write(node, "leaf_targetids", keys[order] // len(weights))
    write(node, "leaf_weights", weights[keys[order] % len(weights)])


def numeric(node: NodeProto) -> NDArray[np.bool_]:
    """Marks the nodes that compare with a finite number."""
    splits = read(node, "nodes_splits")
    edge = np.finfo(np.float32).max
    marks: NDArray[np.bool_] = (read(node, "nodes_modes") != _MEMBER) & (np.abs(splits) < edge)
    return marks


def topmost(node: NodeProto, share: float) -> NDArray[np.bool_]:
    """Marks the nodes of the upper levels of all trees, of as many as together hold at most this share of the nodes."""
    children = np.stack([read(node, name) for name in _IDS], axis=1)
    inner = np.stack([read(node, name) for name in _FLAGS], axis=1) == 0
    marks = np.zeros(len(children), dtype=bool)
    level = np.unique(read(node, "tree_roots"))
    while len(level) and marks.sum() + len(level) <= share * len(marks):
        marks[level] = True
        below = np.unique(children[level][inner[level]])
        level = below[~marks[below]]
    return marks
