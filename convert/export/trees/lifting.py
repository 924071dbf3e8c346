"""Moves a whole graph to ai.onnx.ml 5: own operators from their private domain, skl2onnx's trees written anew.

Trees that cannot be written anew stay as they are where nothing else in the graph needs version 5.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from convert.export.refusal import NotExportable
from convert.export.trees import older
from convert.export.trees.ensemble import OPERATOR, Forest, attributes
from convert.export.trees.fitted import Tree
from convert.export.trees.older import Older
from convert.export.writer import PRIVATE_DOMAIN

_DOMAIN, _VERSION = "ai.onnx.ml", 5
_IR_VERSION = 10  # the one that was released with ai.onnx.ml 5


def lift(model: ModelProto) -> None:
    """Move the operators of the private domain to ai.onnx.ml 5, with one import for each domain.

    Raises NotExportable when a tree operator has no form there and another operator is there already.
    """
    own = any(node.domain == PRIVATE_DOMAIN for node in model.graph.node)
    try:
        nodes = [made for node in model.graph.node for made in _lifted(node, model.graph)]
    except NotExportable:
        if own:
            raise
        return
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {node.domain for node in model.graph.node}
    kept = {line.domain: line.version for line in model.opset_import if line.domain not in (PRIVATE_DOMAIN, _DOMAIN)}
    if _DOMAIN in used:
        kept[_DOMAIN] = _VERSION
        model.ir_version = _IR_VERSION
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*line) for line in sorted(kept.items()))


def _lifted(node: NodeProto, graph: GraphProto) -> list[NodeProto]:
    if node.domain == PRIVATE_DOMAIN:
        moved = NodeProto.FromString(node.SerializeToString())
        moved.domain = _DOMAIN
        return [moved]
    if node.op_type in ("TreeEnsembleClassifier", "TreeEnsembleRegressor"):
        return _Rewriting(graph, node).nodes
    return [NodeProto.FromString(node.SerializeToString())]


class _Rewriting:
    """Writes one operator of version 3 anew: `nodes` in the order of computation."""

    def __init__(self, graph: GraphProto, node: NodeProto) -> None:
        self.nodes: list[NodeProto] = []
        self._graph = graph
        self._name = f"{node.output[-1]}_lifted"
        found = older.read(node)
        self._type: Any = np.float64 if found.wide else np.float32
        sums = self._sums(found, node.input[0])
        if found.labels is None:
            self._finish_regressor(found, sums, node.output[0])
        else:
            self._finish_classifier(found, found.labels, sums, list(node.output))

    def _add(self, kind: str, *inputs: str, output: str | None = None, domain: str = "", **words: Any) -> str:
        name = output or f"{self._name}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], f"{name}_node", domain=domain, **words))
        return name

    def _constant(self, values: NDArray[Any]) -> str:
        name = f"{self._name}_constant_{len(self._graph.initializer)}"
        self._graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def _sums(self, found: Older, rows: str) -> str:
        element = TensorProto.DOUBLE if found.wide else TensorProto.FLOAT
        rows = self._add("Cast", rows, to=element)
        single = (np.count_nonzero(found.table, axis=1) <= 1).all()
        trees = _summing(found) if single else _pointing(found)
        splits = [tree.threshold.astype(self._type) for tree in trees]
        forest = Forest(trees, splits, found.targets if single else len(trees), missing=True)
        sums = self._add(OPERATOR, rows, domain=_DOMAIN, **attributes(forest))
        if not single:
            places = self._add("Cast", sums, to=TensorProto.INT64)
            looked_up = self._add("Gather", self._constant(found.table.astype(self._type)), places, axis=0)
            sums = self._add("ReduceSum", looked_up, self._constant(np.array([1])), keepdims=0)
        if found.average:
            sums = self._add("Div", sums, self._constant(np.array([len(trees)], dtype=self._type)))
        return sums

    def _finish_regressor(self, found: Older, sums: str, output: str) -> None:
        if found.base.size:
            sums = self._add("Add", sums, self._constant(found.base.astype(self._type)))
        self._add("Cast", self._transformed(sums, found.transform), output=output, to=TensorProto.FLOAT)

    def _finish_classifier(self, found: Older, labels: NDArray[Any], sums: str, outputs: list[str]) -> None:
        if len(labels) == 2:
            sums, scores = self._two(found, sums)
        else:
            _check_scored(found)
            if found.base.size:
                sums = self._add("Add", sums, self._constant(found.base.astype(self._type)))
            scores = self._transformed(sums, found.transform)
        place = self._add("ArgMax", sums, axis=1, keepdims=0)
        self._add("Gather", self._constant(labels), place, output=outputs[0], axis=0)
        self._add("Cast", scores, output=outputs[1], to=TensorProto.FLOAT)

    def _two(self, found: Older, sums: str) -> tuple[str, str]:
        """onnxruntime's rules for two classes: what is compared for the label, and the scores [rows, 2].

        (tree_ensemble_aggregator.h, TreeAggregatorClassifier.) One class only has weights: shares of the second class
        where none is negative, and otherwise its raw score.
        """
        shares = (found.table >= 0).all()
        if len(found.ids) != 1 or found.base.size > 1 or found.transform != ("NONE" if shares else "LOGISTIC"):
            raise NotExportable("its two classes are told apart in a way that ai.onnx.ml 5 has no word for")
        second = self._add("Gather", sums, self._constant(found.ids), axis=1)
        if found.base.size:
            second = self._add("Add", second, self._constant(found.base.astype(self._type)))
        if shares:
            first = self._add("Sub", self._constant(np.ones(1, dtype=self._type)), second)
            both = self._add("Concat", first, second, axis=1)
            return both, both
        both = self._add("Concat", self._add("Neg", second), second, axis=1)
        return both, self._add("Sigmoid", both)

    def _transformed(self, sums: str, transform: str) -> str:
        if transform == "NONE":
            return sums
        if transform == "LOGISTIC":
            return self._add("Sigmoid", sums)
        if transform == "SOFTMAX":
            return self._add("Softmax", sums, axis=1)
        raise NotExportable(f"its sums are transformed by {transform}")


def _summing(found: Older) -> list[Tree]:
    """Each leaf adds one number to one target."""
    target = np.abs(found.table).argmax(axis=1)
    weight = found.table[np.arange(len(found.table)), target]
    return [
        Tree(**(vars(tree) | {"target": target[places.astype(np.int64)], "weight": weight[places.astype(np.int64)]}))
        for tree, places in zip(found.trees, found.places, strict=True)
    ]


def _pointing(found: Older) -> list[Tree]:
    """Each tree has a sum of its own, which is the row of the table that its leaf stands for."""
    return [
        Tree(**(vars(tree) | {"target": np.full(len(places), number), "weight": places}))
        for number, (tree, places) in enumerate(zip(found.trees, found.places, strict=True))
    ]


def _check_scored(found: Older) -> None:
    """onnxruntime's label is never a class without a score on that row, which has a sum of 0 here."""
    if found.base.size or (found.table >= 0).all():
        return
    scored = np.zeros(found.targets, dtype=bool)
    for tree, places in zip(found.trees, found.places, strict=True):
        scored |= (found.table[places[tree.left < 0].astype(np.int64)] != 0).all(axis=0)
    if not scored.all():
        raise NotExportable("some rows would give one of its classes no score")
