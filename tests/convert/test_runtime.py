"""Which onnxruntime a device needs, where older ones answer otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from convert.pack.runtime import oldest_runtime


def model_of_trees(
    true: list[int], false: list[int], true_leafs: list[int], false_leafs: list[int], **attributes: Any
) -> bytes:
    """One tree whose root is node 0, as a file."""
    count = len(true)
    node = helper.make_node(
        "TreeEnsemble",
        ["X"],
        ["Y"],
        domain="ai.onnx.ml",
        tree_roots=[0],
        nodes_featureids=[0] * count,
        nodes_truenodeids=true,
        nodes_falsenodeids=false,
        nodes_trueleafs=true_leafs,
        nodes_falseleafs=false_leafs,
        nodes_splits=numpy_helper.from_array(np.zeros(count, dtype=np.float32)),
        nodes_modes=numpy_helper.from_array(np.zeros(count, dtype=np.uint8)),
        leaf_targetids=[0, 0, 0],
        leaf_weights=numpy_helper.from_array(np.arange(3, dtype=np.float32)),
        n_targets=1,
        aggregate_function=1,
        post_transform=0,
        **attributes,
    )
    return model_of(node)


def model_of(node: NodeProto) -> bytes:
    """A file of one operator of ai.onnx.ml 5."""
    rows = helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 1])
    sums = helper.make_tensor_value_info("Y", TensorProto.FLOAT, [None, 1])
    graph = helper.make_graph([node], "trees", [rows], [sums])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 5)]
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    return content


@pytest.mark.parametrize(
    ("tree", "oldest"),
    [
        (([0, 1], [1, 2], [1, 1], [0, 1]), "1.21.0"),  # root: leaf 0 and node 1
        (([1, 1], [1, 2], [1, 1], [0, 1]), "1.24.1"),  # root: leaf 1 and node 1
        (([0, 1], [1, 1], [1, 1], [0, 1]), "1.21.0"),  # like children below the root do no harm
        (([1], [1], [1], [1]), "1.30.0"),  # root: leaf 1 on both ways
        (([0], [0], [1], [1]), "1.21.0"),  # the leaf bears the root's number: that is the one that is taken
    ],
    ids=["different numbers", "like numbers at a root", "like numbers below", "one leaf", "one leaf of like number"],
)
def test_a_root_whose_children_bear_one_number_needs_a_newer_runtime(
    tree: tuple[list[int], list[int], list[int], list[int]], oldest: str
) -> None:
    assert oldest_runtime(model_of_trees(*tree)) == oldest


def test_sets_of_categories_need_a_newer_runtime() -> None:
    sets = numpy_helper.from_array(np.array([1, 2, np.nan], dtype=np.float32))
    assert oldest_runtime(model_of_trees([0], [1], [1], [1], membership_values=sets)) == "1.25.0"


def test_other_operators_of_the_trees_set_need_no_newer_runtime() -> None:
    """A model with text labels: LabelEncoder and ArrayFeatureExtractor came before."""
    node = helper.make_node("ArrayFeatureExtractor", ["X", "place"], ["Y"], domain="ai.onnx.ml")
    assert oldest_runtime(model_of(node)) == "1.20.0"


def test_a_cosine_needs_a_newer_runtime() -> None:
    assert oldest_runtime(model_of(helper.make_node("Cos", ["X"], ["Y"]))) == "1.29.0"
