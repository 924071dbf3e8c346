"""Fewer trees: the first ones of a forest or of a boosting. Changes answers far more than rounding does, so it is
weighed only when the user has set a budget for it.
"""

from __future__ import annotations

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


def keep_trees(model: ModelProto, percent: int) -> bool:
    """Keep this share of the trees, in whole turns of a boosting. False where that is not safely possible: several
    operators, sets of categories, or a table of leaves.
    """
    found = list(ensembles(model))
    if len(found) != 1 or len(read(found[0], "membership_values")):
        return False
    (node,) = found
    roots, targets = read(node, "tree_roots"), int(next(line.i for line in node.attribute if line.name == "n_targets"))
    divisor = _divisor(model, node, len(roots))
    turn = 1 if divisor is not None else max(targets, 1)
    kept = len(roots) * percent // 100 // turn * turn
    if targets == len(roots) or kept == 0 or (divisor is None and len(roots) % turn):
        return False
    _truncate(node, kept)
    if divisor is not None:
        divisor.CopyFrom(numpy_helper.from_array(np.full_like(numpy_helper.to_array(divisor), kept), divisor.name))
    return True


def _divisor(model: ModelProto, node: NodeProto, trees: int) -> TensorProto | None:
    """The constant by which the sum over all trees is divided."""
    name = node.output[0]
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for line in model.graph.node:
        if name not in line.input:
            continue
        if line.op_type == "Cast":
            name = line.output[0]
        elif line.op_type == "Div" and line.input[1] in constants:
            tensor = constants[line.input[1]]
            values = numpy_helper.to_array(tensor)
            return tensor if values.size == 1 and values.item() == trees else None
    return None


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
