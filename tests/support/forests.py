"""ONNX files of random forests, for tests of the wire form: small, varied, and the same for one seed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from convert.export.canonical import serialise
from convert.export.trees.numbering import Grown, number


def grown(rng: np.random.Generator, trees: int, splits: int, questions: int = 9) -> Grown:
    """Trees of so many splits each, grown by splitting a random leaf again and again; leaves answer 0, 1 or 2."""
    left: list[int] = []
    right: list[int] = []
    roots: list[int] = []
    for _ in range(trees):
        roots.append(len(left))
        leaves = [len(left)]
        left.append(-1)
        right.append(-1)
        for _ in range(splits):
            node = leaves.pop(int(rng.integers(len(leaves))))
            left[node], right[node] = len(left), len(left) + 1
            leaves += [left[node], right[node]]
            left += [-1, -1]
            right += [-1, -1]
    count = len(left)
    return Grown(
        left=np.array(left),
        right=np.array(right),
        answer=rng.integers(0, 3, count),
        roots=np.array(roots),
        tree=np.repeat(np.arange(trees), count // trees),
        question=rng.integers(0, questions, count),
    )


def onnx_file(rng: np.random.Generator, trees: int = 5, splits: int = 30, kind: Any = np.float32) -> bytes:
    """An ONNX file with one forest, some weights, whole numbers and texts."""
    forest = grown(rng, trees, splits)
    found = number(forest)
    thresholds = rng.normal(size=9).astype(kind)
    question = forest.question[found.nodes]
    attributes = {
        "tree_roots": found.roots.tolist(),
        "nodes_featureids": (question % 4).tolist(),
        "nodes_splits": numpy_helper.from_array(thresholds[question], "nodes_splits"),
        "nodes_modes": numpy_helper.from_array(np.zeros(len(question), dtype=np.uint8), "nodes_modes"),
        "nodes_truenodeids": found.children[0::2].tolist(),
        "nodes_falsenodeids": found.children[1::2].tolist(),
        "nodes_trueleafs": found.ends[0::2].astype(int).tolist(),
        "nodes_falseleafs": found.ends[1::2].astype(int).tolist(),
        "leaf_targetids": found.leaves.tolist(),
        "leaf_weights": numpy_helper.from_array(np.ones(len(found.leaves), dtype=kind), "leaf_weights"),
        "n_targets": 3,
    }
    node = helper.make_node("TreeEnsemble", ["rows"], ["sums"], domain="ai.onnx.ml", **attributes)
    words = helper.make_node("StringSplit", ["a"], ["b"], words=[f"word{i:03}" for i in range(0, 300, 7)])
    return _model([node, words], _weights(rng), kind)


def _weights(rng: np.random.Generator) -> list[TensorProto]:
    grid = rng.integers(-127, 128, (40, 6)).astype(np.float32) * rng.random(6).astype(np.float32)
    tensors: dict[str, NDArray[Any]] = {
        "grid": grid,
        "half": rng.normal(size=60).astype(np.float16),
        "whole": np.arange(0, 400, 3),
        "whole_as_float": rng.integers(0, 50, 90).astype(np.float64),
        "narrow": rng.normal(size=50).astype(np.float32).astype(np.float64),
        "small": rng.integers(-3, 4, 90).astype(np.int8),
    }
    return [numpy_helper.from_array(array, name) for name, array in tensors.items()]


def _model(nodes: list[Any], tensors: list[TensorProto], kind: Any) -> bytes:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    rows = helper.make_tensor_value_info("rows", element, [None, 4])
    sums = helper.make_tensor_value_info("sums", element, [None, 3])
    graph = helper.make_graph(nodes, "forest", [rows], [sums], tensors)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 5)]
    return serialise(helper.make_model(graph, opset_imports=opsets, ir_version=10))
