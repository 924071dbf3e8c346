"""Fewer trees: the first ones of a forest or of a boosting. Changes answers far more than rounding does, so it is
weighed only when the user has set a budget for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from convert.shrink.ensembles import Leaves, ensembles, read, read_leaves, write, write_leaves

_NODE_WISE = (
    "nodes_featureids",
    "nodes_truenodeids",
    "nodes_falsenodeids",
    "nodes_trueleafs",
    "nodes_falseleafs",
    "nodes_splits",
    "nodes_modes",
    "nodes_missing_value_tracks_true",
)


@dataclass(frozen=True)
class _Mean:
    """The constant that makes a mean of the sum over `trees` trees: what the sum is divided by, or a factor."""

    tensor: TensorProto
    divides: bool
    trees: int

    def rewrite(self, kept: int) -> None:
        """Make it that of `kept` trees."""
        values = numpy_helper.to_array(self.tensor)
        changed = np.full_like(values, kept) if self.divides else (values * (self.trees / kept)).astype(values.dtype)
        self.tensor.CopyFrom(numpy_helper.from_array(changed, self.tensor.name))


def keep_trees(model: ModelProto, percent: int) -> bool:
    """Keep this share of the trees: of a forest the first ones, also where they are spread over operators that one Sum
    joins; of a boosting the first whole turns. False where that is not safely possible: operators joined otherwise, or
    without a mean that tells how many trees there are; sets of categories; a table of leaves.
    """
    nodes = list(ensembles(model))
    counts = [len(read(node, "tree_roots")) for node in nodes]
    total = _total(model, nodes)
    if total is None or any(len(read(node, "membership_values")) for node in nodes):
        return False
    mean, targets = _mean(model, total, sum(counts)), _targets(nodes[0])
    turn = 1 if mean is not None else max(targets, 1)
    kept = sum(counts) * percent // 100 // turn * turn
    if targets == sum(counts) or kept == 0 or (mean is None and (len(nodes) > 1 or counts[0] % turn)):
        return False
    before = np.cumsum([0, *counts[:-1]])
    for node, count, start in zip(nodes, counts, before.tolist(), strict=True):
        _keep(model, node, count, kept - start)
    if mean is not None:
        mean.rewrite(kept)
    return True


def _targets(node: NodeProto) -> int:
    return int(next(line.i for line in node.attribute if line.name == "n_targets"))


def _total(model: ModelProto, nodes: list[NodeProto]) -> str | None:
    """The tensor with the sums over the trees of all operators; the operators stand in the order of its terms."""
    outputs = [node.output[0] for node in nodes]
    if len(outputs) == 1:
        return str(outputs[0])
    sums = (line for line in model.graph.node if line.op_type == "Sum")
    return next((str(line.output[0]) for line in sums if list(line.input) == outputs), None)


def _mean(model: ModelProto, name: str, trees: int) -> _Mean | None:
    """Follow the sum to the constant that divides it by the number of trees, or halves it and takes it from one half
    for the shares of two classes.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for line in model.graph.node:
        if name not in line.input:
            continue
        if line.op_type == "Cast":
            name = line.output[0]
            continue
        tensor = constants.get(line.input[1]) if line.op_type in ("Div", "Gemm") else None
        if tensor is None:
            continue
        values = numpy_helper.to_array(tensor)
        if line.op_type == "Div":
            return _Mean(tensor, True, trees) if values.size == 1 and values.item() == trees else None
        half = 0.5 / trees
        return _Mean(tensor, False, trees) if np.allclose(values, [[-half, half]], rtol=1e-6, atol=0) else None
    return None


def _keep(model: ModelProto, node: NodeProto, count: int, kept: int) -> None:
    """Keep the first trees of an operator, which goes with its place in the sum where none is left."""
    if kept >= count:
        return
    if kept > 0:
        _truncate(node, kept)
        return
    joined = next(line for line in model.graph.node if node.output[0] in line.input)
    joined.input.remove(node.output[0])
    model.graph.node.remove(node)


def _truncate(node: NodeProto, kept: int) -> None:
    roots = read(node, "tree_roots")
    end = int(roots[kept])
    for name in _NODE_WISE:
        values = read(node, name)
        if len(values):
            write(node, name, values[:end])
    write(node, "tree_roots", roots[:kept])
    leaves = read_leaves(node)
    write_leaves(node, Leaves(leaves.targets, leaves.weights))
