"""Forests whose leaves name rows of a table of class shares: the table rounded to a grid.

The exact form looks up a distribution for each tree and adds them in float64. With shares rounded to multiples of
1 / (2^bits − 1) the sums are whole numbers, so ties break alike on every processor. Of two classes one share tells the
other, and the operator adds the shares itself: no table is left, and all trees have few leaves in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from convert.shrink.ensembles import Leaves, ensembles, read_leaves, write, write_leaves

_EXACT_FLOAT32 = 1 << 24


@dataclass(frozen=True)
class _Look:
    """A looked-up forest: `ensemble` gives rows of `shares` [rows, classes], which `gather` fetches, `total` adds and
    `divide` divides by the number of `trees`.
    """

    ensemble: NodeProto
    cast: NodeProto
    gather: NodeProto
    total: NodeProto
    divide: NodeProto
    shares: NDArray[np.float64]
    trees: int


def round_shares(model: ModelProto, bits: int) -> bool:
    """Round the class shares of all looked-up forests. False when there is none.

    Tables with the shares of several targets side by side stay as they are: their rows add up to the number of targets.
    """
    looks = [look for node in ensembles(model) if (look := _look(model, node)) is not None]
    for place, look in enumerate(looks):
        if look.shares.shape[1] == 2:
            _add_directly(model, look, bits, f"shares{place}")
        else:
            _round_table(model, look, bits, f"shares{place}")
    if looks:
        _sweep(model)
    return bool(looks)


def _look(model: ModelProto, trees_node: NodeProto) -> _Look | None:
    chain = [trees_node]
    for kind in ("Cast", "Gather", "ReduceSum", "Div"):
        readers = [node for node in model.graph.node if chain[-1].output[0] in node.input]
        if len(readers) != 1 or readers[0].op_type != kind:
            return None
        chain.append(readers[0])
    shares = _constant(model, chain[2].input[0])
    trees = _constant(model, chain[4].input[1])
    if shares is None or trees is None or trees.size != 1 or shares.ndim != 2 or shares.shape[1] < 2:
        return None
    if not np.allclose(shares.sum(axis=1), 1) or shares.min() < 0:
        return None
    ensemble, cast, gather, total, divide = chain
    return _Look(ensemble, cast, gather, total, divide, shares.astype(np.float64), int(trees.item()))


def _constant(model: ModelProto, name: str) -> NDArray[Any] | None:
    """The value of a tensor that is an initializer, a cast of one, or a quotient of such."""
    for tensor in model.graph.initializer:
        if tensor.name == name:
            return numpy_helper.to_array(tensor)
    maker = next((node for node in model.graph.node if name in node.output), None)
    if maker is None or maker.op_type not in ("Cast", "Div"):
        return None
    inputs = [_constant(model, each) for each in maker.input]
    if any(each is None for each in inputs):
        return None
    wide = [np.asarray(each, dtype=np.float64) for each in inputs]
    quotient: NDArray[np.float64] = wide[0] / wide[1] if maker.op_type == "Div" else wide[0]
    return quotient


def _add_directly(model: ModelProto, look: _Look, bits: int, name: str) -> None:
    """The second class's shares as leaves: sum → [trees × steps − sum, sum] / (trees × steps)."""
    steps = min((1 << bits) - 1, _EXACT_FLOAT32 // look.trees - 1)
    rounded = np.rint(look.shares[:, 1] * steps)
    leaves = read_leaves(look.ensemble)
    weights = rounded[leaves.weights.astype(np.int64)].astype(np.float32)
    write_leaves(look.ensemble, Leaves(np.zeros_like(leaves.targets), weights))
    write(look.ensemble, "n_targets", 1)
    whole = look.trees * steps
    _add(model, f"{name}_turn", np.array([[-1, 1]], dtype=np.float32))
    _add(model, f"{name}_start", np.array([whole, 0], dtype=np.float32))
    _add(model, f"{name}_whole", np.array([whole], dtype=np.float64))
    counts, wide = f"{name}_counts", f"{name}_wide"
    gemm = helper.make_node("Gemm", [look.ensemble.output[0], f"{name}_turn", f"{name}_start"], [counts], name=counts)
    look.cast.CopyFrom(gemm)
    look.gather.CopyFrom(helper.make_node("Cast", [counts], [wide], name=wide, to=TensorProto.DOUBLE))
    look.divide.input[:] = [wide, f"{name}_whole"]


def _round_table(model: ModelProto, look: _Look, bits: int, name: str) -> None:
    """The table as whole numbers, equal rows once; the number of trees takes their divisor in."""
    steps = (1 << bits) - 1
    counts = np.rint(look.shares * steps)
    first = counts.argmax(axis=1)
    counts[np.arange(len(counts)), first] += steps - counts.sum(axis=1)
    rows, which = np.unique(counts, axis=0, return_inverse=True)
    leaves = read_leaves(look.ensemble)
    moved = which.ravel()[leaves.weights.astype(np.int64)].astype(leaves.weights.dtype)
    write_leaves(look.ensemble, Leaves(leaves.targets, moved))
    _add(model, f"{name}_rows", rows.astype(np.min_scalar_type(steps)))
    _add(model, f"{name}_whole", np.array([look.trees * steps], dtype=np.float64))
    wide = f"{name}_wide"
    cast = helper.make_node("Cast", [f"{name}_rows"], [wide], name=wide, to=TensorProto.DOUBLE)
    look.gather.input[0] = wide
    look.divide.input[1] = f"{name}_whole"
    _put_first(model, cast)


def _add(model: ModelProto, name: str, values: NDArray[Any]) -> None:
    model.graph.initializer.append(numpy_helper.from_array(values, name))


def _put_first(model: ModelProto, node: NodeProto) -> None:
    rest = [NodeProto.FromString(line.SerializeToString()) for line in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend([node, *rest])


def _sweep(model: ModelProto) -> None:
    """Drop operators and constants that no output needs any more."""
    wanted = {line.name for line in model.graph.output}
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            wanted |= set(node.input)
    for node in [node for node in model.graph.node if not wanted & set(node.output)]:
        model.graph.node.remove(node)
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in wanted]:
        model.graph.initializer.remove(tensor)
